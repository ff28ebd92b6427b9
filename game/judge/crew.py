"""Independent jobs on all cores: in several processes, so that results are those of one process that does them all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, Protocol, TypeVar

from game.errors import RunError

Result = TypeVar("Result", covariant=True)
Tell = Callable[[str, float], None]
_LOOK_S = 0.1
_MOST = 16
_EACH_BYTES = 1_500_000_000
_WORTH_IT = 500  # frames; a process takes three seconds to begin


class Job(Protocol, Generic[Result]):
    """Something to be done that can travel to another process. name: for people. frames: how much there is to do."""

    @property
    def name(self) -> str: ...
    @property
    def frames(self) -> int: ...
    def run(self, tell: Callable[[float], None]) -> Result:
        """Does it; tell is told the share done, and may raise KeyboardInterrupt."""
        ...


def processes_for(jobs: Sequence[Job[Any]], threads: int = 1) -> int:
    """How many processes are worth it here; 1 is this process alone. threads: that each of them uses."""
    from game.models.machine import host_memory, usable_cores

    if sum(job.frames for job in jobs) < _WORTH_IT:
        return 1
    _, free = host_memory()
    room = _MOST if free is None else int(free // _EACH_BYTES)
    return max(1, min(len(jobs), usable_cores() // max(1, threads), room, _MOST))


def run_all(jobs: Sequence[Job[Result]], tell: Tell, processes: int = 1) -> list[Result]:
    """Results in the order of the jobs. The longest are begun first.

    processes: see `processes_for`. Raises what a job raises: then, and at Ctrl-C, the others end between two frames.
    """
    if processes <= 1:
        return _here(jobs, tell)
    context = multiprocessing.get_context("spawn")
    shares, stop = context.Array("d", len(jobs), lock=False), context.Event()
    with ProcessPoolExecutor(processes, context, _begin, (shares, stop)) as pool:
        futures: dict[int, Future[Result]] = {}
        try:
            for n in sorted(range(len(jobs)), key=lambda n: -jobs[n].frames):
                futures[n] = pool.submit(_do, jobs[n], n)
            while not _ended(list(futures.values())):
                _show(jobs, shares, tell)
            return [futures[n].result() for n in range(len(jobs))]
        except BrokenProcessPool as error:
            raise RunError("a process that was measuring has died", remedy="is there memory enough?") from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _ended(futures: list[Future[Any]]) -> bool:
    """Whether all is done, after waiting for a moment. Raises what one of them raised."""
    done, rest = wait(futures, _LOOK_S, FIRST_EXCEPTION)
    for future in done:
        if (error := future.exception()) is not None:
            raise error
    return not rest


def _show(jobs: Sequence[Job[Any]], shares: Sequence[float], tell: Tell) -> None:
    done = sum(share * job.frames for share, job in zip(shares, jobs, strict=True))
    busy = [job.name for share, job in zip(shares, jobs, strict=True) if 0 < share < 1]
    tell(", ".join(busy[:2]) or "starting", done / max(1, sum(job.frames for job in jobs)))


def _here(jobs: Sequence[Job[Result]], tell: Tell) -> list[Result]:
    total, done, results = max(1, sum(job.frames for job in jobs)), 0, []
    for job in jobs:
        results.append(job.run(_part(tell, job, done, total)))
        done += job.frames
    return results


def _part(tell: Tell, job: Job[Any], done: int, total: int) -> Callable[[float], None]:
    return lambda share: tell(job.name, (done + share * job.frames) / total)


# -- in the other processes ----------------------------------------------------------------------------------------
_shares: Any = None
_stop: Any = None


def _begin(shares: Any, stop: Any) -> None:
    global _shares, _stop
    _shares, _stop = shares, stop
    from game.models.loader import calm_threads

    calm_threads()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us hears it too, and tells us
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(job: Job[Result], number: int) -> Result:
    def tell(share: float) -> None:
        if _stop.is_set():
            raise KeyboardInterrupt
        _shares[number] = share

    tell(0.0)
    result = job.run(tell)
    _shares[number] = 1.0
    return result
