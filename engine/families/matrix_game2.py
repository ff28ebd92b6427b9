"""Matrix-Game 2.0 (Skywork, arXiv 2508.13009): three distilled models on Wan2.1's transformer, VAE and image tower."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from engine.actions import ActionSpace, Hint, Key
from engine.config.model import AttentionActionsConfig, MatrixGame2Config, WanCodecConfig
from engine.families.family import Checkpoint, Family, Job, WeightFile
from engine.families.spaces import CAMERA_DEGREES, CAMERA_STEP, WALK, A, D, S, W

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from engine.fast.kernels import Kernels
    from engine.nets.networks import MatrixGame2Networks
    from engine.rollout.pipeline import Pipeline
    from engine.weights.placement import Bits

DRIVE = ActionSpace(
    mode="gta_drive",
    label="drive",
    controls=(
        Key("W", "accelerate", 0, opposite="S", axis=("walk", 1)),
        Key("S", "brake", 1, opposite="W", axis=("walk", -1)),
        Key("A", "steer left", None, opposite="D", yaw=-CAMERA_STEP),
        Key("D", "steer right", None, opposite="A", yaw=CAMERA_STEP),
    ),
    keyboard_dim=2,
    has_mouse=True,
    mouse_limit=CAMERA_STEP,
    mouse_step=CAMERA_STEP,
    degrees=CAMERA_DEGREES,
    hints=(Hint(("W", "S"), "drive"), Hint(("A", "D"), "steer, or click and use the mouse")),
    mix=(
        *[(A, 0.0), (D, 0.0)] * 2,
        *[(W, 0.0), (S, 0.0)] * 2,
        *[(pedal + steer, 0.0) for pedal in (W, S) for steer in (A, D)],
    ),
)
RUN = ActionSpace(
    mode="templerun",
    label="run",
    controls=(
        Key("W", "jump", 1, opposite="S"),
        Key("S", "slide", 2, opposite="W"),
        Key("A", "step left", 5, opposite="D", axis=("strafe", -1)),
        Key("D", "step right", 6, opposite="A", axis=("strafe", 1)),
        Key("Z", "turn left", 3, opposite="C", axis=("yaw", -1)),
        Key("C", "turn right", 4, opposite="Z", axis=("yaw", 1)),
    ),
    keyboard_dim=7,
    has_mouse=False,
    one_at_a_time=True,
    rest_column=0,
    hints=(Hint(("W", "S"), "jump, slide"), Hint(("A", "D"), "step aside"), Hint(("Z", "C"), "turn")),
    mix=tuple((keys, 0.0) for keys in (W, S, A, D, ("Z",), ("C",), ())),
)

_REPOSITORY = "Skywork/Matrix-Game-2.0"
_TRANSFORMERS = {
    "universal": "base_distilled_model/base_distill.safetensors",
    "gta_drive": "gta_distilled_model/gta_keyboard2dim.safetensors",
    "templerun": "templerun_distilled_model/templerun_7dim_onlykey.safetensors",
}
_VAE = WeightFile("codec", "Wan2.1_VAE.pth")
_TOWER = WeightFile(
    "image_tower",
    "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
    prefix="visual.",
    only_prefixed=True,  # the text half is left out
)
# Not on Hugging Face under its author's name, but published on GitHub; pinned, so the hash is known beforehand.
_LIGHT_DECODER = WeightFile(
    "light_decoder",
    "taew2_1.safetensors",
    others=("taew2_1.pth",),
    prefix="decoder.",
    only_prefixed=True,
    url="https://raw.githubusercontent.com/madebyollin/taehv/0ad83bb8fdc48e9e94138704e939d500a3b43660/safetensors/"
    "taew2_1.safetensors",
    sha256="04766eac0221b5390b985ae3fdcca652cbb4b1e8b82b28ea7ff89dfad1b1a93f",
    size=22_642_902,
    source="github.com/madebyollin/taehv, folder safetensors",
)


class MatrixGame2(Family[MatrixGame2Config, "MatrixGame2Networks"]):
    """See the module's text. A checkpoint of a mode that is here already is one more entry in `_TRANSFORMERS`."""

    name: ClassVar[str] = "matrix_game2"
    title: ClassVar[str] = "Matrix-Game 2.0"
    config = MatrixGame2Config
    spaces: ClassVar[tuple[ActionSpace, ...]] = (WALK, DRIVE, RUN)
    parts: ClassVar[tuple[str, ...]] = ("vae", "image_tower")
    borrowed: ClassVar[tuple[str, ...]] = ("image_tower",)
    takes_decoder: ClassVar[bool] = True
    original: ClassVar[tuple[int, int] | None] = (9000, 900)
    compiles: ClassVar[bool] = True
    graphs: ClassVar[Mapping[str, int]] = {"transformer": 1, "codec": 1, "light_decoder": 1}

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(_TRANSFORMERS)

    def checkpoint(self, config: MatrixGame2Config) -> Checkpoint | None:
        name = _TRANSFORMERS.get(config.name)
        if name is None or config.slice_of is not None:
            return None
        files = [WeightFile("transformer", name, prefix="model."), _VAE]
        files += [_TOWER] if config.image_tower is not None else []
        files += [_LIGHT_DECODER] if config.decoder is not None else []
        return Checkpoint(tuple(files), _REPOSITORY)

    def check(self, config: MatrixGame2Config) -> None:
        self.space(config).check_widths(config.transformer.actions.keyboard_dim, config.transformer.actions.mouse_dim)

    def build(self, config: MatrixGame2Config, device: torch.device | str) -> MatrixGame2Networks:
        import torch

        from engine.nets.image_tower import ImageTower
        from engine.nets.networks import MatrixGame2Networks
        from engine.nets.patch_codec import PatchCodec
        from engine.nets.taehv import LightDecoder
        from engine.nets.transformer import Transformer
        from engine.nets.vae import WanVAE

        with torch.device(device):
            tower = None if config.image_tower is None else ImageTower(config.image_tower)
            light = None if config.decoder is None else LightDecoder(config.decoder)
            transformer = Transformer(config.transformer, config.time_ratio)
            codec = WanVAE(config.codec) if isinstance(config.codec, WanCodecConfig) else PatchCodec(config.codec)
            return MatrixGame2Networks(config, transformer, codec, tower, light)

    def unread(self, networks: MatrixGame2Networks) -> Mapping[str, tuple[str, ...]]:
        from engine.nets.image_tower import ImageTower
        from engine.nets.vae import WanVAE

        tower, codec = networks.image_tower, networks.codec
        lit = networks.light_decoder is not None
        return {
            "image_tower": tower.unused if isinstance(tower, ImageTower) else (),
            "codec": codec.of_decoder if lit and isinstance(codec, WanVAE) else (),
        }

    def decoding(self, networks: MatrixGame2Networks) -> Mapping[str, tuple[str, ...]]:
        from engine.nets.vae import WanVAE

        codec = networks.codec
        return {"codec": codec.of_decoder if isinstance(codec, WanVAE) else (), "light_decoder": ("",)}

    def eighths(self, networks: MatrixGame2Networks, bits: Bits) -> tuple[str, ...]:
        # Cross attention looks at few tokens of a wide range: in eight bits it alone is three times all else's error.
        names = ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "ffn.0", "ffn.2")
        return tuple(f"blocks.{layer}.{name}" for layer in range(len(networks.transformer.blocks)) for name in names)

    def loaded(self, networks: MatrixGame2Networks, borrow: Callable[[str], nn.Module] | None) -> MatrixGame2Networks:
        if borrow is None or networks.image_tower is None:
            return networks
        from engine.nets.image_tower import BorrowedTower, ImageTower

        return replace(networks, image_tower=BorrowedTower(lambda: cast(ImageTower, borrow("image_tower"))))

    def kernels(self, networks: MatrixGame2Networks, fast: bool) -> Kernels:
        from engine.fast.decoder import DecoderNetwork, FastWanDecoder
        from engine.fast.kernels import Kernels
        from engine.fast.taehv import FastLightDecoder, LightNetwork
        from engine.fast.transformer import FastTransformer
        from engine.nets.taehv import LightDecoder
        from engine.nets.vae import WanVAE

        net = networks.config.transformer
        decoder: Any = networks.light_decoder or networks.codec
        if not fast or not isinstance(net.actions, AttentionActionsConfig) or net.visual_context is None:
            return Kernels(networks.transformer, decoder)
        if isinstance(decoder, WanVAE):
            decoder = FastWanDecoder(DecoderNetwork(decoder))
        elif isinstance(decoder, LightDecoder):
            decoder = FastLightDecoder(LightNetwork(decoder))
        return Kernels(FastTransformer(networks.transformer, networks.config.latent_size), decoder, fast=True)

    def pipeline(self, networks: MatrixGame2Networks, kernels: Kernels, first_frame: np.ndarray, seed: int) -> Pipeline:
        from engine.frames import to_signed
        from engine.rollout.causal import CausalPipeline
        from engine.rollout.condition import FirstFrameCondition
        from engine.rollout.sampler import from_velocity

        picture = to_signed(first_frame).to(networks.device, networks.dtype)
        context = None if networks.image_tower is None else networks.image_tower(picture[:, 0])
        condition = FirstFrameCondition(networks.codec, picture, networks.config.time_ratio)
        return CausalPipeline(networks, kernels, condition, from_velocity, context)

    def compilation(self, kernels: Kernels, config: MatrixGame2Config, how: str) -> Any:
        from engine.fast.compiling import Compilation

        return Compilation(kernels, config, how)

    def jobs(self, networks: MatrixGame2Networks, kernels: Kernels) -> Mapping[str, tuple[Job, ...]]:
        import torch

        from engine.actions import Actions
        from engine.nets.action_windows import ActionHistory
        from engine.rollout.condition import FirstFrameCondition

        config, device, dtype = networks.config, networks.device, networks.dtype
        actions = Actions.stack([self.space(config).idle()] * config.frames_of_block(0))
        shape = (1, config.block_latents, config.codec.latent_channels, *config.latent_size)
        picture = torch.empty(1, 1, 3, config.height, config.width, device=device, dtype=networks.dtype)

        def begin_transformer() -> tuple[Any, Any, Any]:
            net, visual = kernels.transformer, config.transformer.visual_context
            caches = net.new_caches(config.window, config.sink)
            context = None
            if visual is not None:
                context = torch.empty(1, visual.tokens, visual.channels, device=device, dtype=dtype)
            passes = len(config.denoising_steps) + (config.context_noise is not None)
            prepared = net.prepare_rollout(torch.zeros(passes, device=device), config.latent_size, context)
            return caches, prepared, ActionHistory(config.transformer.actions, config.time_ratio)

        def one_pass(kept: tuple[Any, Any, Any]) -> Any:
            caches, prepared, history = kept
            windows = history.extend(actions).to(device, dtype)
            block = kernels.transformer.prepare_block(prepared, windows, config.block_latents, caches)
            noisy = torch.empty(1, shape[1], config.transformer.in_channels, *shape[3:], device=device)
            kernels.transformer(noisy, block, 0, caches)
            return block

        def look(_: None) -> None:
            if networks.image_tower is not None:
                networks.image_tower(torch.empty(1, 3, config.height, config.width, device=device))

        encode = Job(lambda: FirstFrameCondition(networks.codec, picture, config.time_ratio),
                     lambda condition: condition.for_block(0, config.block_latents, actions))  # fmt: skip
        decode = Job(kernels.decoder.decoder_stream, lambda stream: stream.decode(torch.empty(shape, device=device)))
        with_light = {"codec": (encode,), "light_decoder": (decode,)}
        return {
            "transformer": (Job(begin_transformer, one_pass),),
            **(with_light if networks.light_decoder is not None else {"codec": (encode, decode)}),
            "image_tower": (Job(lambda: None, look),),
        }
