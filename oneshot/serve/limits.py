"""How often one caller may ask, how many are answered at a time, how many pictures are held decoded."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from oneshot.serve.problems import Problem

MOST_CALLERS = 10_000
"""Remembered at a time; those who asked longest ago are forgotten, and begin anew."""


class Rate:
    """Requests a minute of each caller: a minute's worth may come at once.

    Args:
        rate: requests a minute.
        clock: seconds.
    """

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic):
        self._rate, self._clock = rate, clock
        self._left: dict[str, tuple[float, float]] = {}  # how many requests, at what time

    def check(self, caller: str) -> None:
        """Count a request.

        Raises:
            Problem: 429, there were too many.
        """
        now = self._clock()
        left, since = self._left.pop(caller, (float(self._rate), now))
        left = min(float(self._rate), left + (now - since) * self._rate / 60)
        self._left[caller] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > MOST_CALLERS:
            del self._left[next(iter(self._left))]
        if left < 1:
            raise busy(
                f"more than {self._rate} requests a minute; ask less often", (1 - left) * 60 / self._rate
            )


class Gate:
    """How many requests are being answered at a time: more are refused, so that no queue grows.

    Args:
        most: requests.
    """

    def __init__(self, most: int):
        self._most = most
        self.inside = 0

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Be one of them.

        Raises:
            Problem: 429, there are enough.
        """
        if self.inside >= self._most:
            raise busy(f"{self._most} requests are being answered already; ask again later", 1)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


class Slots:
    """Room for decoded pictures, which are many times as large as they came. First come, first served.

    Args:
        slots: pictures.
    """

    def __init__(self, slots: int):
        self._free = asyncio.Semaphore(slots)
        self._turn = asyncio.Lock()  # one gathers at a time, or two could wait for each other

    @asynccontextmanager
    async def taken(self, count: int) -> AsyncIterator[None]:
        """Have so many of them."""
        got = 0
        try:
            async with self._turn:
                for _ in range(count):
                    await self._free.acquire()
                    got += 1
            yield
        finally:
            for _ in range(got):
                self._free.release()


def busy(detail: str, seconds: float) -> Problem:
    """An answer that asks to come again after so many seconds."""
    return Problem(429, detail, {"Retry-After": str(max(1, math.ceil(seconds)))})
