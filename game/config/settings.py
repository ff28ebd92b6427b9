"""Configs and overrides -> frozen dataclasses, with every mistake named together with the nearest right word.

hydra composes; nothing outside this file sees a DictConfig.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, Literal

from engine.config.fields import build
from engine.config.model import LightDecoderConfig, ModelConfig
from engine.families import family_of, model_config
from game.config import preferences
from game.config.paths import CONFIGS
from game.errors import ConfigError, nearest
from game.files import given_path

_composing = Lock()  # hydra composes for one thread at a time
GROUPS = ("model", "quality", "compile", "decoder", "record", "play", "serve")
PATHS = ("weights", "decoder.weights", "record.root")  # settings that are a path


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} is out of range", got=value, expected=f"{low} to {high}")


@dataclass(frozen=True)
class QualitySettings:
    """How much of a model's care is taken.

    denoising_steps: at most so many of the model's own steps, None for all. dtype: used where dtype=auto.
    """

    name: str = "default"
    denoising_steps: int | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        if self.denoising_steps is not None:
            _between("quality.denoising_steps", self.denoising_steps, 1, 1000)


@dataclass(frozen=True)
class CompileSettings:
    """Whether a large model's programs are compiled: "off", "default", or "max" for a longer search and CUDA graphs."""

    name: Literal["off", "default", "max"] = "off"


@dataclass(frozen=True)
class DecoderSettings:
    """What turns latents into pictures.

    weights: file of a light decoder, None to look beside the model's. sizes: of a light one, None for the model's own.
    """

    name: str = "own"
    weights: str | None = None
    sizes: LightDecoderConfig | None = None


@dataclass(frozen=True)
class DeviceSettings:
    """Where parts of a large model run: "cpu", "cuda", "cuda:N", or None for where all of it does.

    vae: its encoder, and its decoder or the light one.
    """

    image_tower: str | None = None
    vae: str | None = None

    def __post_init__(self) -> None:
        for name in ("image_tower", "vae"):
            value = getattr(self, name)
            if value is not None:
                _check_device(f"devices.{name}", value, ("cpu", "cuda"))


@dataclass(frozen=True)
class RecordSettings:
    """Where and how sessions are written; see configs/record/default.yaml."""

    root: str = "recordings"
    current: bool = False
    crf: int = 16
    icon_height: int = 320
    queue_mb: int = 256

    def __post_init__(self) -> None:
        _between("record.crf", self.crf, 0, 51)
        _between("record.icon_height", self.icon_height, 0, 2160)
        _between("record.queue_mb", self.queue_mb, 1, 65536)


@dataclass(frozen=True)
class LiveSettings:
    """How live play feels: configs/play, with the command line's words over it.

    Between the two comes the person's settings file, which knows all of these too: see `preferences`.
    """

    sensitivity: float
    margin_ms: float
    scale: Literal["smooth", "sharp", "whole"]
    icons: bool
    numbers: bool
    full_screen: bool
    rewind_mb: int | None

    def __post_init__(self) -> None:
        for name in ("sensitivity", "margin_ms", "rewind_mb"):
            if (value := getattr(self, name)) is not None:
                low, high = preferences.limits(name)
                kind = type(value) if name == "rewind_mb" else float
                _between(f"play.{name}", value, kind(low), kind(high))

    @staticmethod
    def usual() -> LiveSettings:
        """As configs/play/default.yaml has it."""
        return build(LiveSettings, dict(preferences.usual_of_play()), "play")


@dataclass(frozen=True)
class ServeSettings:
    """How `--serve` treats its clients; see configs/serve/default.yaml."""

    take_over: Literal["ask", "always", "never"] = "ask"
    wait_s: float = 600.0
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _between("serve.wait_s", self.wait_s, 1.0, 1e6)


