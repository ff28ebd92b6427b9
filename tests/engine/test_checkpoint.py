"""Claims about loading weights: nothing but the right file gets in, and its message says what it is instead."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.errors import CheckpointError
from engine.weights.checkpoint import (
    Sought,
    find_files,
    load_weights,
    open_weights,
    sha256_of,
    sha256_of_all,
)
from tests.engine.published import published_names

ROOT = Path(__file__).parents[2]


class Net(nn.Module):
    """Two layers, and a buffer that is part of a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 2, bias=False)
        self.register_buffer("scale", torch.empty(2))


def empty() -> Net:
    with torch.device("meta"):
        return Net()


def weights(prefix: str = "", dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    shapes = {name: w.shape for name, w in Net().state_dict().items()}
    return {prefix + name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def write(path: Path, table: dict) -> Path:
    save_file(table, path) if path.suffix == ".safetensors" else torch.save(table, path)
    return path


def refused(path: Path, **options) -> str:
    """The message; nothing may have been changed by then."""
    net = empty()
    with pytest.raises(CheckpointError) as caught:
        load_weights(net, path, **options)
    assert all(w.is_meta for w in net.state_dict().values())
    assert "\n" not in str(caught.value) and path.name in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_of_any_usual_file_and_type_arrive_in_the_type_asked_for(tmp_path, file, stored):
    net = empty()
    load_weights(net, write(tmp_path / file, weights(dtype=stored)))
    for name, weight in net.state_dict().items():
        assert weight.dtype == torch.float32 and torch.equal(weight, weights(dtype=stored)[name].float())
    assert not any(w.requires_grad for w in net.parameters())
    half = empty()
    load_weights(half, tmp_path / file, dtype=torch.bfloat16)
    assert all(w.dtype == torch.bfloat16 for w in half.state_dict().values())


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth"])
def test_loaded_weights_outlive_their_file(tmp_path, file):
    path, net = write(tmp_path / file, weights()), empty()
    load_weights(net, path)
    path.write_bytes(b"\0" * path.stat().st_size)
    assert all(torch.equal(weight, weights()[name]) for name, weight in net.state_dict().items())


def test_a_pth_of_the_old_format_is_read_too(tmp_path):
    torch.save(weights(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    net = empty()
    load_weights(net, tmp_path / "old.pth")
    assert torch.equal(net.scale, weights()["scale"])


def test_a_prefix_is_taken_off_and_required(tmp_path):
    net = empty()
    load_weights(net, write(tmp_path / "w.safetensors", weights("model.")), prefix="model.")
    assert torch.equal(net.scale, weights()["scale"])
    assert "4 missing (first model." in refused(write(tmp_path / "x.safetensors", weights()), prefix="model.")


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize(("wrapper", "own"), [("module.", ""), ("_orig_mod.", "model."), ("a.b.", "model.")])
def test_a_wrapper_on_all_names_is_taken_off_where_the_rest_fits(tmp_path, file, wrapper, own):
    net = empty()
    load_weights(net, write(tmp_path / file, weights(wrapper + own)), prefix=own)
    assert all(torch.equal(weight, weights()[name]) for name, weight in net.state_dict().items())
    mixed = {name.removeprefix(wrapper) if "scale" in name else name: w for name, w in weights(wrapper + own).items()}
    assert "missing" in refused(write(tmp_path / f"mixed-{file}", mixed), prefix=own)
    other = weights(wrapper + own) | {f"{wrapper}{own}scale": torch.zeros(7)}
    assert f"all its names begin with {wrapper}, and without that it does not fit either" in refused(
        write(tmp_path / f"other-{file}", other), prefix=own
    )


def test_a_wrapper_is_taken_off_beside_halves_that_are_left_out(tmp_path):
    path = write(tmp_path / "w.pth", weights("module.visual.") | {"module.textual.word": torch.zeros(9)})
    net = empty()
    load_weights(net, path, prefix="visual.", only_prefixed=True)
    assert torch.equal(net.scale, weights()["scale"])


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth"])
def test_weights_in_a_folder_whose_name_is_not_utf_8_are_read(tmp_path, file):
    try:
        (tmp_path / "caf\udce9").mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    path = write(tmp_path / file, weights()).rename(tmp_path / "caf\udce9" / file)
    net = empty()
    load_weights(net, path)
    assert torch.equal(net.scale, weights()["scale"])


def test_a_folder_where_a_file_is_asked_for_is_said_to_be_one(tmp_path):
    (tmp_path / "w.pth").mkdir()
    assert "is a folder" in refused(tmp_path / "w.pth")


def test_a_file_where_a_folder_is_asked_for_says_which_folder(tmp_path):
    name = "universal/model.safetensors"
    path = write_file(tmp_path / name)
    with pytest.raises(CheckpointError, match=rf"which is a file.*name its folder: weights={tmp_path}$"):
        find_files(path, "m", [Sought("transformer", (name,))], "a/b")
    other = write_file(tmp_path / "x" / "other.pth")
    with pytest.raises(CheckpointError, match=rf"name its folder: weights={tmp_path / 'x'}$"):
        find_files(other, "m", [Sought("transformer", (name,))], "a/b")


def write_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_other_halves_of_a_file_are_left_out_only_when_told(tmp_path):
    path = write(tmp_path / "w.pth", weights("visual.") | {"textual.word": torch.zeros(9)})
    net = empty()
    load_weights(net, path, prefix="visual.", only_prefixed=True)
    assert torch.equal(net.scale, weights()["scale"])
    assert "1 extra (first textual.word (9,))" in refused(path, prefix="visual.")


def test_a_message_counts_and_names_what_does_not_fit(tmp_path):
    table = weights()
    table["second.weight"] = torch.zeros(5, 4)
    table["third.weight"], table["third.bias"] = torch.zeros(1), torch.zeros(1)
    del table["first.bias"]
    said = refused(write(tmp_path / "w.safetensors", table))
    assert "1 missing (first first.bias (4,))" in said
    assert "2 extra (first third." in said
    assert "1 misshapen (first second.weight (5, 4) instead of (2, 4))" in said
    assert "does not fit Net" in said and "expected 4 weights" in said


def test_a_huge_file_of_the_wrong_shape_is_refused_before_it_is_read(tmp_path):
    path, size = tmp_path / "huge.safetensors", 40 * 2**30  # sparse: it takes no room on the disk
    header = {"first.weight": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    raw = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + size)
    assert "1 misshapen" in refused(path)


def test_what_nobody_uses_is_checked_and_not_read(tmp_path):
    net, path = empty(), write(tmp_path / "w.safetensors", weights())
    open_weights(net, path).fill(net, device="cpu", dtype=torch.float32, unread=("second.", "scale"))
    assert [name for name, weight in net.state_dict().items() if weight.is_meta] == ["scale", "second.weight"]
    table = weights()
    del table["second.weight"]
    with pytest.raises(CheckpointError, match="1 missing"):
        open_weights(net, write(tmp_path / "x.safetensors", table))


STREAMING = r"""
import re, sys
from pathlib import Path
import torch
from torch import nn
from engine.weights.checkpoint import load_weights

def own():  # private bytes of this process: what is mapped from the file can be dropped, and does not count
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) * 1024

for words in sys.argv[2:]:
    file, device, dtype = words.split()
    with torch.device("meta"):
        net = nn.ModuleList(nn.Linear(2048, 2048, bias=False) for _ in range(16))
    before, seen = own(), []
    load_weights(net, Path(sys.argv[1]) / file, device=device, dtype=getattr(torch, dtype),
                 progress=lambda *_: seen.append(own() - before))
    print(max(seen))
"""
FILES = "w.safetensors", "w.pth"
PLACES = {("meta", "bfloat16"): 0.1, ("cpu", "float32"): 1.1, ("cpu", "bfloat16"): 0.6}


@pytest.fixture(scope="module")
def peaks(tmp_path_factory) -> dict[tuple[str, str, str], float]:
    """What each way of loading holds at the most, in parts of the weights; in a process where nothing else happens."""
    folder = tmp_path_factory.mktemp("streaming")
    for file in FILES:
        write(folder / file, {f"{i}.weight": torch.zeros(2048, 2048) for i in range(16)})
    ways = [(file, *place) for file in FILES for place in PLACES]
    program = [sys.executable, "-c", STREAMING, str(folder), *map(" ".join, ways)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=True)
    return {way: int(peak) / (16 * 2048 * 2048 * 4) for way, peak in zip(ways, done.stdout.split(), strict=True)}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc to see a process's memory")
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("place", PLACES, ids="-".join)
def test_weights_pass_through_memory_without_a_second_copy(peaks, file, place):
    """Towards another device (meta takes all and keeps nothing) next to none of them are ever held on the host."""
    assert peaks[(file, *place)] <= PLACES[place]


def test_progress_ends_at_one_and_never_falls(tmp_path):
    shares: list[float] = []
    path = write(tmp_path / "w.safetensors", weights())
    load_weights(empty(), path, progress=lambda _what, share: shares.append(share))
    assert shares[-1] == 1 and shares == sorted(shares) and len(shares) == 4


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cut.safetensors", None, "interrupted download"),
        ("pointer.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git-lfs pointer"),
        ("page.pth", b"<!DOCTYPE html><html>Log in</html>", "web page"),
        ("zeros.safetensors", b"\0" * 5000, "interrupted download"),
        ("empty.safetensors", b"", "interrupted download"),
        ("empty.pth", b"", "interrupted download"),
        ("noise.pth", bytes(range(256)) * 9, "interrupted download"),
    ],
)
def test_a_file_that_holds_no_weights_is_refused_with_what_it_is(tmp_path, name, content, said):
    path = tmp_path / name
    if content is None:
        content = write(tmp_path / "whole.safetensors", weights()).read_bytes()[:-7]
    path.write_bytes(content)
    assert said in refused(path)


def test_a_cut_pth_is_refused(tmp_path):
    whole = write(tmp_path / "whole.pth", weights()).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.pth")


class Evil:
    def __reduce__(self):
        return (print, ("code of the file was run",))


def test_a_pth_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"first.weight": Evil()}, tmp_path / "evil.pth")
    refused(tmp_path / "evil.pth")
    assert "was run" not in capsys.readouterr().out


