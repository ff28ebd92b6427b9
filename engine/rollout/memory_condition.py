"""The embedded model's condition: what the next picture should show, by the picture before and by memory.

The player's pose is followed from the first frame on: the recogniser says where and when it was taken, actions move it,
the memory knows where one cannot stand, and time goes on as it has learned; its lamps flicker by a seeded noise. What
lives in the place is kept in slots, found in the first picture, moved frame by frame and drawn into what the memory
sees. From the new pose the network is shown two *views*: the frame before, moved over the surfaces that the memory
knows, and what the memory itself sees, put right by what the first picture showed of it. It answers with weights of the
two, place by place, and with what both lack.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from engine.actions import Actions
from engine.nets.camera import Camera
from engine.nets.cards import draw_cards
from engine.nets.networks import EmbeddedNetworks
from engine.nets.places import recall
from engine.nets.recogniser import localise
from engine.nets.slots import Slots
from engine.nets.spatial_memory import Pose, View
from engine.nets.spotting import find
from engine.nets.surfaces import Light, Picture
from engine.rollout.first_picture import FirstPicture

_BLOCK = 8  # pixels; more than anything moves in the picture in one video frame


class Walk:
    """A batch of players on their way through the remembered world, one video frame at a time.

    Args:
        networks: of the embedded model.
        frames: (B, 3, H, W) in -1..1, the pictures they start from; set anew with every finished frame.
        pose: where and when that is; None: the recogniser finds out.
        seed: of the lamps, and of those who are out of sight.
        slots: who is where; None: what the picture shows of it is found, and the rest put out of sight.
    """

    def __init__(
        self,
        networks: EmbeddedNetworks,
        frames: Tensor,
        pose: Pose | None = None,
        seed: int = 0,
        slots: Slots | None = None,
    ) -> None:
        config = networks.config
        self.camera = Camera(config.camera, config.width, config.height, frames.device)
        self.frames = frames
        self._memory, self._codec = networks.spatial_memory, networks.codec.encoder_stream()
        if pose is None:
            pose = localise(frames.float(), networks.recogniser, self._memory, self.camera)
        self.pose = pose
        self._living = networks.slots
        if slots is None and not self._living.empty:
            slots = find(frames.float(), pose, self._memory, self._living, self.camera, seed)
        self.slots = slots
        """Who is where; None: nobody lives in this world."""
        self.flicker = torch.zeros_like(pose.x)
        self.done = 0
        """Video frames since the first."""
        self._seed = seed
        self._first, self.shown = self._begin(frames)
        """Which blocks of the newest frames show a slot, (B, 1, rows, columns) 0 or 1; None: nobody lives here."""
        self._views: Tensor | None = None

    @property
    def remembered(self) -> Tensor:
        """What the memory alone saw at the last look, (B, 3, H, W) in -1..1."""
        assert self._views is not None
        return self._views[:, 1]

    def look(self, keyboard: Tensor, mouse: Tensor) -> Tensor:
        """The condition (B, 1, 2 C, h, w) after one video frame of the actions (B, 4) and (B, 2)."""
        return rearrange(self._encode(self.see(keyboard, mouse)), "b v c h w -> b 1 (v c) h w")

    def see(self, keyboard: Tensor, mouse: Tensor) -> Tensor:
        """The two views (B, 2, 3, H, W) in -1..1 after one video frame of the actions (B, 4) and (B, 2)."""
        before = self.pose
        self._move(keyboard.float(), mouse.float())
        motion = before.motion_to(self.pose, self.camera)
        if self.slots is not None:
            walked = torch.stack((self.pose.x - before.x, self.pose.y - before.y), 1)
            self.slots = self._living.dynamics.step(self.slots, self.pose, walked, self._memory, self._seed, self.done)
        self._wait()
        seen, shown = self._seen()
        moved = self.camera.moved(self.frames.float(), motion, seen.nearness)
        if shown is not None and self.shown is not None:
            # where somebody is, or just was, the frame before cannot say what is seen now
            stale = F.max_pool2d(torch.maximum(shown, self.shown), 3, 1, 1)
            stale = F.interpolate(stale, scale_factor=_BLOCK, mode="nearest") > 0
            moved = torch.where(stale, seen.frames, moved)
        self.shown = shown
        self._views = torch.stack((moved, seen.frames), 1)
        return self._views

    def _begin(self, frames: Tensor) -> tuple[FirstPicture, Tensor | None]:
        """What the first pictures say of the place, and which blocks of them show a slot."""
        memory, pose = self._memory, self.pose
        light = memory.light_at(pose.hour, self.flicker)
        place = memory.picture(pose, self.camera, light)
        somebody = None if self.slots is None else self._with_slots(place, light)[1]
        first = FirstPicture.of(frames, place, somebody, pose, light)
        return first, None if somebody is None else F.max_pool2d(somebody, _BLOCK)

    def seen_with(self, only: Tensor) -> Tensor:
        """What the memory sees with some of the slots (B, K) in it, (B, 3, H, W) in -1..1; `remembered` is with all."""
        return self._seen(only)[0].frames

    def _seen(self, only: Tensor | None = None) -> tuple[View, Tensor | None]:
        """What the memory sees, with the slots in it, or some of them, and the blocks of the picture that show them."""
        light = self._memory.light_at(self.pose.hour, self.flicker)
        picture, somebody = self._memory.picture(self.pose, self.camera, light), None
        picture = self._first.on(picture, self.camera, self.pose, light)
        if self.slots is not None:
            picture, somebody = self._with_slots(picture, light, only)
        view = View(picture.frames.clamp(0, 1) * 2 - 1, picture.nearness)
        return view, None if somebody is None else F.max_pool2d(somebody, _BLOCK)

    def _with_slots(self, picture: Picture, light: Light, only: Tensor | None = None) -> tuple[Picture, Tensor]:
        """The place with everybody in it, or some, and the pixels that show anybody, (B, 1, H, W) 0 or 1."""
        assert self.slots is not None
        pose, living = self.pose, self._living
        eyes = (pose.x, pose.y, pose.yaw, pose.pitch)
        cards = living.cards(self.slots, eyes)
        if only is not None:
            cards = replace(cards, present=cards.present & only)
        made = draw_cards(picture, cards, living.atlas(), eyes, self.camera, light)
        return made, (made.nearness != picture.nearness)[:, None].float()

    def mix(self, weights: Tensor) -> Tensor:
        """Latents (B, 1, C, h, w) of the views last looked at, mixed by weights (B, 1, 2, h, w)."""
        assert self._views is not None
        size = self._views.shape[-2:]
        smooth = F.interpolate(weights[:, 0].float(), size=size, mode="bilinear", align_corners=False)
        return self._encode((self._views * smooth[:, :, None]).sum(1, keepdim=True))

    def _move(self, keyboard: Tensor, mouse: Tensor) -> None:
        """Moves every pose by an action, along walls where they are in the way: each axis of the map on its own."""
        camera, pose = self.camera, self.pose
        yaw, pitch = (pose.yaw + camera.turn(mouse)) % (2 * torch.pi), camera.pitched(pose.pitch, mouse)
        ahead, right = camera.walk(keyboard)
        cos, sin = yaw.cos(), yaw.sin()
        x, y = pose.x + ahead * cos - right * sin, pose.y + ahead * sin + right * cos
        # asked at once: along x alone, and along y from where that may lead
        places = torch.stack((x, x, pose.x)), torch.stack((pose.y, y, y))
        free, further, beside = self._memory.standing(*places)
        x = torch.where(free, x, pose.x)
        y = torch.where(torch.where(free, further, beside), y, pose.y)
        self.pose = Pose(x, y, yaw, pitch, pose.hour)

    def _wait(self) -> None:
        """Lets a video frame's time pass."""
        memory = self._memory
        self.pose = replace(self.pose, hour=(self.pose.hour + memory.pace) % 1)
        # by number and seed, so that there is no generator to keep
        draws = torch.Generator().manual_seed((self._seed * 0x9E3779B1 + self.done) % 2**63)
        fresh = torch.randn(len(self.flicker), generator=draws).to(self.flicker.device)
        steady = memory.flicker[1]
        self.flicker = self.flicker * steady + fresh * (1 - steady.square()).sqrt()
        self.done += 1

    def _encode(self, pictures: Tensor) -> Tensor:
        return self._codec.encode(pictures.to(self.frames.dtype)).float()


