"""A program: plays two blocks of a model whose parts are on two devices, with tensors that have a device but no data.

What is on one device and meets what is on another fails here as it would on a GPU; no GPU is needed. It is a program of
its own because a made-up device stays registered for the life of a process. Prints where the frames came from.
"""

import sys

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import engine.rollout.causal
import engine.rollout.rollout
from engine.config.model import LightDecoderConfig
from engine.families import best_kernels, build_networks, new_rollout, readable_kernels
from engine.weights.placement import Place, Placement
from tests.engine.tiny import big_config, random_actions

DEVICE = "npu"


def main(elsewhere: set[str], light: bool, fast: bool) -> None:
    """elsewhere: of vae and image_tower those on the CPU. light: decode with the light decoder. fast: engine.fast's."""
    _setup_privateuseone_for_python_backend(DEVICE)
    config = big_config(decoder=LightDecoderConfig(latent_channels=4, widths=(8, 8, 4, 4)) if light else None)
    on_host = Place("cpu", torch.float32)
    placement = Placement(Place(DEVICE, torch.bfloat16), **dict.fromkeys(elsewhere, on_host))
    decoded_on = []

    def fetched(pictures):
        decoded_on.append(pictures.device.type)
        return lambda: np.zeros(pictures.shape, np.uint8)

    engine.rollout.rollout.fetch = fetched
    schedule = engine.rollout.causal.noise_schedule(config.denoising_steps, config.timestep_shift, config.context_noise)
    engine.rollout.causal.noise_schedule = lambda *_: schedule  # plain numbers, that fake tensors could not be read for
    plain = torch.tensor  # makes its numbers where no mode sees them; by way of the CPU it can
    torch.tensor = lambda values, device=None, dtype=None: plain(values, dtype=dtype).to(device or "cpu")
    picture = np.zeros((config.height, config.width, 3), np.uint8)
    with FakeTensorMode(allow_non_fake_inputs=True):
        networks = build_networks(config, "meta")
        for name, module in networks.modules().items():
            place = placement.of(name)
            empty = {key: torch.empty(weight.shape, device=place.device, dtype=place.dtype)
                     for key, weight in module.state_dict().items()}  # fmt: skip
            module.load_state_dict(empty, assign=True)
        kernels = (best_kernels if fast else readable_kernels)(networks)
        rollout = new_rollout(networks, picture, 0, kernels)
        for _ in range(2):
            rollout.step(random_actions(config, rollout.next_frames))
    cache = rollout.pipeline.caches.attention[0]
    assert (cache.keys if fast else cache._keys).device.type == DEVICE
    print(*decoded_on)


if __name__ == "__main__":
    main({"vae", "image_tower"} & set(sys.argv), "light" in sys.argv, "fast" in sys.argv)
