"""Learns what everybody looks like, from every side and in every part of a stride, from pictures that were cut out.

What is seen of somebody from one side in one part of a stride is always the same picture on the same card; only where
the card stood is known no better than to a pixel, and which part of the stride it was not at all. So both are found out
together with the texels: *portraits* of a side, as many as there are parts of a stride, are drawn over what was behind,
as play draws them, and texels and places are moved until that is what was seen; every picture belongs to the portrait
that it is most like. A mean of pictures laid upon each other by their outlines was half as crisp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import ConfigError
from engine.nets.camera import Camera
from engine.nets.cards import Atlas, Cards, draw_alone, reaching
from engine.nets.slots import ROLLS, WALKS, SlotMemory
from engine.nets.spatial_memory import SpatialMemory
from engine.nets.surfaces import Eyes
from engine.training.stage import Say
from engine.training.watch import Sightings
from engine.training.who import Kinds, Told, Ways, means, sides

_CLOSE = 4.5  # cells, from where one sees well what somebody looks like
_STRIDES = 3  # pictures that a stride is told apart in
_MANY = 72  # pictures of a side that are looked at, the nearest
_FEW = 4  # that a portrait is made of at least
_BEST = 12  # and better
_SQUARE = 0.6  # of half of what one side is seen from: how far beside its middle a side may be looked at
_SIZES = 0.12  # of somebody's height, by how much its sides and height differ in a stride
_SHARE = 0.1  # of the pictures of a side, that a part of a stride is seen in at least: else that was something behind
_OF_ONE = 8  # sightings of one watcher that a side is made of
_OFTEN = 2  # watchers at least who saw what is no accident
_RIM = 0.012  # cells beside what was seen that a tile reaches
_LAMP = 0.65  # how bright things are by lamp, beside by day, where it is not known
_ONE = 0.5  # how much it counts that portraits are of one and the same
_EVEN = 0.01  # and that texels beside each other are alike, where nothing says that they are not
_LEAN = 0.02  # how much it counts that most is as bright by lamp as is usual
_COARSE = (16, 9)  # rows and columns in which it is known how bright things are by lamp
_ROUNDS = (24, 16, 16, 16)  # steps after each of which pictures are sorted anew; the last with an outline that is sharp
_TEXELS, _PLACES = 0.05, 0.12  # by how much texels (0..1) and places (pixels) move at first
_SOFT = 0.02  # error below which it counts by its square
_WRONG = 0.3  # share that the portrait of who stands may leave unexplained
_UNLIKE = 1.6  # times the usual error, from which on a picture is of something else


# -- texels ----------------------------------------------------------------------------------------------------------
@dataclass
class Texels:
    """day (..., rows, columns, 3); lamp (..., 3), how much of that they are by lamp, 0..2; cover (..., 1)."""

    day: Tensor
    lamp: Tensor
    cover: Tensor

    def bytes(self, tint: Tensor) -> Tensor:
        """(..., rows, columns, 4), see SlotMemory; tint: of lamplight, (3,)."""
        lamp = ((self.lamp / tint).mean(-1, keepdim=True) * 128).round().clamp(1, 255) * (self.cover > 0.5)
        return torch.cat(((self.day.clamp(0, 1) * 255).round(), lamp), -1).to(torch.uint8)


def texels_of(patch: Tensor, hour: Tensor, weight: Tensor, memory: SpatialMemory, lamp: Tensor | None = None) -> Texels:
    """What was seen in patches (N, 4, rows, columns) that lie upon each other; `lamp`, if that is known.

    Every texel's two colours are the least squares of what was seen at many hours; where hours are too few, lamplight
    and daylight are taken to be of one colour.
    """
    light = memory.light_at(hour.float())
    weight = weight[:, None, None]
    cover = (patch[:, 3] * weight).sum(0) / weight.sum(0)
    on = (patch[:, 3] * weight)[:, None]
    by_day, by_lamp, seen = light.day[..., None, None], light.lamp[..., None, None], patch[:, :3]
    if lamp is None:
        aa, ab, bb = ((on * a * b).sum(0) for a, b in ((by_day, by_day), (by_day, by_lamp), (by_lamp, by_lamp)))
        ao, bo = (on * by_day * seen).sum(0), (on * by_lamp * seen).sum(0)
        lean = 0.03 * (aa + bb) + 1e-6
        aa, ab, bb = aa + lean * _LAMP * _LAMP, ab - lean * _LAMP, bb + lean
        determinant = (aa * bb - ab * ab).clamp(min=1e-9)
        day, own = (bb * ao - ab * bo) / determinant, (aa * bo - ab * ao) / determinant
        # as much by lamp as by day, for all three colours
        share = ((own.clamp(0, 1) * day).sum(0) / day.square().sum(0).clamp(min=1e-4))[..., None].expand(-1, -1, 3)
    else:
        share, light_on = lamp, by_day + by_lamp * lamp.permute(2, 0, 1)
        day = (on * light_on * seen).sum(0) / (on * light_on.square()).sum(0).clamp(min=1e-4)
    return Texels(day.clamp(0, 1).permute(1, 2, 0), share, cover[..., None])


# -- portraits -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Portrait:
    """Texels of a tile; its frame (4,), see SlotMemory; of which sightings it is, (N,); wrong, the share of what sets
    these off from what is behind that it does not explain."""

    texels: Texels
    frame: Tensor
    seen: Tensor
    wrong: float = 1.0

    def mirrored(self) -> Portrait:
        """As seen in a mirror."""
        left, right, base, top = self.frame
        flipped = Texels(*(part.flip(-2) for part in vars(self.texels).values()))
        return Portrait(flipped, torch.stack((-right, -left, base, top)), self.seen, self.wrong)


class _PortraitFit:
    """Portraits of one side that are being made.

    Args:
        seen, index: of what. group: which portrait each of `index` belongs to, (N,). memory, camera: by which light,
            and through what it was seen. size: of a tile.
    """

    def __init__(
        self,
        seen: Sightings,
        index: Tensor,
        group: Tensor,
        memory: SpatialMemory,
        camera: Camera,
        size: tuple[int, int],
    ) -> None:
        self.camera, self.index, self.group = camera, index, group
        self.size, self.count = size, int(group.max()) + 1
        mine = seen.at(index)
        self._eyes: Eyes = tuple(mine.eye.unbind(1))  # type: ignore[assignment]
        self._corner = mine.corner
        self._light = memory.light_at(mine.hour.float())
        cuts = seen.cuts[mine.cut].float() / 255
        self._true, self._bare, self._counts = cuts[:, :3], cuts[:, 3:6], cuts[:, 6:]
        depth = mine.far * (mine.bearing - mine.eye[:, 2]).cos()
        reach = camera.config.eye_height * camera.focal
        row = camera.horizon(mine.eye[:, 3]) + reach / depth
        column = camera.width / 2 + (mine.bearing - mine.eye[:, 2]).tan() * camera.focal
        self.frame = torch.stack((mine.left.quantile(0.1) - _RIM, mine.right.quantile(0.9) + _RIM, torch.zeros(()),
                                  mine.top.quantile(0.9) + _RIM))  # fmt: skip
        clear = _clear(mine, memory)
        # who carries a light is lit by it from the same side in all parts of a stride
        lamp = texels_of(mine.patch, mine.hour, clear, memory).lamp
        middle, begun = torch.zeros(len(index)), []
        for n in range(self.count):
            own = group == n
            left, right, top = (part[own].median() for part in (mine.left, mine.right, mine.top))
            # what one stands on is seen less well than where one begins and ends
            middle = torch.where(own, (mine.left + mine.right - left - right) / 2, middle)
            texels = texels_of(mine.patch[own], mine.hour[own], clear[own], memory, lamp)
            begun.append(_widened(texels, (left, right, top), self.frame, size))
        self.places = torch.stack((row, column + middle * camera.focal / depth), 1)
        self._worth = self._bare.new_ones(len(index))
        self.day, self.cover = (torch.stack([getattr(one, name) for one in begun]) for name in ("day", "cover"))
        lamp = torch.stack([one.lamp for one in begun]).mean(0)
        self._lamp = F.interpolate(lamp.permute(2, 0, 1)[None], size=_COARSE, mode="area")

    @property
    def lamp(self) -> Tensor:
        """How much of what they are by day they are by lamp, (1, rows, columns, 3)."""
        return F.interpolate(self._lamp, size=self.size, mode="bilinear").permute(0, 2, 3, 1)

    def make(self) -> list[Portrait | None]:
        """The portraits, in their order; None where too few pictures are like one."""
        parts = [self.day, self._lamp, self.cover, self.places]
        for last, steps in enumerate(_ROUNDS, 1 - len(_ROUNDS)):
            moved = parts[: 3 if last < 0 else 2]
            for part in (*moved, self.places):
                part.requires_grad_(True)
            fine = 1.0 if last < 0 else 0.4
            optimizer = torch.optim.Adam(
                [{"params": moved, "lr": _TEXELS * fine}, {"params": [self.places], "lr": _PLACES * fine}],
                betas=(0.8, 0.95),
            )
            rates = [group["lr"] for group in optimizer.param_groups]
            for step in range(steps):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * (1 - 0.7 * step / steps)
                optimizer.zero_grad()
                with torch.enable_grad():
                    error = (self._error(self.group) * self._worth).sum() / self._worth.sum()
                    loss = error + _LEAN * (self._lamp - _LAMP).square().mean() + _ONE * self._differences()
                    loss = loss + _EVEN * (self.day.diff(dim=1).square().mean() + self.day.diff(dim=2).square().mean())
                loss.backward()
                optimizer.step()
                with torch.no_grad():
                    self.day.clamp_(0, 1), self._lamp.clamp_(0, 1.99), self.cover.clamp_(0, 1)
            for part in parts:
                part.requires_grad_(False)
            if last < 0:
                self._sort()
            if last == -1:
                self.cover.copy_((self.cover > 0.5).float())
        found: list[Portrait | None] = []
        error, before = self._error(self.group), _size((self._bare - self._true) * self._counts, self._counts)
        for n in range(self.count):
            own = (self.group == n) & (self._worth > 0)
            texels = Texels(self.day[n], self.lamp[0], self.cover[n])
            wrong = float(error[own].sum() / before[own].sum().clamp(min=1e-6))
            found.append(Portrait(texels, self.frame, self.index[own], wrong) if int(own.sum()) >= _FEW else None)
        return found

    def _differences(self) -> Tensor:
        """By how much portraits differ in colour where each is covered, mean square: they are all of one and the same,
        and some were seen by lamp alone."""
        cover = F.interpolate(self.cover.permute(0, 3, 1, 2), size=_COARSE, mode="area")
        day = F.interpolate((self.day * self.cover).permute(0, 3, 1, 2), size=_COARSE, mode="area")
        worth = torch.stack([self._worth[self.group == n].sum() for n in range(self.count)]).view(-1, 1, 1, 1)
        usual = (day * worth).sum(0) / (cover * worth).sum(0).clamp(min=1e-3)
        return ((day - usual * cover).mean((1, 2, 3)).square() + (day - usual * cover).square().mean((1, 2, 3))).mean()

    def _error(self, group: Tensor) -> Tensor:
        """How wrong each picture is if it is of these portraits, (N,)."""
        camera, day = self.camera, self.day * self.cover
        seen = torch.cat((day, day * self.lamp, self.cover, torch.zeros_like(self.cover)), -1)
        row, column = self.places.unbind(1)
        x0, y0, yaw, pitch = self._eyes
        depth = camera.config.eye_height * camera.focal / (row - camera.horizon(pitch)).clamp(min=1.0)
        right = (column - camera.width / 2) * depth / camera.focal
        x, y = x0 + depth * yaw.cos() - right * yaw.sin(), y0 + depth * yaw.sin() + right * yaw.cos()
        left, right, base, top = self.frame.expand(len(group), 1, 4).unbind(-1)
        ends = reaching(x[:, None], y[:, None], left, right, self._eyes)
        cards = Cards(ends, base, top, group[:, None], torch.ones_like(group[:, None], dtype=torch.bool))
        size = (self._true.shape[2], self._true.shape[3])
        layer = draw_alone(cards, Atlas(seen), self._eyes, camera, self._light, self._corner, size)
        off = (layer[:, :3] + self._bare * (1 - layer[:, 3:]) - self._true) * self._counts
        return _size(off, self._counts)

    @torch.no_grad()
    def _sort(self) -> None:
        """Gives every picture to the portrait that it is most like, and leaves out those like none."""
        errors = torch.stack([self._error(torch.full_like(self.group, n)) for n in range(self.count)])
        least, self.group = errors.min(0)
        for n in range(self.count):
            own = self.group == n
            if own.any():
                self._worth[own] = (least[own] < _UNLIKE * least[own].median()).float()


def _bright(seen: Sightings, memory: SpatialMemory) -> Tensor:
    """How bright the light is by which each was seen, (N,)."""
    light = memory.light_at(seen.hour.float())
    return (light.day + _LAMP * light.lamp).mean(1)


def _size(off: Tensor, counts: Tensor) -> Tensor:
    """The mean size of errors (N, 3, h, w), large ones less than squared, (N,); counts: pixels (N, 1, h, w) that do."""
    return ((off.square() + _SOFT**2).sqrt() - _SOFT).sum((1, 2, 3)) / counts.sum((1, 2, 3)).clamp(min=1)


def _clear(seen: Sightings, memory: SpatialMemory) -> Tensor:
    """How well each can be seen, (N,): from near by, and by good light."""
    return (_bright(seen, memory) / seen.far.clamp(min=0.7)) ** 2


def _widened(texels: Texels, box: tuple[Tensor, Tensor, Tensor], frame: Tensor, size: tuple[int, int]) -> Texels:
    """Texels that reach from left to right and to the top of a box, in a larger frame and of another size."""
    left, right, top = box
    rows, columns = size
    across = frame[0] + (torch.arange(columns) + 0.5) / columns * (frame[1] - frame[0])
    up = frame[3] - (torch.arange(rows) + 0.5) / rows * (frame[3] - frame[2])
    u, v = (across - left) / (right - left) * 2 - 1, (1 - up / top) * 2 - 1
    grid = torch.stack((u.expand(rows, -1), v[:, None].expand(-1, columns)), -1)[None]
    inner = torch.cat((texels.day, texels.lamp), -1).permute(2, 0, 1)[None]
    cover = texels.cover.permute(2, 0, 1)[None]
    inner = F.grid_sample(inner, grid, padding_mode="border", align_corners=False)[0].permute(1, 2, 0)
    cover = F.grid_sample(cover, grid, padding_mode="zeros", align_corners=False)[0].permute(1, 2, 0)
    return Texels(inner[..., :3].contiguous(), inner[..., 3:].contiguous(), cover)


def portraits(
    seen: Sightings, index: Tensor, group: Tensor, memory: SpatialMemory, camera: Camera, size: tuple[int, int]
) -> list[Portrait | None]:
    """A portrait of each group of sightings `index`, the groups sorted anew; None for one that turns out to be none."""
    found: list[Portrait | None] = []
    usable = seen.cut[index] >= 0
    if int(usable.sum()) >= _FEW * (int(group.max()) + 1):
        numbers, group_ = group[usable].unique(return_inverse=True)
        made = _PortraitFit(seen, index[usable], group_, memory, camera, size).make()
        found = [None] * (int(group.max()) + 1)
        for number, one in zip(numbers.tolist(), made, strict=True):
            found[number] = one
        if any(one is not None for one in found):
            return found
    # nothing was cut out: what was kept of it at a glance
    for n in range(int(group.max()) + 1):
        own = index[group == n]
        mine = seen.at(own)
        left, right, top = (part.median() for part in (mine.left, mine.right, mine.top))
        frame = torch.stack((left, right, torch.zeros(()), top))
        texels = texels_of(mine.patch, mine.hour, _clear(mine, memory), memory)
        found.append(Portrait(_widened(texels, (left, right, top), frame, size), frame, own))
    return found


def strides(patch: Tensor, bright: Tensor, count: int) -> Tensor:
    """Groups of patches (N, 4, rows, columns), seen by so bright a light (N,), by what part of a stride they show, the
    most common first: (N,)."""
    grey = patch[:, :3].mean(1, keepdim=True) / bright.clamp(min=0.1)[:, None, None, None]
    small = F.interpolate(torch.cat((patch[:, 3:] * 1.5, grey.clamp(max=1.5) * patch[:, 3:]), 1), size=(14, 10),
                          mode="area")  # fmt: skip
    groups = means(small.flatten(1), min(count, len(patch)))
    order = torch.bincount(groups, minlength=count).argsort(descending=True)
    return torch.argsort(order)[groups]


# -- everybody's -----------------------------------------------------------------------------------------------------
@torch.no_grad()
def write_looks(
    slots: SlotMemory, path: Ways, kind: Kinds, memory: SpatialMemory, camera: Camera, told: Told, say: Say
) -> int:
    """The tiles of all that walks and rolls; returns how many. camera: of those who watched."""
    writer, dynamics = _Writer(slots, path, kind, memory, camera), slots.dynamics
    for look in kind.rolls:
        if (lying := writer.lies(look)) is not None:
            slots.tile[look] = writer.add(lying)
            dynamics.role[look] = ROLLS
    for number, look in enumerate(kind.walks):
        goes, dynamics.pace[look] = writer.goes(look)
        dynamics.role[look], dynamics.stride[look] = WALKS, told.stride
        walking = writer.walking(goes)
        standing = writer.standing(look, walking)
        for here, found in enumerate(walking):
            neutral, first, second = ([writer.add(one) for one in found] * _STRIDES)[:_STRIDES]
            stood, other = neutral, -here % slots.config.views
            if here in standing or other in standing:
                stood = writer.add(standing[here] if here in standing else standing[other].mirrored())
            slots.tile[look, here] = torch.tensor([stood, neutral, first, neutral, second])
        say(f"slots: portraits of {number + 1} of {len(kind.walks)} who walk")
    if len(writer.hung) > len(slots.tiles):
        raise ConfigError("there are more sides and strides than there is room for", got=len(writer.hung),
                          expected="larger slots.tiles")  # fmt: skip
    slots.tint.copy_(_tint([portrait.texels for portrait in writer.hung]))
    for number, portrait in enumerate(writer.hung):
        slots.tiles[number], slots.frame[number] = portrait.texels.bytes(slots.tint), portrait.frame
    return len(writer.hung)


class _Writer:
    """Chooses of all sightings those that show each side of a look, has portraits made of them, and numbers these.

    Args: as of `write_looks`. hung: the portraits, by number.
    """

    def __init__(self, slots: SlotMemory, path: Ways, kind: Kinds, memory: SpatialMemory, camera: Camera) -> None:
        self._config, self._path, self._kind, self._seen = slots.config, path, kind, path.seen
        self._memory, self._camera = memory, camera
        self._side, self._off = sides(path, slots.config.views)
        self._good = self._well_seen()
        self.hung: list[Portrait] = []

    def add(self, portrait: Portrait) -> int:
        """Its number."""
        self.hung.append(portrait)
        return len(self.hung) - 1

    def lies(self, look: int) -> Portrait | None:
        """What rolls, as it lies most often; None: it was never seen to lie."""
        index = (self._good & (self._kind.look == look) & (self._path.speed == 0)).nonzero()[:, 0]
        index = self._nearest(index)
        if not len(index):
            return None
        index = index[self._strides(index) == 0]
        return self._made(index, torch.zeros_like(index))[0]

    def goes(self, look: int) -> tuple[Tensor, float]:
        """Which sightings (N,) show it on its way, and how fast it goes, cells a frame."""
        goes = self._good & self._path.known & (self._kind.look == look) & (self._path.speed > 0)
        straight = goes & self._path.straight
        pace = self._path.speed[straight if straight.any() else goes].median() if goes.any() else 0.02
        for instead in (self._good, self._seen.whole > 0, self._kind.look >= 0):  # never seen to go as a whole: a trial
            goes = goes if goes.any() else instead & (self._kind.look == look)
        return goes, float(pace)

    def walking(self, goes: Tensor) -> list[list[Portrait]]:
        """Of each side the parts of a stride, the most common first."""
        square, found = goes & self._path.straight & (self._off < _SQUARE), []
        for here in range(self._config.views):
            index, flip = _of_side(goes, square, self._side, here, self._seen.far, self._config.views)
            index = self._nearest(_alone(self._seen, _often(self._seen, index)))
            made = self._made(index, self._strides(index))
            found.append([one.mirrored() if flip else one for one in made])
        return found

    def standing(self, look: int, walking: list[list[Portrait]]) -> dict[int, Portrait]:
        """The sides of who stands, if that looks otherwise, and is well enough known."""
        seen, found = self._seen, dict[int, Portrait]()
        stands = self._good & self._path.known & (self._kind.look == look) & (self._path.speed == 0)
        if not _otherwise(seen, walking, stands, self._side):
            return found
        for here in range(self._config.views):
            index = _alone(seen, _often(seen, (stands & (self._side == here)).nonzero()[:, 0]))
            if len(index) >= _FEW and len(seen.clip[index].unique()) > _OFTEN:
                one = self._made(index, torch.zeros_like(index))[0]
                found |= {here: one} if one.wrong < _WRONG else {}
        return found

    def _well_seen(self) -> Tensor:
        """Which sightings (N,) show one as a whole, and not two who stand before each other."""
        seen, kind = self._seen, self._kind
        good = (seen.whole > 0) & (kind.look >= 0)
        if bool((seen.cut >= 0).any()):
            good &= seen.cut >= 0
        wide = seen.right - seen.left
        for look in kind.walks:
            mine = good & (kind.look == look)
            if mine.any():
                good &= ~mine | (wide < 1.25 * wide[mine].quantile(0.75))
        return good

    def _nearest(self, index: Tensor) -> Tensor:
        return index[self._seen.far[index].argsort()][:_MANY]

    def _strides(self, index: Tensor) -> Tensor:
        """Which part of a stride each of some sightings shows, the most common first."""
        return strides(self._seen.patch[index], _bright(self._seen.at(index), self._memory), _STRIDES)

    def _made(self, index: Tensor, group: Tensor) -> list[Portrait]:
        """Portraits of groups of sightings, those of most first; of one group, if there are too few of them."""
        seen = self._seen
        if int((seen.cut[index] >= 0).sum()) < _FEW * (int(group.max()) + 1):
            group = torch.zeros_like(group)
        found = portraits(seen, index, group, self._memory, self._camera, self._config.size)
        kept = [one for one in found if one is not None]
        least = max(_FEW, _SHARE * sum(len(one.seen) for one in kept))
        kept.sort(key=lambda one: -len(one.seen))

        def no_accident(one: Portrait) -> bool:  # what one watcher alone saw may be somebody else too, who stood behind
            return len(one.seen) >= least and len(seen.clip[one.seen].unique()) >= _OFTEN

        return kept[:1] + [one for one in kept[1:] if no_accident(one)]


def _tint(tiles: list[Texels]) -> Tensor:
    """The colour of lamplight beside daylight, (3,): the memory tells day and lamp apart in a way of its own."""
    lamp = torch.cat([texels.lamp[texels.cover[..., 0] > 0.5] for texels in tiles] or [torch.ones(1, 3)])
    return (lamp / lamp.mean(1, keepdim=True).clamp(min=1e-3)).median(0).values


def _of_side(goes: Tensor, square: Tensor, side: Tensor, here: int, far: Tensor, views: int) -> tuple[Tensor, bool]:
    """Sightings of a side, those of `square` and from near by if there are enough, and whether they are to be mirrored:
    those of the other hand, or of a side beside it, where there are none."""
    for beside_it in (0, 1, -1, 2, -2, 3, -3, 4):
        for mirrored in (False, True):
            for those, reach in ((square, _CLOSE), (square, 1.6 * _CLOSE), (goes, 1.6 * _CLOSE)):
                wanted = (here + beside_it) % views
                wanted = -wanted % views if mirrored else wanted
                index = (those & (far < reach) & (side == wanted)).nonzero()[:, 0]
                if len(index) >= _BEST or (len(index) >= _FEW and those is goes):
                    return index, mirrored
    return goes.nonzero()[:, 0], False


def _often(seen: Sightings, index: Tensor) -> Tensor:
    """Of sightings (N,) the nearest few of each watcher's: what one saw for long, before a door, is not usual."""
    index = index[seen.far[index].argsort()]
    clip = seen.clip[index]
    earlier = (clip[:, None] == clip).tril(-1).sum(1)
    return index[earlier < _OF_ONE]


