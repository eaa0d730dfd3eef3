"""Slots: how much may be under way at a time at hosts that strangers name.

What waits for a host costs little, so there are many slots; but who names hosts that hang could
still take them all. So nobody has more than a share, of a host or of a caller, and what has taken
longer than usual moves into slots of its own, of which nothing that is quick ever needs one.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

LOOK = 1.0  # seconds after which who waits looks again


@dataclass(frozen=True)
class Taken:
    """host: empty for none. since: when it was taken."""

    host: str
    caller: str
    since: float


@dataclass
class Slots:
    """quick, slow: how many slots of each kind, of which a caller has at most half. host: the most
    at one host. patience: seconds after which what is under way is slow.
    """

    quick: int
    slow: int
    patience: float
    host: int
    clock: Callable[[], float]
    _taken: dict[Hashable, Taken] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, key: Hashable, host: str, caller: str) -> None:
        """key: names what is under way. Whoever takes more than there is room for has them."""
        self._taken[key] = Taken(host, caller, self.clock())

    def leave(self, key: Hashable) -> None:
        """Frees a slot, if there is one under that key."""
        self._taken.pop(key, None)

    def late(self, key: Hashable) -> bool:
        """Whether what is under way has taken longer than usual."""
        return self._taken[key].since <= self.clock() - self.patience

    @property
    def room(self) -> int:
        """Free slots for what begins."""
        return max(0, self.quick - len(self._kinds()[0]))

    @property
    def soon(self) -> float:
        """Seconds until who has no room may have some though nothing ends; else infinite."""
        late = self.clock() - self.patience
        waits = [taken.since - late for taken in self._taken.values() if taken.since > late]
        full = not self.room or bool(self.full_callers())
        return min(waits) if waits and full and self.slow else float("inf")

    def full_hosts(self) -> list[str]:
        """Hosts that have their share."""
        counts = Counter(taken.host for taken in self._taken.values() if taken.host)
        return sorted(name for name, count in counts.items() if count >= self.host)

    def full_callers(self) -> list[str]:
        """Callers who have their share."""
        counts = Counter(taken.caller for taken in self._kinds()[0])
        most = max(1, self.quick // 2)
        return sorted(name for name, count in counts.items() if count >= most)

    def _kinds(self) -> tuple[list[Taken], list[Taken]]:
        """What is in quick slots and what is in slow ones: what has taken long is in a quick one
        still where there is no slow one for it.
        """
        kinds: tuple[list[Taken], list[Taken]] = ([], [])
        callers: Counter[str] = Counter()
        late = self.clock() - self.patience
        for taken in sorted(self._taken.values(), key=lambda taken: taken.since):
            moves = taken.since <= late and len(kinds[1]) < self.slow
            moves = moves and callers[taken.caller] < max(1, self.slow // 2)
            callers[taken.caller] += moves
            kinds[moves].append(taken)
        return kinds


class Turnstile:
    """Lets callers wait for a slot, each until they may have one."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def slot(self, host: str, caller: str) -> AsyncIterator[None]:
        while not self._free(host, caller):
            with suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK, self.slots.soon)):
                    await self._changed.wait()
        key = object()
        self.slots.take(key, host, caller)
        try:
            yield
        finally:
            self.slots.leave(key)
            self._changed.set()  # for all who wait now
            self._changed = asyncio.Event()

    def _free(self, host: str, caller: str) -> bool:
        slots = self.slots
        if not slots.room or host in slots.full_hosts():
            return False
        return caller not in slots.full_callers()
