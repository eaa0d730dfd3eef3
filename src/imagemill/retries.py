"""Retries: work that fails because what it stands on is away is tried again, and loses nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from imagemill.errors import Fault, Kind

# Faults of the server's surroundings: neither the caller's nor the work's.
PASSING = frozenset({Kind.UNAVAILABLE, Kind.FULL})
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds between tries, which double

T = TypeVar("T")


async def outlasting(
    work: Callable[[], Awaitable[T]],
    seconds: float,
    hurry: asyncio.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """The result of `work`, tried again for so many seconds while its faults are passing.

    hurry: once it is set, one more try is made and no other.
    """
    hurry = asyncio.Event() if hurry is None else hurry
    until, pause = clock() + seconds, FIRST_PAUSE
    while True:
        last = hurry.is_set()
        try:
            return await work()
        except Fault as fault:
            if fault.kind not in PASSING or last or clock() >= until:
                raise
        try:
            async with asyncio.timeout(pause):
                await hurry.wait()
        except TimeoutError:
            pause = min(2 * pause, LONGEST_PAUSE)