def _alone(seen: Sightings, index: Tensor) -> Tensor:
    """Of sightings (N,) of a side those as large as most: before or behind the others there was something else."""
    size = torch.stack((seen.left[index], seen.right[index], seen.top[index]), 1)
    if len(index) < _FEW:
        return index
    usual = size.median(0).values
    alike = ((size - usual).abs() < _SIZES * usual[2]).all(1)
    return index[alike] if alike.any() else index


def _otherwise(seen: Sightings, walking: list[list[Portrait]], stands: Tensor, side: Tensor) -> bool:
    """Whether who stands, sightings by a mask (N,), mostly looks otherwise than who walks, from the same sides."""
    says = []
    for here, found in enumerate(walking):
        index = _alone(seen, (stands & (side == here)).nonzero()[:, 0])
        if len(index) < _BEST // 2 or len(seen.clip[index].unique()) < _OFTEN:
            continue
        cover = seen.patch[index, 3].median(0).values
        apart = min(float((seen.patch[one.seen, 3].mean(0) - cover).abs().mean()) for one in found)
        usual = seen.top[torch.cat([one.seen for one in found])].median()
        says.append(apart > 0.12 or abs(math.log(float(seen.top[index].median()) / float(usual))) > 0.12)
    return sum(says) > len(says) / 2