@dataclass(frozen=True)
class Settings:
    """Everything a run is configured by, besides the flags.

    model: with the quality's denoising steps and the decoder's sizes already in it. said_of_play: the play options that
    the command line named. overrides: the words that changed the model's decoder or single numbers, which a replay must
    repeat.
    """

    model: ModelConfig
    quality: QualitySettings = field(default_factory=QualitySettings)
    compile: CompileSettings = field(default_factory=CompileSettings)
    decoder: DecoderSettings = field(default_factory=DecoderSettings)
    devices: DeviceSettings = field(default_factory=DeviceSettings)
    record: RecordSettings = field(default_factory=RecordSettings)
    play: LiveSettings = field(default_factory=LiveSettings.usual)
    said_of_play: tuple[str, ...] = ()
    serve: ServeSettings = field(default_factory=ServeSettings)
    weights: str | None = None
    device: str = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    weights_dtype: Literal["same", "int8", "fp8"] = "same"
    threads: int = 0
    check_memory: bool = True
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _between("threads", self.threads, 0, 1024)
        if self.compile.name != "off" and not family_of(self.model).compiles:
            remedy = "leave it away: only large models are compiled"
            raise ConfigError(f"compile does nothing for {self.model.name}", got=self.compile.name, remedy=remedy)
        if self.weights_dtype != "same" and not family_of(self.model).large:
            remedy = "leave it away: only large models have layers for eight bits"
            raise ConfigError(
                f"weights_dtype does nothing for {self.model.name}", got=self.weights_dtype, remedy=remedy
            )
        _check_device("device", self.device, ("auto", "cpu", "cuda"))


def _check_device(name: str, value: str, kinds: tuple[str, ...]) -> None:
    if value not in kinds and not re.fullmatch(r"cuda:\d+", value):
        remedy = f"did you mean {near}?" if (near := nearest(value, kinds)) else None
        expected = f"{', '.join(kinds)} or cuda:N"
        raise ConfigError(f"unknown {name}", got=value, expected=expected, remedy=remedy)


def load_settings(overrides: Sequence[str] = (), defaults: Sequence[str] = ()) -> Settings:
    """Composes configs/ with overrides.

    overrides: bare words of the command line, such as "model=NAME". defaults: words of the same kind that a
    script or a recording asks for; an override of the same name wins. Raises ConfigError.
    """
    names = {word.partition("=")[0] for word in overrides}
    words = [word for word in defaults if word.partition("=")[0] not in names] + list(overrides)
    for word in words:
        _check_shape(word)
    # A path is text, not hydra's grammar: it may hold = , { and the like.
    paths = {name: value for name, _, value in (word.partition("=") for word in words) if name in PATHS}
    data = _compose([word for word in words if word.partition("=")[0] not in PATHS])
    for name, value in paths.items():
        group, _, leaf = name.rpartition(".")
        (data[group] if group else data)[leaf] = _path(name, value)
    settings = _build(data)
    said = tuple(name.removeprefix("play.") for name in names if name.startswith("play."))
    telling = ("model.", "quality.", "weights_dtype=", *(("decoder=",) if settings.decoder.sizes else ()))
    numbers = tuple(word for word in words if word.startswith(telling))
    _between("model.fps", settings.model.fps, 0.1, 1000.0)
    model = _with_quality(settings.model, settings.quality)
    return replace(settings, model=model, overrides=numbers, said_of_play=said)


def _path(name: str, text: str) -> str | None:
    """A path as it stands; None where a setting may do without and none is given. Raises InputError."""
    if name == "record.root":
        if not text:
            raise ConfigError(f"{name} is empty", expected="a folder")
    elif text in ("", "null"):
        return None
    return str(given_path(text, name))


def settings_file_of(settings: Settings) -> preferences.SettingsFile:
    """The person's settings file between what configs/play says and what the command line said for this run."""
    options = {name: preferences.of_play(name, getattr(settings.play, name)) for name in preferences.OPTIONS}
    said = {name: value for name, value in options.items() if name in settings.said_of_play}
    usual = replace(preferences.Preferences(), **{name: v for name, v in options.items() if name not in said})
    return preferences.SettingsFile(session=said, usual=usual)


