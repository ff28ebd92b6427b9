"""When a large model's programs are compiled: before the first block, or in a thread of its own beside play.

What is rendered, or recorded from the start, is compiled first, so that its header says what made every block, and a
replay can do the same. Play that nobody records begins at once, and changes kernels between two blocks; a recording
that begins later notes at which, and from then on they stay.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.actions import Actions
from engine.block import Block, TakePictures
from engine.errors import CompileError
from engine.families import family_of

if TYPE_CHECKING:
    from engine.fast.compiling import Compilation
    from engine.fast.kernels import Kernels
    from engine.rollout.rollout import Rollout
    from engine.world import WorldModel

NEVER = -1  # of a compiled_from: compiled kernels made no block
Progress = Callable[[str, float], None]
_TOLD_SECONDS = 8.0  # that the outcome is told
MakeCompilation = Callable[["WorldModel", str], "Compilation"]


def new_compilation(world: WorldModel, how: str) -> Compilation:
    """The compilation of a world's programs with torch's own compiler."""
    made: Compilation = family_of(world.config).compilation(world.kernels, world.config, how)
    return made


def compile_first(
    world: WorldModel,
    how: str,
    progress: Progress | None,
    warn: Callable[[str], None] | None,
    make: MakeCompilation = new_compilation,
) -> None:
    """Compiles before anything is made, for all rollouts of the world; if that fails, says so and goes on without.

    how: as CompileSettings.name; "off" does nothing.
    """
    if how == "off":
        return
    compilation = make(world, how)
    names = compilation.names
    try:
        for number, name in enumerate(names):
            if progress is not None:
                progress(f"compiling the {name} ({number + 1} of {len(names)})", number / len(names))
            compilation.compile(name)
    except CompileError as error:
        if warn is not None:
            warn(f"not compiled: {error}")
        return
    world.use(compilation.finished())


def compiled_from(rollout: Rollout, world: WorldModel) -> int:
    """Number of the first block of a rollout that the world's compiled kernels make, as recordings have it.

    0 too where the world is not compiled; NEVER where it is by now, and the rollout goes on as it began.
    """
    from engine.fast.kernels import PLAIN

    if world.kernels.compiled == PLAIN:
        return 0
    return NEVER if rollout.compiled_from is None else rollout.compiled_from


def change_kernels_at(block: int, rollout: Rollout, world: WorldModel) -> None:
    """Has a new rollout change from plain to the world's kernels at a block, as the one it repeats did.

    block: as `compiled_from` says.
    """
    from engine.fast.kernels import uncompiled

    if block == 0:
        return
    rollout.use(uncompiled(world.kernels), 0)
    if block != NEVER:
        rollout.use(world.kernels, block)


class _CalledOff(SystemExit):
    """Ends the compiling thread wherever it is; not an Exception, so that nobody takes it for a failed program."""


class BackgroundCompile:
    """Compiles a world's programs on a thread of its own, until that is done or called off.

    doing: what it is at, in words. outcome: what came of it, None until it is done.
    """

    def __init__(self, world: WorldModel, how: str, make: MakeCompilation) -> None:
        self.doing = "starting"
        self.outcome: Kernels | CompileError | None = None
        self._off, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(world, how, make), name="compile", daemon=True)
        self._thread.start()

    def call_off(self, limit: float) -> bool:
        """Ends it, at most in so many seconds, and lets go of the world and of what was compiled.

        torch's compiler has no way to be asked, so the thread is made to raise at its next step; a program that another
        process is compiling just then is waited for, and its thread ends behind it. Returns whether it has ended.
        """
        self._off.set()
        if not self._over.is_set() and self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), ctypes.py_object(_CalledOff))
        self._thread.join(limit)
        self.outcome = None
        return not self._thread.is_alive()

    def _run(self, world: WorldModel, how: str, make: MakeCompilation) -> None:
        try:
            outcome = self._compiled(world, how, make)
            if not self._off.is_set():
                self.outcome = outcome
        except _CalledOff:
            pass
        finally:
            self._over.set()

    def _compiled(self, world: WorldModel, how: str, make: MakeCompilation) -> Kernels | CompileError:
        try:
            compilation = make(world, how)
            for number, name in enumerate(compilation.names):
                if self._off.is_set():
                    raise _CalledOff
                self.doing = f"{name} ({number + 1} of {len(compilation.names)})"
                compilation.compile(name)
            return compilation.finished()
        except CompileError as error:
            return error
        except Exception as error:  # the compiler may not even start; play must not hang on it
            return CompileError("nothing can be compiled", got=f"{type(error).__name__}: {error}")


def release(world: object, limit: float = 5.0) -> None:
    """Calls off what a world does beside play, since it will not be played again; any world may be given."""
    call_off = getattr(world, "call_off", None)
    if call_off is not None:
        call_off(limit)


class CompilingWorld:
    """A WorldModel that is compiled beside play; in everything else it is the world it wraps.

    Its rollouts change kernels between two blocks, as soon as there are any. If none can be made, that is told and they
    go on as they were.

    Args:
        world: with fast kernels, not compiled.
        how: as CompileSettings.name.
        tell: called between blocks, by the thread that makes them, with words for people; "" takes them away.
        warn: told why nothing was compiled.
        make: the compilation of a world.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        world: WorldModel,
        how: str,
        tell: Progress,
        warn: Callable[[str], None] = lambda line: None,
        make: MakeCompilation = new_compilation,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._world, self._tell, self._warn, self._clock = world, tell, warn, clock
        self._began, self._told_until = clock(), 0.0
        self._open, self._kept = True, False  # whether the outcome is still to be told, and may not be taken over
        self.work = BackgroundCompile(world, how, make)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def start(self, first_frame: np.ndarray, seed: int) -> CompilingRollout:
        """As WorldModel.start."""
        return CompilingRollout(self._world.start(first_frame, seed), self)

    def with_steps(self, denoising_steps: tuple[int, ...]) -> CompilingWorld:
        """As WorldModel.with_steps; what is being compiled serves both, since passes do not know how many they are."""
        twin = object.__new__(CompilingWorld)
        twin.__dict__ = {**self.__dict__, "_world": self._world.with_steps(denoising_steps)}
        return twin

    def call_off(self, limit: float) -> bool:
        """Ends compiling for good, see BackgroundCompile; play may go on with the kernels there are."""
        self._open = False
        return self.work.call_off(limit)

    def keep_kernels(self) -> None:
        """From now on no rollout changes kernels: a recording has begun. What is compiled later is not used."""
        self._kept = True

    def before_block(self, rollout: Rollout, made: int) -> None:
        """Between two blocks of `rollout`: tells how far compiling is, and has it use what came of it.

        made: how many blocks it ever made, whatever it was brought back to since. Only those after them are made by
        other kernels, so that one number says which blocks are, on whatever way through the world.
        """
        outcome, now = self.work.outcome, self._clock()
        if not self._open:
            if self._told_until and now >= self._told_until:
                self._told_until = 0.0
                self._tell("", 1.0)
        elif outcome is None:
            self._tell(f"Compiling the {self.work.doing}, {now - self._began:.0f} s", 0.0)
        else:
            self._open, self._told_until = False, now + _TOLD_SECONDS
            if isinstance(outcome, CompileError):
                self._warn(f"not compiled: {outcome}")
                self._tell(f"Not compiled, playing on as before: {outcome}", 1.0)
                return
            if self._kept:
                self._tell("Compiled, but a recording has begun without: not used", 1.0)
                return
            self._world.use(outcome)
            rollout.use(outcome, made)
            self._tell(f"Compiled in {now - self._began:.0f} s", 1.0)


class CompilingRollout:
    """A Rollout that looks between its blocks whether its world is compiled."""

    def __init__(self, rollout: Rollout, world: CompilingWorld) -> None:
        self._rollout, self._world = rollout, world
        self._made = 0  # blocks, at the furthest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rollout, name)

    def step(self, actions: Actions, early: TakePictures | None = None) -> Block:
        """As Rollout.step."""
        self._world.before_block(self._rollout, self._made)
        block = self._rollout.step(actions, early)
        self._made = max(self._made, self._rollout.blocks_done)
        return block
