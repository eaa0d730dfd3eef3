"""Calls that come twice: whoever sends one again gets the prediction that it made."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from imagemill.orders import Repeat

NAMED = 600.0  # seconds in which a call that has a name makes one prediction
RESENT = 120.0  # seconds after which a client that timed out has sent again
KEPT = 256  # calls of one caller
CALLERS = 256


@dataclass
class Call:
    """What a call has made, and when. lock: of those who send it at the same time."""

    id: str = ""
    at: float = -math.inf
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class Calls:
    """Each caller's are kept apart, so that nobody waits for another's or pushes them out."""

    clock: Callable[[], float]
    _callers: OrderedDict[str, OrderedDict[str, Call]] = field(default_factory=OrderedDict)

    async def once(
        self, caller: str, repeat: Repeat | None, make: Callable[[], Awaitable[str]]
    ) -> str:
        """The id that `make` gives, or gave when the same call came first."""
        if repeat is None:
            return await make()
        call = self._call(caller, repeat.key)
        async with call.lock:
            if self.clock() - call.at >= _patience(repeat):
                call.id = await make()
                call.at = self.clock()
            return call.id

    def _call(self, caller: str, key: str) -> Call:
        calls = self._callers.setdefault(caller, OrderedDict())
        call = calls.setdefault(key, Call())
        self._callers.move_to_end(caller)
        calls.move_to_end(key)
        if len(calls) > KEPT:
            calls.popitem(last=False)
        if len(self._callers) > CALLERS:
            self._callers.popitem(last=False)
        return call


def _patience(repeat: Repeat) -> float:
    return NAMED if repeat.named else RESENT if repeat.resent else 0.0
