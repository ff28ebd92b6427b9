"""Waypoint-1.5 (Overworld): worlds at 60 pictures a second, told by any key, the mouse and its wheel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from engine.actions import ActionSpace, Hint, Key
from engine.config.waypoint import WaypointConfig
from engine.families.family import Checkpoint, Family, Job, WeightFile

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from engine.fast.kernels import Kernels
    from engine.nets.networks import WaypointNetworks
    from engine.rollout.pipeline import Pipeline
    from engine.weights.placement import Bits

BUTTONS = 256
# What the players' programs say each of these does; the network was taught games in which they did.
_SHOWN = (
    ("W", 87, "forward", "S"),
    ("S", 83, "back", "W"),
    ("A", 65, "left", "D"),
    ("D", 68, "right", "A"),
    ("SPACE", 32, "jump", None),
    ("SHIFT", 16, "run", None),
    ("CTRL", 17, "crouch", None),
    ("E", 69, "use", None),
    ("F", 70, "action", None),
    ("Q", 81, "switch", None),
    ("MOUSE_LEFT", 1, "shoot or hit", None),
    ("MOUSE_RIGHT", 2, "aim", None),
    ("MOUSE_MIDDLE", 4, "middle button", None),
)
_AXES = {"W": ("walk", 1), "S": ("walk", -1), "A": ("strafe", -1), "D": ("strafe", 1)}
# Windows virtual-key codes, by which the model was taught. Every code can be sent; those without a name by number.
_NAMED = {
    "MOUSE_4": 5, "MOUSE_5": 6, "BACKSPACE": 8, "TAB": 9, "ENTER": 13, "ALT": 18, "CAPSLOCK": 20, "ESC": 27,
    "PAGEUP": 33, "PAGEDOWN": 34, "END": 35, "HOME": 36, "LEFT": 37, "UP": 38, "RIGHT": 39, "DOWN": 40, "INSERT": 45,
    "DELETE": 46, "NUM_MULTIPLY": 106, "NUM_PLUS": 107, "NUM_MINUS": 109, "NUM_POINT": 110, "NUM_DIVIDE": 111,
    "L_SHIFT": 160, "R_SHIFT": 161, "L_CTRL": 162, "R_CTRL": 163, "L_ALT": 164, "R_ALT": 165, "SEMICOLON": 186,
    "EQUALS": 187, "COMMA": 188, "MINUS": 189, "PERIOD": 190, "SLASH": 191, "BACKQUOTE": 192, "LEFT_BRACKET": 219,
    "BACKSLASH": 220, "RIGHT_BRACKET": 221, "QUOTE": 222,
    **{chr(code): code for code in (*range(48, 58), *range(65, 91))},
    **{f"NUM_{digit}": 96 + digit for digit in range(10)},
    **{f"F{number}": 111 + number for number in range(1, 25)},
}  # fmt: skip
_SEEN = {code for _, code, _, _ in _SHOWN}
_OTHERS = {code: name for name, code in _NAMED.items() if code not in _SEEN}

DESKTOP = ActionSpace(
    mode="keyboard_mouse",
    label="any key and mouse",
    controls=(
        *(Key(name, label, code, opposite=opposite, axis=_AXES.get(name)) for name, code, label, opposite in _SHOWN),
        Key("WHEEL_UP", "wheel up", BUTTONS, opposite="WHEEL_DOWN"),
        Key("WHEEL_DOWN", "wheel down", BUTTONS + 1, opposite="WHEEL_UP"),
    ),
    more=tuple(
        Key(_OTHERS.get(code, f"VK_{code}"), f"key code {code}", code) for code in range(BUTTONS) if code not in _SEEN
    ),
    # Every code by its number, too, as other programs may write all of them.
    aliases=tuple(
        (f"VK_{code}", name) for name, code in {**{name: code for name, code, _, _ in _SHOWN}, **_NAMED}.items()
    ),
    keyboard_dim=BUTTONS + 2,
    has_mouse=True,
    mouse_limit=1000.0,
    mouse_step=60.0,  # so that with the usual sensitivity a pixel is a pixel
    look_step=10.0,
    degrees=(0.05, 0.05),  # of a pixel; nobody says: that of a shooter at its usual sensitivity
    has_looks=True,
    has_pitch=True,
    hints=(
        Hint(("W", "A", "S", "D"), "walk"),
        Hint(("SPACE", "SHIFT"), "jump, run"),
        Hint(("look_left", "look_right"), "look, or click and use the mouse"),
    ),
    mix=(
        *[(("W",), 0.0), (("W", "SHIFT"), 0.0), (("A",), 0.0), (("D",), 0.0), (("W", "SPACE"), 0.0)] * 2,
        *[((), turn) for turn in (-10.0, 10.0)] * 2,
        *[(("W",), turn) for turn in (-10.0, 10.0)],
    ),
)

_REPOSITORIES = {"waypoint": "Overworld/Waypoint-1.5-1B", "waypoint-360p": "Overworld/Waypoint-1.5-1B-360P"}
_REVISIONS = {"waypoint": "391f92827075"}  # by which the network here was written; of the other none was named


class Waypoint(Family[WaypointConfig, "WaypointNetworks"]):
    """See the module's text. A checkpoint of another size is one more entry in `_REPOSITORIES`, and a config file."""

    name: ClassVar[str] = "waypoint"
    title: ClassVar[str] = "Waypoint 1.5"
    config = WaypointConfig
    spaces: ClassVar[tuple[ActionSpace, ...]] = (DESKTOP,)
    parts: ClassVar[tuple[str, ...]] = ("vae",)
    compiles: ClassVar[bool] = True
    graphs: ClassVar[Mapping[str, int]] = {"transformer": 2, "codec": 1}

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(_REPOSITORIES)

    def checkpoint(self, config: WaypointConfig) -> Checkpoint | None:
        if config.name not in _REPOSITORIES or config.slice_of is not None:
            return None
        files = (
            WeightFile("transformer", "model.safetensors"),
            WeightFile("codec", "vae/diffusion_pytorch_model.safetensors", others=("taehv1_5.pth",),
                       source="huggingface.co/Overworld-Models/taehv1_5"),
        )  # fmt: skip
        return Checkpoint(files, _REPOSITORIES[config.name], _REVISIONS.get(config.name))

    def check(self, config: WaypointConfig) -> None:
        self.space(config).check_widths(config.transformer.buttons + 2, 2)

    def build(self, config: WaypointConfig, device: torch.device | str) -> WaypointNetworks:
        import torch

        from engine.nets.networks import WaypointNetworks
        from engine.nets.taehv import TaehvCodec
        from engine.nets.waypoint import WaypointTransformer

        with torch.device(device):
            return WaypointNetworks(config, WaypointTransformer(config.transformer), TaehvCodec(config.codec))

    def decoding(self, networks: WaypointNetworks) -> Mapping[str, tuple[str, ...]]:
        return {"codec": ("",)}  # published in float16, both halves

    def eighths(self, networks: WaypointNetworks, bits: Bits) -> tuple[str, ...]:
        names = ["dit_mlp.fc1", "dit_mlp.fc2"]
        if bits == "int8":  # with three bits of mantissa, attention would be most of the error
            names += ["attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.out_proj"]
        return tuple(
            f"transformer.blocks.{layer}.{name}"
            for layer in range(networks.config.transformer.layers)
            for name in (*names, *(("ctrl_mlpfusion.fc1_x", "ctrl_mlpfusion.fc2")
                                   if networks.config.transformer.takes_controls(layer) else ()))
        )  # fmt: skip

    def remarks(self, networks: WaypointNetworks) -> tuple[str, ...]:
        return (networks.transformer.copies().words(),)

    def loaded(self, networks: WaypointNetworks, borrow: Callable[[str], nn.Module] | None) -> WaypointNetworks:
        import torch

        with torch.inference_mode(), torch.device(networks.device):
            networks.transformer.tabulate(networks.config.all_sigmas)
        return networks

    def kernels(self, networks: WaypointNetworks, fast: bool) -> Kernels:
        from engine.fast.kernels import Kernels
        from engine.fast.taehv import FastLightDecoder, LightNetwork
        from engine.fast.waypoint import FastWaypoint

        if not fast:
            return Kernels(networks.transformer, networks.codec)
        decoder = FastLightDecoder(LightNetwork(networks.codec.decoder), warm=True)
        return Kernels(FastWaypoint(networks.transformer), decoder, fast=True)

    def pipeline(self, networks: WaypointNetworks, kernels: Kernels, first_frame: np.ndarray, seed: int) -> Pipeline:
        from engine.rollout.waypoint import WaypointPipeline

        return WaypointPipeline(networks, kernels, first_frame)

    def compilation(self, kernels: Kernels, config: WaypointConfig, how: str) -> Any:
        from engine.fast.compiling import WaypointCompilation

        return WaypointCompilation(kernels, config, how)

    def jobs(self, networks: WaypointNetworks, kernels: Kernels) -> Mapping[str, tuple[Job, ...]]:
        import torch

        from engine.rollout.waypoint import stretched

        config, device = networks.config, networks.device
        latent = torch.empty(1, 1, config.codec.latent_channels, *config.latent_size, device=device)
        pictures = torch.empty(1, config.codec.time_ratio, 3, *config.coded_size, device=device)

        def begin() -> tuple[Any, Any]:
            return kernels.transformer.new_caches(), kernels.transformer.prepare_rollout(config.sigmas)

        def one_pass(kept: tuple[Any, Any]) -> Any:
            caches, prepared = kept
            controls = torch.empty(1, config.transformer.controls, device=device)
            block = kernels.transformer.prepare_block(prepared, controls, caches)
            kernels.transformer(latent, block, 0, caches)
            return block

        encode = Job(lambda: None, lambda _: networks.codec.encoder_stream().encode(pictures))
        decode = Job(kernels.decoder.decoder_stream, lambda stream: stretched(stream.decode(latent), config))
        return {"transformer": (Job(begin, one_pass),), "codec": (encode, decode)}
