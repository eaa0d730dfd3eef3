"""Slots: how much may be under way at a time at hosts that strangers name.

What waits for a host costs little, so there are many slots; but who names hosts that hang could
still take them all. So nobody has more than a share, of a host or of a caller, and what has taken
longer than usual moves into slots of its own, of which nothing that is quick ever needs one.
"""

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Place:
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
    _places: dict[Hashable, Place] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._places)

    def take(self, key: Hashable, host: str, caller: str) -> None:
        """key: names what is under way. Whoever takes more than there is room for has them."""
        self._places[key] = Place(host, caller, self.clock())

    def leave(self, key: Hashable) -> None:
        """Frees a slot, if there is one under that key."""
        self._places.pop(key, None)

    def late(self, key: Hashable) -> bool:
        """Whether what is under way has taken longer than usual."""
        return self._places[key].since <= self.clock() - self.patience

    @property
    def room(self) -> int:
        """Free slots for what begins."""
        return max(0, self.quick - len(self._kinds()[0]))

    @property
    def soon(self) -> float:
        """Seconds until who has no room may have some though nothing ends; else infinite."""
        late = self.clock() - self.patience
        waits = [place.since - late for place in self._places.values() if place.since > late]
        full = not self.room or bool(self.full_callers())
        return min(waits) if waits and full and self.slow else float("inf")

    def full_hosts(self) -> list[str]:
        """Hosts that have their share."""
        counts = Counter(place.host for place in self._places.values() if place.host)
        return sorted(name for name, count in counts.items() if count >= self.host)

    def full_callers(self) -> list[str]:
        """Callers who have their share."""
        counts = Counter(place.caller for place in self._kinds()[0])
        most = max(1, self.quick // 2)
        return sorted(name for name, count in counts.items() if count >= most)

    def _kinds(self) -> tuple[list[Place], list[Place]]:
        """What is in quick slots and what is in slow ones: what has taken long is in a quick one
        still where there is no slow one for it.
        """
        kinds: tuple[list[Place], list[Place]] = ([], [])
        callers: Counter[str] = Counter()
        late = self.clock() - self.patience
        for place in sorted(self._places.values(), key=lambda place: place.since):
            moves = place.since <= late and len(kinds[1]) < self.slow
            moves = moves and callers[place.caller] < max(1, self.slow // 2)
            callers[place.caller] += moves
            kinds[moves].append(place)
        return kinds
