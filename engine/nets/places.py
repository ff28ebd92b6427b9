"""Where known pictures were taken: poses that were found once, and are believed as long as the memory agrees.

To find a picture's place takes many looks; to see that a place is right takes one. So the scenes that come with the
program begin at once: their poses lie beside the weights (`places.json`), each with how unlike the picture what memory
sees from there was. Where that is no longer so (other weights), the place is searched for as that of any picture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.errors import CheckpointError
from engine.nets.camera import Camera
from engine.nets.spatial_memory import Pose, SpatialMemory

FILE = "places.json"
_ROUNDING = 1e-4  # of the picture's range, by which another machine may see it otherwise


@dataclass(frozen=True)
class Place:
    """pose: x, y, yaw, pitch and hour, as Pose has them. unlike: mean difference of picture and view, -1..1 each."""

    pose: tuple[float, ...]
    unlike: float


Places = Mapping[str, Place]
"""By the `key` of the picture."""


def key(picture: np.ndarray) -> str:
    """Of a first frame (H, W, 3) uint8 RGB of the model's own size."""
    return hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest()


def unlike(pose: Pose, picture: Tensor, memory: SpatialMemory, camera: Camera) -> float:
    """Mean difference of a picture (1, 3, H, W) in -1..1 and what the memory sees from `pose`."""
    return float((memory.look(pose, camera).frames - picture).abs().mean())


def recall(places: Places, name: str, picture: Tensor, memory: SpatialMemory, camera: Camera) -> Pose | None:
    """The pose of the picture (1, 3, H, W) in -1..1 whose key is `name`; None if it is not known, or no longer so."""
    known = places.get(name)
    if known is None:
        return None
    pose = as_pose(known.pose, picture.device)
    return pose if unlike(pose, picture, memory, camera) <= known.unlike + _ROUNDING else None


def as_pose(numbers: tuple[float, ...], device: torch.device) -> Pose:
    """Five numbers as the pose of a batch of one."""
    return Pose(*torch.tensor(numbers, device=device)[:, None].unbind())


def read_places(folder: Path) -> Places:
    """Those that lie beside a model's weights; none without a file. Raises CheckpointError for one that is broken."""
    path = folder / FILE
    try:
        entries = json.loads(path.read_text(encoding="utf-8")).items()
        places = {name: Place(tuple(map(float, entry["pose"])), float(entry["unlike"])) for name, entry in entries}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{path.name} cannot be read", got=error, remedy="delete it: scenes then begin later"
        ) from error
    if any(len(place.pose) != 5 for place in places.values()):
        raise CheckpointError(f"{path.name} holds a pose that is not five numbers", remedy="delete it")
    return places


def write_places(places: Places, folder: Path) -> None:
    """Writes them where `read_places` finds them."""
    entries = {name: {"pose": list(place.pose), "unlike": place.unlike} for name, place in places.items()}
    (folder / FILE).write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
