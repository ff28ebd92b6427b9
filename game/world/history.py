"""The past of a world that can be returned to: its moments, oldest first, within a budget of memory.

A moment lies between two blocks. Near ones keep the rollout's state; of older ones only every so many do, and those in
between are made again from the actions, bit for bit, when somebody returns there. Older still are forgotten.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import InitVar, dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.actions import Actions
from game.models.machine import MOST_AGAIN_S

if TYPE_CHECKING:  # it brings torch along, which the window does not wait for
    from engine.rollout.rollout import Rollout, Snapshot

_MOST_AGAIN = 64  # blocks
_AGAIN = 16  # of a model that nobody has timed yet


numbers = count(1)  # of moments and playthroughs; never the same one twice in a process


class MomentId(NamedTuple):
    """Names a moment to those that must not hold one: the number of its playthrough, and its own; both grow."""

    world: int
    moment: int


@dataclass(frozen=True, eq=False)
class Passage:
    """What a window may show of a moment: plain data. pictures, actions: as Moment's."""

    id: MomentId
    pictures: np.ndarray
    actions: Actions | None


class Tape:
    """The actions a rollout was given since its first frame: it grows at its end and can be cut there.

    What keys stand for is kept once per combination; a frame takes 2 bytes, and 8 more where the model has a mouse.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[tuple[str, ...], bytes], int] = {}
        self._indices = array("H")
        self._mouse: array | None = None

    def __len__(self) -> int:
        return len(self._indices)

    def add(self, actions: Actions) -> None:
        """Appends actions, all of one action space."""
        keyboard = actions.keyboard.astype(np.float32)
        for keys, row in zip(actions.keys, keyboard, strict=True):
            self._indices.append(self._held.setdefault((keys, row.tobytes()), len(self._held)))
        if actions.mouse is not None:
            self._mouse = array("f") if self._mouse is None else self._mouse
            self._mouse.frombytes(actions.mouse.astype(np.float32).tobytes())

    def cut(self, frames: int) -> None:
        """Forgets all but the first `frames`."""
        del self._indices[frames:]
        if self._mouse is not None:
            del self._mouse[2 * frames :]

    def copy(self, frames: int) -> Tape:
        """A tape of its own with the first `frames`."""
        twin = Tape()
        twin._held = dict(self._held)
        twin._indices = self._indices[:frames]
        twin._mouse = None if self._mouse is None else self._mouse[: 2 * frames]
        return twin

    def actions(self, start: int, stop: int) -> Actions | None:
        """The actions of frames start .. stop - 1, as they were added; None if that is none."""
        if stop <= start:
            return None
        known = list(self._held)
        held = [known[index] for index in self._indices[start:stop]]
        keyboard = np.stack([np.frombuffer(row, np.float32) for _, row in held])
        mouse = None
        if self._mouse is not None:
            mouse = np.array(self._mouse[2 * start : 2 * stop], np.float32).reshape(-1, 2)
        return Actions(keyboard, mouse, tuple(keys for keys, _ in held))


@dataclass(eq=False)
class Start:
    """Where a rollout began, and every action it was given since.

    world: number of the playthrough it is part of. bytes: about what the rollout itself takes.
    """

    rollout: Rollout
    world: int
    tape: Tape = field(default_factory=Tape)
    bytes: int = 0

    @property
    def first_frame(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return self.rollout.first_frame

    @property
    def seed(self) -> int:
        return self.rollout.seed


@dataclass(eq=False)
class Moment:
    """A world between two blocks.

    start: of its rollout; frames: video frames made since. pictures: (F, H, W, 3) uint8 RGB of the block that led here
    (at a start, the first frame alone); actions: of that block, None at a start. snapshot: the rollout's state, None
    where it must be made again. tape: its own copy of the actions, where they may be gone from the start's. mark: the
    recording it is part of, and after how many of its frames. left: the way leads elsewhere by now, and its start's
    actions are no longer its own. name: its own, where it was needed before the moment came.
    """

    start: Start
    frames: int
    pictures: np.ndarray
    actions: Actions | None = None
    snapshot: Snapshot | None = None
    tape: Tape | None = None
    mark: tuple[Any, int] | None = None
    pins: int = 0
    left: bool = False
    memory: dict[int, int] = field(default_factory=dict)
    name: InitVar[MomentId | None] = None
    passage: Passage = field(init=False, repr=False)

    def __post_init__(self, name: MomentId | None) -> None:
        name = name or MomentId(self.start.world, next(numbers))
        self.passage = Passage(name, self.pictures, self.actions)

    @property
    def id(self) -> MomentId:
        """Names it to those that must not hold it."""
        return self.passage.id

    @property
    def picture(self) -> np.ndarray:
        """The newest picture."""
        return self.pictures[-1]

    @property
    def needed(self) -> bool:
        """Whether its state must stay as long as it does: somebody asked for it, or its rollout begins here."""
        return self.pins > 0 or self.frames == 0


class Ledger:
    """Bytes behind tensors that several owners share, each counted once."""

    def __init__(self) -> None:
        self.bytes = 0
        self._owners: dict[int, int] = {}

    def add(self, memory: dict[int, int]) -> None:
        """One more owner of each of these (address -> bytes)."""
        for address, size in memory.items():
            owners = self._owners.get(address, 0)
            self._owners[address] = owners + 1
            self.bytes += 0 if owners else size

    def remove(self, memory: dict[int, int]) -> None:
        """One owner less."""
        for address, size in memory.items():
            owners = self._owners.pop(address) - 1
            if owners:
                self._owners[address] = owners
            else:
                self.bytes -= size


class Timeline:
    """Moments on one way through a world. Not thread-safe.

    budget: bytes. playing: the start whose rollout makes the next block, which is there in any case and not counted;
    None where no block is to be made.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.playing: Start | None = None
        self.frames = 0  # video frames between the oldest moment and the newest
        self._moments: deque[Moment] = deque()
        self._passages: deque[Passage] = deque()  # theirs: copied for a window after every block
        self._ledger = Ledger()
        self._plain = 0  # bytes of pictures
        self._starts: dict[Start, int] = {}  # how many moments each has here
        self._pinned: dict[Moment, dict[int, int]] = {}
        self._thinned = 1  # moments before this one are as thin as they may be
        self._since_kept = 0  # of the thinned ones, how many in a row have no state of their own

    @property
    def bytes(self) -> int:
        """Memory taken: states, pictures, and the rollouts behind them but for the one that plays."""
        starts = {*self._starts, *(moment.start for moment in self._pinned)} - {self.playing}
        return self._ledger.bytes + self._plain + sum(start.bytes for start in starts if start is not None)

    @property
    def newest(self) -> Moment | None:
        return self._moments[-1] if self._moments else None

    def moments(self) -> tuple[Moment, ...]:
        """All of them, oldest first; a copy."""
        return tuple(self._moments)

    def passages(self) -> tuple[Passage, ...]:
        """What a window may show of them, oldest first; a copy."""
        return tuple(self._passages)

    def add(self, moment: Moment, block_seconds: float = 0.0) -> None:
        """Appends a moment and makes room for it. block_seconds: what making one again takes."""
        if moment.snapshot is not None:
            self._count_state(moment)
        self._starts[moment.start] = self._starts.get(moment.start, 0) + 1
        self._plain += moment.pictures.nbytes
        self.frames += len(moment.pictures) if self._moments and moment.frames else 0
        self._moments.append(moment)
        self._passages.append(moment.passage)
        moment.left = False
        most = int(MOST_AGAIN_S / block_seconds) if block_seconds > 0 else _AGAIN
        self.trim(max(1, min(_MOST_AGAIN, most)))

    def cut(self, moment: Moment) -> None:
        """Makes `moment` the newest: what came after it is forgotten, and everything before if it is not here."""
        if moment not in self._moments:
            for other in self._moments:
                other.left = True
            self.clear()
            self.add(moment)
            return
        while self._moments[-1] is not moment:
            self._moments[-1].left = True
            self._passages.pop()
            self._forget(self._moments.pop(), first=False)
        self._thinned = min(self._thinned, max(1, len(self._moments) - 1))

    def give_state(self, moment: Moment, snapshot: Snapshot) -> None:
        """A moment that is here gets (again) a state of its own."""
        moment.snapshot = snapshot
        if moment in self._moments:
            self._count_state(moment)

    def pin(self, moment: Moment) -> None:
        """Keeps a moment's state, which it must have, until `unpin`, in the timeline or not; it counts all the same."""
        assert moment.snapshot is not None
        moment.pins += 1
        if moment.pins == 1:
            self._pinned[moment] = moment.snapshot.storages()
            self._ledger.add(self._pinned[moment])
            moment.start.bytes = max(moment.start.bytes, sum(self._pinned[moment].values()))
            self._plain += moment.pictures.nbytes

    def unpin(self, moment: Moment) -> None:
        """Takes one `pin` back; after the last a moment goes the way of the others."""
        moment.pins -= 1
        if moment.pins:
            return
        self._ledger.remove(self._pinned.pop(moment))
        self._plain -= moment.pictures.nbytes
        if moment not in self._moments:
            moment.snapshot = None

    def clear(self) -> None:
        """Forgets everything."""
        while self._moments:
            self._passages.pop()
            self._forget(self._moments.pop(), first=False)
        self.frames = 0
        self._thinned, self._since_kept = 1, 0

    def state_before(self, moment: Moment) -> Moment:
        """The nearest moment of the same rollout that has a state, `moment` itself if it has. Raises LookupError."""
        if moment.snapshot is not None:
            return moment
        if moment.left:
            raise LookupError("the way leads elsewhere")
        found = None
        for candidate in self._moments:
            if candidate.start is moment.start and candidate.snapshot is not None and candidate.frames < moment.frames:
                found = candidate
        if found is None:
            raise LookupError("nothing to return from is kept")
        return found

    def set_budget(self, budget: int) -> None:
        """Another budget, kept to from now on."""
        self.budget = budget
        self.trim(_AGAIN)

    def trim(self, most_again: int) -> None:
        """Gives memory up until the budget is kept to: first states in between, then the oldest moments."""
        while len(self._moments) > 1 and self.bytes > self.budget:
            if not self._thin(most_again):
                self._drop_oldest()

    def _thin(self, most_again: int) -> bool:
        """Takes the state of one more moment, from the oldest on; False if all are as thin as they may be."""
        while self._thinned < len(self._moments) - 2:
            moment = self._moments[self._thinned]
            self._thinned += 1
            if moment.snapshot is None:
                continue
            if moment.needed or self._since_kept + 1 >= most_again:
                self._since_kept = 0
                continue
            self._since_kept += 1
            self._take_state(moment)
            return True
        return False

    def _drop_oldest(self) -> None:
        """Forgets the oldest moment, and those after it that only it could be returned to by."""
        while len(self._moments) > 1:
            self._passages.popleft()
            self._forget(self._moments.popleft(), first=True)
            self._thinned = max(1, self._thinned - 1)
            if self._moments[0].snapshot is not None:
                return

    def _count_state(self, moment: Moment) -> None:
        assert moment.snapshot is not None
        moment.memory = moment.snapshot.storages()
        self._ledger.add(moment.memory)
        moment.start.bytes = max(moment.start.bytes, sum(moment.memory.values()))

    def _take_state(self, moment: Moment) -> None:
        self._ledger.remove(moment.memory)
        moment.snapshot, moment.memory = None, {}

    def _forget(self, moment: Moment, first: bool) -> None:
        self._plain -= moment.pictures.nbytes
        self._starts[moment.start] -= 1
        if not self._starts[moment.start]:
            del self._starts[moment.start]
        self._ledger.remove(moment.memory)
        moment.memory = {}
        if not moment.pins:
            moment.snapshot = None
        if self._moments:
            lost = self._moments[0] if first else moment
            self.frames -= len(lost.pictures) if lost.frames else 0