@dataclass(frozen=True)
class Moment:
    """All that a walk carries on from one video frame to the next."""

    frames: Tensor
    pose: Pose
    flicker: Tensor
    done: int
    slots: Slots | None
    shown: Tensor | None


class MemoryCondition:
    """The condition of one rollout, see engine.rollout.condition.Condition.

    Args:
        networks: of the embedded model.
        picture: the first frame (1, 1, 3, H, W) in -1..1.
        seed: of what happens by chance.
        name: the picture's key in the networks' places.
    """

    def __init__(self, networks: EmbeddedNetworks, picture: Tensor, seed: int = 0, name: str = "") -> None:
        config, frame = networks.config, picture[:, 0]
        camera = Camera(config.camera, config.width, config.height, frame.device)
        pose = recall(networks.places, name, frame.float(), networks.spatial_memory, camera)
        self._walk = Walk(networks, frame, pose, seed=seed)

    @property
    def steady(self) -> bool:
        return True

    def ahead(self, first: int, latents: int) -> None:
        pass  # where the player looks is not known yet

    def for_block(self, first: int, latents: int, actions: Actions) -> Tensor:
        return self._walk.look(*self._sent(actions))

    def see(self, actions: Actions) -> Tensor:
        """The two views (1, 2, 3, H, W) after one video frame of actions."""
        return self._walk.see(*self._sent(actions))

    def _sent(self, actions: Actions) -> tuple[Tensor, Tensor]:
        device = self._walk.frames.device
        return torch.from_numpy(actions.keyboard).to(device), torch.from_numpy(actions.mouse).to(device)

    def mix(self, weights: Tensor) -> Tensor:
        return self._walk.mix(weights)

    def observe(self, frames: Tensor, latents: Tensor) -> None:
        self._walk.frames = frames[:, -1]

    def snapshot(self) -> Moment:
        walk = self._walk  # whose parts are replaced, never written to
        return Moment(walk.frames, walk.pose, walk.flicker, walk.done, walk.slots, walk.shown)

    def restore(self, snapshot: Moment) -> None:
        walk = self._walk
        walk.frames, walk.pose, walk.flicker = snapshot.frames, snapshot.pose, snapshot.flicker
        walk.done, walk.slots, walk.shown = snapshot.done, snapshot.slots, snapshot.shown
