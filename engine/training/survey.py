"""Goes and looks at everything from close by: every texel's colours and cover, and the light of every hour, at once.

A picture taken from close by shows a texel on pixels of its own. What such a pixel shows is linear in the texel's two
layers, by the gains of the hour, or it is the sky behind. So a few thousand pictures are taken, of walls, floors,
ceilings and the sky, each pixel is laid to the texel that it shows, and everything is solved by least squares: texels
with the light known, the light with the texels known, in turns. A texel hides the sky or is air, whichever explains
what was seen of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.camera import Camera
from engine.nets.spatial_memory import Pose, light_between
from engine.nets.surfaces import CHANNELS, SAMPLES, cast
from engine.training.fitted import Look
from engine.training.poses import pose_of
from engine.training.simulator import Simulator
from engine.training.stage import Say

_BRIGHTEST = 0.998  # what is as bright may be brighter
_PURE = 4  # power of the share of a pixel that its texel fills
_COARSEST = 1.3  # texels a pixel may be wide and still tell of one
_ODD_SKY = 0.4
_ODD = 0.2  # what is seen and expected may differ by; more is something else: an edge, another surface
_DOUBT = 0.02  # square of it, of three colours, that the sky may be wrong by and still be what is seen
_BETTER = 0.2  # share of that which colours of its own may be wrong by, if a texel is to have any
_HOLES = ((17, 0.3), (17, 0.3), (65, 0.2))  # of walls, floor, ceiling: a hole is part of so much air, in so many texels
_FREE = 2.0  # looks at a texel that colours of its own explain, whatever it is
_SHORT = 1.5  # cells that a face is looked at as if it were longer by
_FARTHEST = 1.5  # cells from a wall that it is looked at from


@dataclass(frozen=True)
class Views:
    """Pictures (N, 3, H, W) in bytes and where they were taken."""

    pose: Pose
    pictures: Tensor

    @property
    def _parts(self) -> tuple[Tensor, ...]:
        pose = self.pose
        return pose.x, pose.y, pose.yaw, pose.pitch, pose.hour, self.pictures

    def batches(self, size: int) -> list[Views]:
        pieces = zip(*(part.split(size) for part in self._parts), strict=True)
        return [Views(Pose(*piece[:5]), piece[5]) for piece in pieces]

    @staticmethod
    def joined(views: list[Views]) -> Views:
        *pose, pictures = (torch.cat(part) for part in zip(*(each._parts for each in views), strict=True))
        return Views(Pose(*pose), pictures)

    def write(self, file: Path) -> None:
        part = file.with_suffix(".part")
        torch.save(self._parts, part)
        part.replace(file)

    @staticmethod
    def read(file: Path) -> Views:
        *pose, pictures = torch.load(file, weights_only=True)
        return Views(Pose(*pose), pictures)


@torch.no_grad()
def go_and_look(simulator: Simulator, fit: Look, rng: torch.Generator) -> tuple[Pose, Tensor]:
    """Sends half of the players before faces, the others anywhere to look down or up; poses and pictures 0..1."""
    count = simulator.players
    everybody = torch.ones(count, dtype=torch.bool)
    simulator.respawn(everybody)
    limit = float(simulator.camera.pitched(torch.zeros(1), torch.tensor([[1e3, 0.0]])))
    draw = torch.rand(count, generator=rng)
    simulator.pitch = torch.where(draw < 0.75, -limit, (2 * draw - 1) * limit)  # floors are seen well only there
    _before_faces(simulator, fit, everybody & (torch.arange(count) % 2 == 0), limit, rng)
    return pose_of(simulator), (simulator.render() + 1) / 2


def _before_faces(simulator: Simulator, fit: Look, wanted: Tensor, limit: float, rng: torch.Generator) -> None:
    """Puts the players `wanted` before faces, each as likely as it is long and a little more, or the sides of pillars
    would hardly be seen, and has them look there."""
    edges, outline = fit.edges().detach(), fit.outline
    worth = (edges[:, 2:] - edges[:, :2]).abs().sum(1) + _SHORT
    reach = float(fit.reach.detach())
    need = wanted.clone()
    while need.any():
        index = need.nonzero()[:, 0]
        n = len(index)
        face = torch.multinomial(worth, n, replacement=True, generator=rng)
        share, near, aside = torch.rand(3, n, generator=rng).unbind(0)
        at = torch.lerp(edges[face, :2], edges[face, 2:], share[:, None])
        away = reach + 1e-3 + (_FARTHEST - reach) * near.square()
        off = (aside - 0.5) * away * 1.2
        back, upright = -outline.outward[face] * away, outline.upright[face]
        x = at[:, 0] + torch.where(upright, back, off)
        y = at[:, 1] + torch.where(upright, off, back)
        free = simulator.is_free(x, y)
        chosen = index[free]
        simulator.x[chosen], simulator.y[chosen] = x[free], y[free]
        yaw = torch.atan2(at[:, 1] - y, at[:, 0] - x) + 0.3 * torch.randn(n, generator=rng)
        simulator.yaw[chosen] = yaw[free] % (2 * math.pi)
        simulator.pitch[chosen] = ((torch.rand(n, generator=rng) * 2 - 1) * limit)[free]
        need[chosen] = False


# -- which texel a pixel shows -----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Shown:
    """What pixels show, all (P,): number of the pixel in its batch, row by row, and of the view; number of the texel
    among those of walls, floor, ceiling and sky, and of the sky's behind it; how much it counts, 0..1."""

    pixel: Tensor
    view: Tensor
    texel: Tensor
    sky: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Numbering:
    """Texels one after the other: of walls by strip and level, of the floor, of the ceiling by row and column, and
    of the sky."""

    fit: Look

    @property
    def starts(self) -> tuple[int, int, int, int, int]:
        fit, config = self.fit, self.fit.config
        walls = fit.walls * config.levels
        floor = walls + fit.floor_size[0] * fit.floor_size[1]
        ceiling = floor + fit.ceiling_size[0] * fit.ceiling_size[1]
        return 0, walls, floor, ceiling, ceiling + config.sky[0] * config.sky[1]

    def texels(self) -> Tensor:
        """(all, 8), a copy."""
        fit = self.fit
        parts = (fit.strips[: fit.walls], fit.floor, fit.ceiling, fit.sky)
        return torch.cat([part.reshape(-1, CHANNELS) for part in parts])

    def put(self, texels: Tensor) -> None:
        """(all, 8) into the fit."""
        fit, (_, walls, floor, ceiling, end) = self.fit, self.starts
        fit.strips[: fit.walls] = texels[:walls].view(fit.walls, -1, CHANNELS)
        fit.floor.copy_(texels[walls:floor].view_as(fit.floor))
        fit.ceiling.copy_(texels[floor:ceiling].view_as(fit.ceiling))
        fit.sky.copy_(texels[ceiling:end])
        fit.refresh()

    def shown(self, pose: Pose, camera: Camera) -> Shown:
        """What is seen of texels that are large enough, from poses (B,); other pixels are left out."""
        fit, config = self.fit, self.fit.config
        eye, focal, height = camera.config.eye_height, camera.focal, camera.height
        cos, sin = pose.yaw.cos()[:, None], pose.yaw.sin()[:, None]
        aside = camera.columns(1)[None]
        edges = fit.edges().detach()
        dx, dy = cos - aside * sin, sin + aside * cos
        hits = cast(edges, pose.x, pose.y, dx, dy, config.texels / focal)
        horizon = camera.horizon(pose.pitch)
        down = camera.rows[None] - horizon[:, None]  # (B, H)
        top = -(config.height - eye) * focal / hits.depth  # (B, W), from the horizon
        tall = config.height * focal / hits.depth
        level = (down[..., None] - top[:, None]) / tall[:, None] * config.levels  # (B, H, W)
        place = hits.along * config.texels - fit.origin[hits.edge]
        last = fit.count[0][hits.edge] - 1
        strip = fit.first[0][hits.edge] + torch.minimum(place.long().clamp(min=0), last)
        weight = _pure(place, hits.width)[:, None] * _pure(level, (config.levels / tall)[:, None])
        texel = strip[:, None] * config.levels + level.long().clamp(0, config.levels - 1)
        below = down > 0
        starts = self.starts
        ceilings = fit.ceiling_size, config.ceiling_texels, config.height - eye, starts[2]
        for mine, (size, scale, rise, start) in (
            ((level >= config.levels) & below[..., None], (fit.floor_size, config.texels, eye, starts[1])),
            ((level < 0) & ~below[..., None], ceilings),
        ):
            depth = rise * focal / down.abs().clamp(min=0.5)  # (B, H)
            x = (pose.x[:, None, None] + depth[..., None] * dx[:, None]) * scale
            y = (pose.y[:, None, None] + depth[..., None] * dy[:, None]) * scale
            long, wide = depth.square() / (rise * focal) * scale, depth / focal * scale
            across = (cos.abs() * long + sin.abs() * wide)[..., None].expand_as(x)
            along = (sin.abs() * long + cos.abs() * wide)[..., None].expand_as(x)
            number = y.long().clamp(0, size[0] - 1) * size[1] + x.long().clamp(0, size[1] - 1)
            texel = torch.where(mine, number + start, texel)
            weight = torch.where(mine, _pure(x, across) * _pure(y, along), weight)
        pixel = (weight > 0.05).flatten().nonzero()[:, 0]
        view = pixel // (height * camera.width)
        texel, sky, weight = (
            part.flatten().index_select(0, pixel) for part in (texel, self._sky(pose, camera, down), weight)
        )
        return Shown(pixel, view, texel, sky, weight)

    def covers(self, opaque: Tensor, air: Tensor, looks: Tensor, before: Tensor) -> Tensor:
        """Which texels of walls, floor and ceiling (N,) hide the sky, by the errors of both and how often they were
        looked at; by those around them where that is seldom, and as `before` where it is never. No hole is small."""
        shapes = (self.fit.walls, self.fit.config.levels), self.fit.floor_size, self.fit.ceiling_size
        found = []
        for shape, begin, end, (wide, least) in zip(shapes, self.starts, self.starts[1:4], _HOLES, strict=False):
            errors, times = torch.stack((opaque, air))[:, begin:end], looks[begin:end]
            many = torch.stack(((times - _FREE).clamp(min=0), times))  # colours of its own explain a few looks anyway
            around, weight = (
                F.avg_pool2d(part.view(2, 1, *shape), 5, 1, 2).view(2, -1) for part in (errors * many, many)
            )
            mean = around / weight.clamp(min=1e-6)
            own, other = (errors * many + mean) / (many + 1)
            known = (weight > 0.1).all(0)
            hides = torch.where(known, (other > _DOUBT) & (own < _BETTER * other), before[begin:end])
            bare = F.avg_pool2d((~hides).float().view(1, 1, *shape), wide, 1, wide // 2, count_include_pad=False)
            found.append(hides | (bare.flatten() < least))
        return torch.cat(found)

    def _sky(self, pose: Pose, camera: Camera, down: Tensor, aside: float = 0.0) -> Tensor:
        """Number of the sky's texel that is behind every pixel, (B, H, W), or so many pixels beside."""
        (rows, columns), (low, high) = self.fit.config.sky, self.fit.config.sky_slopes
        across = camera.columns(1) + aside / camera.focal
        slope = -down[..., None] / camera.focal / torch.hypot(torch.ones_like(across), across)
        row = ((high - slope) * (rows / (high - low))).clamp(0, rows - 1).long()
        place = ((pose.yaw[:, None] + across.atan()) * (columns / (2 * math.pi))).floor().long() % columns
        return row * columns + place[:, None] + self.starts[3]

    def samples(self, pose: Pose, camera: Camera, pixel: Tensor) -> Tensor:
        """Numbers of the sky's texels that numbered pixels (P,) of a batch are the means of, (4, P)."""
        down = camera.rows[None] - camera.horizon(pose.pitch)[:, None]
        return torch.stack(
            [self._sky(pose, camera, down + lower, right).flatten().index_select(0, pixel) for right, lower in SAMPLES]
        )


def _pure(place: Tensor, width: Tensor) -> Tensor:
    """How much pixels `width` texels wide at `place` tell of the texel in which their middle is, 0..1."""
    inside = ((0.5 + width / 2 - (place - place.floor() - 0.5).abs()) / width.clamp(min=1e-3)).clamp(max=1.0)
    return inside**_PURE * (width < _COARSEST)


# -- least squares -----------------------------------------------------------------------------------------------------
class Sums:
    """What least squares need to know of texels: for each and each colour, products of gains, of what was seen, and of
    the sky behind."""

    def __init__(self, count: int) -> None:
        self.data = torch.zeros(count, 3 * 10)

    def add(self, texel: Tensor, gains: Tensor, seen: Tensor, sky: Tensor, weight: Tensor) -> None:
        """texel (P,); gains (P, 2, 3) of its layers; seen, sky, weight (P, 3)."""
        day, lamp = gains.unbind(1)
        rows = torch.stack((day * day, day * lamp, lamp * lamp, day * seen, lamp * seen, seen * seen,
                            sky * seen, sky * sky, torch.ones_like(seen), sky), 1)  # fmt: skip
        self.data.index_add_(0, texel, (rows * weight[:, None]).flatten(1))

    def layers(self, before: Tensor, trust: float) -> tuple[Tensor, Tensor, Tensor]:
        """Both layers (N, 2, 3) of texels that hide everything, drawn to `before`; square errors (N,) of that, and of
        nothing being there, each a picture's on average; and how much was seen of them is `seen`."""
        aa, ab, bb, ao, bo, oo, so, ss, n, _ = self.data.view(-1, 10, 3).unbind(1)
        aa, bb = aa + trust, bb + trust
        ra, rb = ao + trust * before[:, 0], bo + trust * before[:, 1]
        size = (aa * bb - ab * ab).clamp(min=1e-9)
        layers = torch.stack(((bb * ra - ab * rb) / size, (aa * rb - ab * ra) / size), 1)
        return layers, self.error(layers), ((oo - 2 * so + ss) / n.clamp(min=1e-6)).sum(1)

    def error(self, layers: Tensor) -> Tensor:
        """Square error (N,) of texels that hide everything, with these layers (N, 2, 3), a picture's on average."""
        aa, ab, bb, ao, bo, oo, _, _, n, _ = self.data.view(-1, 10, 3).unbind(1)
        day, lamp = layers.unbind(1)
        wrong = oo - 2 * (day * ao + lamp * bo) + day * day * aa + 2 * day * lamp * ab + lamp * lamp * bb
        return (wrong / n.clamp(min=1e-6)).sum(1)

    @property
    def seen(self) -> Tensor:
        """How often, (N,)."""
        return self.data.view(-1, 10, 3)[:, 8].amax(1)


_TRUST = 0.1  # how much what a texel was before counts beside one good look at it
_LIGHT_TRUST = 30.0  # likewise of the light of an hour beside pixels seen in it
_SHARES = (0.25, 1.0)  # of all pictures, that are gone through in each round
_FEWER = 4  # of these, one in so many tells enough of the light
_AIR = 0.5  # of a cover: less is air


class Survey:
    """Fits a look to what is seen of everything.

    Args:
        fit: with faces where they are and coarse texels; fitted in place.
        camera: of play.
        seed: of poses.
    """

    def __init__(self, fit: Look, camera: Camera, seed: int) -> None:
        self.fit, self.camera, self.seed = fit, camera, seed
        self._numbers = Numbering(fit)

    @torch.no_grad()
    def run(self, views: int, file: Path, say: Say, batch: int = 16) -> None:
        """Takes about so many pictures, which are kept in `file` until all is done, and goes through them."""
        if file.exists():
            taken = Views.read(file).batches(batch)
        else:
            taken = list(self._taken(views, batch, say))
            Views.joined(taken).write(file)
        for number, share in enumerate(_SHARES):
            some = taken[:: round(1 / share)]
            if number:
                left = self._light_round(some[::_FEWER])
                say(f"survey: {-10 * math.log10(left):.2f} dB from close by")
            self._sky_round(some[::2], strict=number > 0)
            seen = self._texel_round(some)
            say(f"survey: round {number + 1} of {len(_SHARES)}, {seen * 100:.1f}% of all texels seen")

    @torch.no_grad()
    def mend(self, views: int, say: Say, batch: int = 16) -> None:
        """Looks at about so many other pictures, and puts right what they show to be wrong: texels that few pictures
        showed, or that were taken for air or for something when the sky behind them was not known."""
        texels, end = self._numbers.texels(), self._numbers.starts[3]
        sums = self._summed(texels, self._taken(views, batch, say))
        layers, covers, opaque, air = self._solved(sums, texels)
        had = texels[:end, 6] >= _AIR
        covers |= had & (opaque < air)  # what is there goes on being there, unless nothing explains it better
        error = sums.error(texels[:end, :6].view(-1, 2, 3))
        wrong = (sums.seen > _FREE) & (error > _DOUBT) & (opaque < _BETTER * error) & had & covers
        changed = wrong | (covers != had)
        say(f"survey: {int(wrong.sum())} texels of another colour, {int((covers != had).sum())} that are air or not")
        texels[:end, 6] = torch.where(changed, covers.float(), texels[:end, 6])
        texels[:end, :6] = torch.where(changed[:, None], layers * covers[:, None], texels[:end, :6])
        self._numbers.put(texels)

    def _taken(self, views: int, batch: int, say: Say) -> Iterator[Views]:
        simulator = Simulator(batch, self.seed + 1, self.camera)
        rng = torch.Generator().manual_seed(self.seed)
        for number in range(-(-views // batch)):
            pose, pictures = go_and_look(simulator, self.fit, rng)
            yield Views(pose, (pictures * 255).round().to(torch.uint8))
            if number % 40 == 39:
                say(f"survey: {(number + 1) * batch} of {views} pictures taken")

    def _looks(self, taken: Iterable[Views]) -> Iterator[tuple[Views, Shown, Tensor, Tensor]]:
        """Of every batch: what is shown, the gains (B, 4, 3) of its hours, and the colours of the pixels, (P, 3)."""
        for views in taken:
            shown = self._numbers.shown(views.pose, self.camera)
            colours = views.pictures.permute(0, 2, 3, 1).reshape(-1, 3).index_select(0, shown.pixel).float() / 255
            yield views, shown, light_between(self.fit.light.detach(), views.pose.hour), colours

    def _sky_round(self, taken: list[Views], strict: bool) -> None:
        """The sky, where something is known to be air; strict: nothing that looks otherwise is taken for it."""
        texels = self._numbers.texels()
        begin = self._numbers.starts[3]
        sums = Sums(len(texels) - begin)
        for views, shown, gains, colours in self._looks(taken):
            open_ = texels[:, 6].index_select(0, shown.texel) < _AIR
            pixel, sky, view, weight = (part[open_] for part in (shown.pixel, shown.sky, shown.view, shown.weight))
            layers, seen = gains.index_select(0, view)[:, 2:], colours[open_]
            samples = self._numbers.samples(views.pose, self.camera, pixel)
            made = torch.stack([_lit(texels, sample, layers) for sample in samples]).mean(0)
            if strict:
                weight = weight * ((made.clamp(max=1) - seen).abs().amax(1) < _ODD_SKY)
            # a pixel is wider than a texel of the sky: what it lacks is what the texel lacks
            lacks = _lit(texels, sky, layers) + seen - made
            sums.add(sky - begin, layers, lacks, lacks, weight[:, None] * _tells(seen, made))
        before = texels[begin:, :6].view(-1, 2, 3)
        texels[begin:, :6] = sums.layers(before, _TRUST)[0].clamp(0, 1.2).flatten(1)
        self._numbers.put(texels)

    def _texel_round(self, taken: list[Views]) -> float:
        """Everything else; returns the share of it that was seen."""
        texels, end = self._numbers.texels(), self._numbers.starts[3]
        sums = self._summed(texels, taken)
        layers, covers, *_ = self._solved(sums, texels)
        texels[:end, 6], texels[:end, :6] = covers.float(), layers * covers[:, None]
        self._numbers.put(texels)
        return float((sums.seen > 0.5).float().mean())

    def _summed(self, texels: Tensor, taken: Iterable[Views]) -> Sums:
        """What was seen of all but the sky."""
        sums = Sums(self._numbers.starts[3])
        for _, shown, gains, colours in self._looks(taken):
            gains = gains.index_select(0, shown.view)
            behind = _lit(texels, shown.sky, gains[:, 2:]).clamp(max=1)
            tells = _tells(colours, _lit(texels, shown.texel, gains[:, :2]))
            sums.add(shown.texel, gains[:, :2], colours, behind, shown.weight[:, None] * tells)
        return sums

    def _solved(self, sums: Sums, texels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Layers (N, 6) of texels, whether each hides the sky, and the errors if it does and if it does not, (N,)."""
        end, floor = self._numbers.starts[3], slice(self._numbers.starts[1], self._numbers.starts[2])
        layers, opaque, air = sums.layers(texels[:end, :6].view(-1, 2, 3), _TRUST)
        covers = self._numbers.covers(opaque, air, sums.seen, texels[:end, 6] >= _AIR)
        covers[floor] = True
        return layers.flatten(1).clamp(0, 1.2), covers, opaque, air

    def _light_round(self, taken: list[Views]) -> float:
        """The light of every hour; returns the mean square that is left."""
        texels = self._numbers.texels()
        hours = len(self.fit.light)
        matrix, right = torch.zeros(3, hours * 4, hours * 4), torch.zeros(3, hours * 4)
        error, count = 0.0, 0.0
        for views, shown, gains, colours in self._looks(taken):
            sky = (texels[:, 6].index_select(0, shown.texel) < _AIR)[:, None]
            number = torch.where(sky[:, 0], shown.sky, shown.texel)
            layers = texels.index_select(0, number)[:, :6].view(-1, 2, 3)
            both = gains.index_select(0, shown.view)
            made = (layers * torch.where(sky[..., None], both[:, 2:], both[:, :2])).sum(1)
            wrong = made - colours
            good = (wrong.abs() < _ODD).all(1, keepdim=True) & (colours < _BRIGHTEST)
            weight = shown.weight[:, None] * good
            error += float((wrong.square() * weight).sum())
            count += float(weight.sum())
            # (P, 2, 2, 3) and (P, 2, 3), summed up by view and whether it is sky
            products = layers[:, :, None] * (layers * weight[:, None])[:, None]
            where, many = shown.view * 2 + sky[:, 0], len(views.pictures)
            squares = torch.zeros(many * 2, 2, 2, 3).index_add_(0, where, products).view(many, 2, 2, 2, 3)
            sums = torch.zeros(many * 2, 2, 3).index_add_(0, where, layers * (colours * weight)[:, None])
            sums = sums.view(many, 4, 3)
            for view, hour in enumerate(views.pose.hour.tolist()):
                place = hour % 1 * hours
                first, share = int(place) % hours, place - int(place)
                for a, mine in ((first, 1 - share), ((first + 1) % hours, share)):
                    right[:, a * 4 : a * 4 + 4] += mine * sums[view].T
                    for b, other in ((first, 1 - share), ((first + 1) % hours, share)):
                        for kind in (0, 1):
                            row, column = (n * 4 + kind * 2 for n in (a, b))
                            block = squares[view, kind].permute(2, 0, 1) * (mine * other)
                            matrix[:, row : row + 2, column : column + 2] += block
        before = self.fit.light.detach().permute(2, 0, 1).reshape(3, -1)
        trust = _LIGHT_TRUST * torch.eye(hours * 4)
        light = torch.linalg.solve((matrix + trust).double(), (right + _LIGHT_TRUST * before).double())
        self.fit.light.data.copy_(light.view(3, hours, 4).permute(1, 2, 0))
        return error / max(count, 1.0)


def _tells(seen: Tensor, made: Tensor) -> Tensor:
    """Whether colours (P, 3) say how bright something is: what is white may be brighter, but no darker."""
    return (seen < _BRIGHTEST) | (made < 1)


def _lit(texels: Tensor, number: Tensor, gains: Tensor) -> Tensor:
    """Colours (P, 3) of numbered texels by the gains (P, 2, 3) of their layers."""
    return (texels.index_select(0, number)[:, :6].view(-1, 2, 3) * gains).sum(1)