def options(group: str) -> list[str]:
    """The choices of a config group: the names of its files."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def _check_shape(word: str) -> None:
    name, equals, value = word.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w.-]*", name) or name.split(".")[0] == "hydra":
        homes = [group for group in GROUPS if word in options(group)]
        remedy = f"did you mean {homes[0]}={word}?" if homes else "python -m game --help lists what there is"
        raise ConfigError(f"cannot read the word {word!r}", expected="name=value", remedy=remedy)
    if name in GROUPS and value not in options(name):
        choices = options(name)
        near = nearest(value, choices)
        hint = f"did you mean {name}={near}?" if near else None
        raise ConfigError(f"there is no {name} {value!r}", expected=" or ".join(choices), remedy=hint)


def _compose(words: list[str]) -> dict[str, Any]:
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    with _composing, initialize_config_dir(str(CONFIGS), version_base="1.3"):
        try:
            return _table(OmegaConf.to_container(compose("config", overrides=words), resolve=True))
        except (HydraException, OmegaConfBaseException, OSError) as error:
            base = [word for word in words if word.partition("=")[0] in GROUPS]
            known = _table(OmegaConf.to_container(compose("config", overrides=base), resolve=False))
            raise _explain([word for word in words if word not in base], known, error) from error


_MOST = 2**53  # the largest whole number that a float holds exactly
_MOST_OF_MODEL = 2**20  # of anything in a model: nothing that is larger could be built


def _table(data: Any) -> dict[str, Any]:
    """What hydra composed, checked: whole numbers that no machine counts to are nobody's setting."""

    def check(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, inside in value.items():
                check(inside, f"{name}.{key}".lstrip("."))
        elif isinstance(value, list):
            for inside in value:
                check(inside, name)
        elif isinstance(value, int | float) and not abs(value) <= (
            most := _MOST_OF_MODEL if "model." in name else _MOST
        ):
            raise ConfigError(f"{name} is out of range", got=_shortly(value), expected=f"at most {most:g}")

    assert isinstance(data, dict)
    check(data, "")
    return {str(key): value for key, value in data.items()}


def _shortly(number: float) -> str:
    words = str(number)
    return words if len(words) <= 24 else f"{words[:20]}..."


def _explain(words: list[str], known: dict[str, Any], error: Exception) -> ConfigError:
    """The one-line error for overrides that hydra refused, given the config without them."""
    names = _paths(known)
    for word in words:
        name, _, value = word.partition("=")
        if name not in names:
            near = nearest(name, names)
            inside = name.rpartition(".")[0]
            choices = [other for other in names if other.rpartition(".")[0] == (inside if inside in names else "")]
            remedy = f"did you mean {near}={value}?" if near else None
            return ConfigError(f"there is no setting {name!r}", expected=", ".join(choices), remedy=remedy)
    said = str(error).strip().splitlines()
    return ConfigError(f"cannot read {' '.join(words)!r}", got=said[0] if said else type(error).__name__,
                       expected="name=value; lists as [1,2]; odd text in quotes")  # fmt: skip


def _paths(data: dict[str, Any], prefix: str = "") -> list[str]:
    names = []
    for key, value in data.items():
        names.append(prefix + key)
        if isinstance(value, dict):
            names += _paths(value, f"{prefix}{key}.")
    return names


def _build(data: dict[str, Any]) -> Settings:
    model = data.pop("model")
    if not isinstance(model, dict):
        raise ConfigError("model is not a group of fields", got=repr(model), expected=" or ".join(options("model")))
    decoder = build(DecoderSettings, data.pop("decoder"), "decoder")
    parts = {
        "quality": build(QualitySettings, data.pop("quality"), "quality"),
        "compile": build(CompileSettings, data.pop("compile"), "compile"),
        "decoder": decoder,
        "record": build(RecordSettings, data.pop("record"), "record"),
        "serve": build(ServeSettings, data.pop("serve"), "serve"),
        "play": build(LiveSettings, data.pop("play"), "play"),
    }
    parts["model"] = replace(model_config(model), decoder=decoder.sizes)
    return build(Settings, data | parts, "")


def _with_quality(model: ModelConfig, quality: QualitySettings) -> ModelConfig:
    """`model` with no more denoising steps than `quality` allows, the first and the last among them."""
    steps, wanted = model.denoising_steps, quality.denoising_steps
    if wanted is None or wanted >= len(steps):
        return model
    last = len(steps) - 1
    kept = [steps[round(i * last / (wanted - 1))] for i in range(wanted)] if wanted > 1 else [steps[0]]
    return replace(model, denoising_steps=tuple(kept))
