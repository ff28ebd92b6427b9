"""First frames: the shipped scenes, or any picture of a person's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from game.config.paths import SCENES
from game.errors import InputError, did_you_mean

_OPENING = "hall"  # wide open ahead, whatever key comes first
PICTURE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jp2", ".webp", ".avif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".gif", ".heic", ".heif", ".hif"),
)


@dataclass(frozen=True)
class Scene:
    """A picture to start a world from. name: as people call it. path: its file."""

    name: str
    path: Path

    @property
    def shipped(self) -> bool:
        """Whether it came with the program."""
        return self.path.parent == SCENES

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB of any size. Raises PictureError if the file cannot be used."""
        from game.media.pictures import read_picture

        return read_picture(self.path)


def shipped_scenes() -> list[Scene]:
    """The scenes that come with the program: the opening one, then by name. Raises InputError if there is none."""
    scenes = [Scene(path.stem, path) for path in SCENES.glob("*.png")]
    scenes.sort(key=lambda scene: (scene.name != _OPENING, scene.name))
    if not scenes:
        raise InputError(f"no scenes in {SCENES}", remedy="give a picture of your own with --scene PATH")
    return scenes


def find_scene(wanted: str) -> Scene:
    """The scene called `wanted`: a shipped one's name, or a picture's path (the picture is opened as a check).

    Raises InputError for a name no scene has, PictureError for a file that is no picture.
    """
    names = {path.stem: path for path in SCENES.glob("*.png")}
    if wanted in names:
        return Scene(wanted, names[wanted])
    path = Path(wanted).expanduser()
    if path.is_file() or path.suffix.lower() in PICTURE_SUFFIXES or len(path.parts) > 1:
        scene = Scene(path.stem, path)
        scene.picture()
        return scene
    expected = f"{', '.join(sorted(names))} or a picture's path" if names else "a picture's path"
    raise InputError(f"there is no scene {wanted!r}", expected=expected, remedy=did_you_mean(wanted, names))


def scenes_from(wanted: str | None) -> tuple[list[Scene], int]:
    """All scenes that live play goes round, and the index of the one to begin with: `wanted`, or the first."""
    if wanted is None:
        return shipped_scenes(), 0
    chosen = find_scene(wanted)
    scenes = shipped_scenes() if any(SCENES.glob("*.png")) else []
    if chosen in scenes:
        return scenes, scenes.index(chosen)
    return [chosen, *scenes], 0


def usual_picture(height: int, width: int) -> np.ndarray:
    """A first frame to measure with: the first shipped scene, or a gradient where there is none."""
    scenes = sorted(SCENES.glob("*.png"))
    if scenes:
        from game.media.pictures import read_picture

        return read_picture(scenes[0])
    column, row = np.linspace(0, 255, width), np.linspace(0, 255, height)
    grey = (column[None, :] + row[:, None]) / 2
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
