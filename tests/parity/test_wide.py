"""Fixtures at full width run as those in this folder do. None of the original's travels with the repository (they are
large), so one is made by our own engine: it proves the harness, not the engine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.config.model import ModelConfig
from engine.rollout.sampler import noise_schedule
from game.config.settings import load_settings
from tests.parity.common import Fixture, is_large
from tests.parity.test_dit import roll_out, transformer_config

ROOT = Path(__file__).parents[2]


def wide_config(model: ModelConfig, layers: int) -> dict:
    """The original's words for a model's first layers, the first with an action module."""
    net, actions = model.transformer, model.transformer.actions
    of_mouse = {"mouse_dim_in": actions.mouse_dim, "mouse_hidden_dim": actions.mouse_width} if actions.mouse_dim else {}
    action = {
        "blocks": [0], "enable_keyboard": True, "enable_mouse": bool(of_mouse), "heads_num": actions.heads,
        "hidden_size": actions.keyboard_embed, "keyboard_dim_in": actions.keyboard_dim,
        "keyboard_hidden_dim": actions.keyboard_width, "patch_size": list(net.patch), "rope_theta": actions.rope_theta,
        "rope_dim_list": list(actions.rope_dims), "vae_time_compression_ratio": model.time_ratio,
        "windows_size": actions.windows,
    }  # fmt: skip
    return {
        "action_config": action | of_mouse, "dim": net.width, "eps": net.eps, "ffn_dim": net.ffn, "freq_dim": 256,
        "in_dim": net.in_channels, "local_attn_size": model.window, "num_heads": net.heads, "num_layers": layers,
        "out_dim": net.out_channels, "sink_size": model.sink,
    }  # fmt: skip


def write_wide(folder: Path, mode: str, blocks: int, layers: int = 2) -> Path:
    """A fixture of 880 tokens a latent frame, with the outputs of our own engine; returns its path."""
    model = load_settings([f"model={mode}"]).model
    draw = torch.Generator().manual_seed(1)
    t, steps = 3 * blocks, list(model.denoising_steps)
    frames, (h, w) = 4 * t - 3, model.latent_size

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draw)

    keyboard, mouse = model.transformer.actions.keyboard_dim, model.transformer.actions.mouse_dim
    tensors = {
        "noise": noise(1, 16, t, h, w),
        "renoise": noise(blocks * (len(steps) - 1), 3, 16, h, w),
        "image_latents": noise(1, 16, t, h, w),
        "mask": torch.zeros(1, 4, t, h, w),
        "visual_context": noise(1, 257, 1280),
        "keyboard": torch.randint(0, 2, (1, frames, keyboard), generator=draw).float(),
    }
    if mouse:
        tensors["mouse"] = 0.1 * torch.randint(-1, 2, (1, frames, mouse), generator=draw).float()
    schedule = noise_schedule(model.denoising_steps, model.timestep_shift, model.context_noise)
    told = {"config": wide_config(model, layers), "seed": 0, "blocks": blocks, "context_noise": 0,
            "num_frame_per_block": 3, "denoising_step_list": steps, "timestep_shift": 5.0,
            "timesteps": list(schedule.timesteps)}  # fmt: skip
    path = folder / f"dit_{mode}_wide.safetensors"
    fixture = Fixture(path, tensors, {key: json.dumps(value) for key, value in told.items()})
    made = {name: value.float().contiguous() for name, value in roll_out(fixture).items()}
    save_file(tensors | made, path, fixture.metadata)
    write_names(fixture)
    return path


def write_names(fixture: Fixture) -> None:
    """The names file beside a fixture."""
    from engine.nets.transformer import Transformer

    with torch.device("meta"):
        net = Transformer(transformer_config(fixture), 4)
    names = [[f"model.{name}", list(weight.shape)] for name, weight in net.state_dict().items()]
    fixture.path.with_name(f"{fixture.path.stem}.names.json").write_text(json.dumps(names))


def parity(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PARITY_FIXTURES": str(folder)}
    program = [sys.executable, "-m", "pytest", "-q", "tests/parity/test_dit.py", *arguments]
    return subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_fixture_at_full_width_is_found_marked_slow_and_compared(tmp_path):
    path = write_wide(tmp_path, "universal", blocks=1)
    assert is_large(path)
    usual = parity(tmp_path, "--collect-only")
    assert "dit_universal_wide" in usual.stdout and "2 deselected" in usual.stdout
    done = parity(tmp_path, "-m", "slow")
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout


if __name__ == "__main__":
    for each in sys.argv[3:]:
        print(write_wide(Path(sys.argv[1]), each, int(sys.argv[2])))
