"""Guesses, from names and shapes alone, what a weights file holds; only ever used to word an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Shapes = Mapping[str, tuple[int, ...]]

_LIGHT_BY_CHANNELS = {16: "Wan 2.1 or Hunyuan Video", 32: "Hunyuan Video 1.5", 48: "Wan 2.2", 128: "LTX-2"}
_MODE_BY_KEYS = {4: "universal", 2: "gta_drive", 7: "templerun"}


def guess_kind(shapes: Shapes) -> str | None:
    """In a few words, what a file with these weights most likely is; None if it resembles nothing known.

    shapes: name -> shape of everything the file holds, names as they stand in the file.
    """
    known = next((words for test, words in _KINDS if test(shapes)), None)
    return known or _tiny_autoencoder(shapes) or _world_model(shapes)


def guess_content(start: bytes) -> str | None:
    """What a file that is no weights file at all most likely is, from its first bytes (64 or more)."""
    if start.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer: the file itself was never downloaded (git lfs pull)"
    if start.lstrip()[:1] == b"<":
        return "a web page: the download was answered with an error or a login page"
    if not start.strip(b"\0"):
        return "zeros: an interrupted download"
    return None


def _tiny_autoencoder(shapes: Shapes) -> str | None:
    """Tells those of the TAEHV family apart, by the channels of their latents."""
    if not any(name.startswith(("decoder.3.conv.", "encoder.2.conv.")) for name in shapes):
        return None
    channels = shapes.get("decoder.1.weight", (0, 0))[1]
    return f"a light decoder (TAEHV) of {_LIGHT_BY_CHANNELS.get(channels, 'another model')}"


def _world_model(shapes: Shapes) -> str | None:
    """Tells the transformers of the Wan family apart."""
    bare = {name.removeprefix("model.") for name in shapes}
    if not any(name.startswith("blocks.0.self_attn.") for name in bare):
        return None
    keyboard = next((s for n, s in shapes.items() if n.endswith("blocks.0.action_model.keyboard_embed.0.weight")), None)
    if keyboard is None:
        patch = next((shape for name, shape in shapes.items() if name.endswith("patch_embedding.weight")), None)
        size = {1536: " of 1.3 B", 5120: " of 14 B"}.get(patch[0], "") if patch else ""
        return f"a Wan foundation model{size}, which knows no actions"
    mode = _MODE_BY_KEYS.get(keyboard[-1], f"unknown ({keyboard[-1]} keys)")
    if not any(name.startswith("model.") for name in shapes):
        return f"the undistilled foundation model of Matrix-Game 2.0 (mode {mode}), which needs many more steps"
    return f"Matrix-Game 2.0's distilled model of mode {mode}"


def _any(*parts: str) -> Callable[[Shapes], bool]:
    return lambda shapes: any(part in name for name in shapes for part in parts)


def _starts(*beginnings: str) -> Callable[[Shapes], bool]:
    return lambda shapes: any(name.startswith(beginnings) for name in shapes)


# The first that fits wins: narrow descriptions stand before wide ones.
_KINDS: tuple[tuple[Callable[[Shapes], bool], str], ...] = (
    (_any("lora_A", "lora_B", "lora_up", "lora_down"), "a LoRA, which only alters a model"),
    (_any(".scale_weight", ".qweight", ".weight_scale"), "a quantised model"),
    (_any("downsamples.0.downsamples.", "upsamples.0.upsamples."), "the VAE of Wan 2.2 (Wan 2.1's is needed)"),
    (_starts("decoder.upsamples.", "encoder.downsamples."), "the VAE of Wan 2.1"),
    (_any("decoder.mid_block.", "encoder.mid_block.", "decoder.up_blocks."), "a VAE in the layout of diffusers"),
    (_starts("token_embedding.", "shared.", "encoder.block.", "encoder.embed_tokens."), "a text encoder (T5)"),
    (_starts("vision_model.", "text_model."), "a CLIP model in the layout of transformers"),
    (_starts("visual.transformer.", "textual."), "open-clip's XLM-RoBERTa ViT-H/14"),
    (_starts("condition_embedder."), "a Wan model in the layout of diffusers"),
    (_any("blocks.0.attn1."), "a Wan model in the layout of diffusers"),
    (_starts("generator.", "generator_ema.", "critic.", "optimizer."), "a training checkpoint"),
)
