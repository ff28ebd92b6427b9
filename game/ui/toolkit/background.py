"""Work beside the window: pictures decoded, folders read, one piece after another in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Background:
    """One thread that works through what it is given; results are asked for, never waited for."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="background")

    def begin(self, work: Callable[..., Any], *arguments: Any) -> Future:
        """Queues a piece of work."""
        return self._pool.submit(work, *arguments)

    def stop(self) -> None:
        """Drops what has not begun; does not wait for what has."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Later:
    """A result that may not be there yet.

    value: what the work returned, None until then. problem: in words, if it raised.
    """

    def __init__(self, future: Future) -> None:
        self._future: Future | None = future
        self.value: Any = None
        self.problem = ""

    @property
    def waiting(self) -> bool:
        """Whether the work still goes on."""
        return self._future is not None

    def look(self) -> bool:
        """Takes the result if it is there. Returns whether it came just now."""
        if self._future is None or not self._future.done():
            return False
        future, self._future = self._future, None
        if future.cancelled():
            return False
        error = future.exception()
        if error is not None:
            self.problem = " ".join(str(error).split()) or type(error).__name__
        else:
            self.value = future.result()
        return True

    def drop(self) -> None:
        """Nobody wants it any more."""
        if self._future is not None:
            self._future.cancel()
