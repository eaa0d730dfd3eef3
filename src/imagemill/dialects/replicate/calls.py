"""Calls that come twice: whoever sends one again gets the prediction that it made."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from imagemill.orders import Repeat

NAMED = 600.0  # seconds in which a call that has a name makes one prediction
RESENT = 120.0  # seconds after which a client that timed out has sent again
KEPT = 256


@dataclass(frozen=True)
class Made:
    id: str
    at: float


@dataclass
class Calls:
    clock: Callable[[], float]
    _made: OrderedDict[tuple[str, str], Made] = field(default_factory=OrderedDict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def once(
        self, caller: str, repeat: Repeat | None, make: Callable[[], Awaitable[str]]
    ) -> str:
        """The id that `make` gives, or gave when the same call came first."""
        if repeat is None:
            return await make()
        key = caller, repeat.key
        async with self._lock:
            made = self._made.get(key)
            if made is None or self.clock() - made.at > self._patience(repeat):
                made = Made(await make(), self.clock())
            self._made[key] = made
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
        return made.id

    def _patience(self, repeat: Repeat) -> float:
        return NAMED if repeat.named else RESENT if repeat.resent else 0.0