def test_a_nested_training_checkpoint_is_refused(tmp_path):
    assert "training checkpoint" in refused(write(tmp_path / "w.pth", {"generator": weights(), "step": 3}))


def test_weights_that_are_no_floating_numbers_are_refused(tmp_path):
    table = weights()
    table["first.weight"] = torch.zeros(4, 3, dtype=torch.int8)
    assert "first.weight: I8" in refused(write(tmp_path / "w.safetensors", table))


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    assert "missing" in refused(tmp_path / "nowhere.safetensors")


KINDS = {
    "a LoRA": {"diffusion_model.blocks.0.self_attn.q.lora_A.weight": (4, 8)},
    "the VAE of Wan 2.2": {"encoder.downsamples.0.downsamples.0.residual.0.gamma": (160, 1, 1, 1)},
    "the VAE of Wan 2.1": {"decoder.upsamples.0.residual.0.gamma": (384, 1, 1, 1)},
    "a text encoder": {"token_embedding.weight": (256, 8), "blocks.0.attn.q.weight": (8, 8)},
    "a Wan foundation model of 1.3 B": {"patch_embedding.weight": (1536, 1), "blocks.0.self_attn.q.weight": (4, 4)},
    "the undistilled foundation model": {
        "blocks.0.self_attn.q.weight": (4, 4),
        "blocks.0.action_model.keyboard_embed.0.weight": (128, 4),
    },
    "Matrix-Game 2.0's distilled model of mode gta_drive": {
        "model.blocks.0.self_attn.q.weight": (4, 4),
        "model.blocks.0.action_model.keyboard_embed.0.weight": (128, 2),
    },
    "Matrix-Game 2.0's distilled model of mode templerun": {
        "model.blocks.0.self_attn.q.weight": (4, 4),
        "model.blocks.0.action_model.keyboard_embed.0.weight": (128, 7),
    },
    "a Wan model in the layout of diffusers": {"blocks.0.attn1.to_q.weight": (4, 4)},
    "a light decoder (TAEHV) of Wan 2.2": {"decoder.1.weight": (256, 48, 3, 3), "decoder.3.conv.0.weight": (4, 4)},
    "a light decoder (TAEHV) of another model": {"encoder.2.conv.weight": (64, 128, 1, 1)},
    "open-clip": {"visual.transformer.0.norm1.weight": (4,)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_file_is_recognised(tmp_path, kind):
    table = {name: torch.zeros(shape) for name, shape in KINDS[kind].items()}
    assert f"it looks like {kind}" in refused(write(tmp_path / "w.safetensors", table))


def find_published(folder: Path, model: str) -> list[Path]:
    sought = [Sought("network", (name,)) for name in published_names(model)]
    return find_files(folder, model, sought, "Skywork/Matrix-Game-2.0")


@pytest.mark.parametrize("mode", ["universal", "gta_drive", "templerun"])
def test_the_published_folder_gives_each_mode_its_files(tmp_path, mode):
    for name in published_names(mode):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    transformer, vae, image_tower = find_published(tmp_path, mode)
    assert mode[:3] in str(transformer) or mode == "universal"
    assert (vae.name, image_tower.suffix) == ("Wan2.1_VAE.pth", ".pth")


def test_missing_files_are_all_named_and_misplaced_ones_pointed_at(tmp_path):
    (tmp_path / "base_distill.safetensors").touch()
    with pytest.raises(CheckpointError) as caught:
        find_published(tmp_path, "universal")
    said = str(caught.value)
    assert "3 of 3" in said and all(name in said for name in published_names("universal"))
    assert f"(there is {tmp_path / 'base_distill.safetensors'})" in said


def test_a_folder_that_is_none_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "nowhere"):
        with pytest.raises(CheckpointError, match="no folder"):
            find_published(wrong, "universal")


def test_hashes_are_those_of_sha256sum(tmp_path):
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"abc")
    two.write_bytes(b"")
    assert sha256_of(one) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of_all([one]) == sha256_of(one)
    assert sha256_of_all([one, two]) != sha256_of_all([two, one])
    with pytest.raises(CheckpointError):
        sha256_of(tmp_path / "c")
