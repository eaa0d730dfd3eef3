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
    """host: empty for none. since: when it was taken; long ago for what is known to be slow."""

    host: str
    caller: str
    since: float


@dataclass
class Slots:
    """quick, slow: how many slots of each kind. patience: seconds after which what is under way is
    slow. host: the most at one host. A caller has at most half of each kind.
    """

    quick: int
    slow: int
    patience: float
    host: int
    clock: Callable[[], float]
    _places: dict[Hashable, Place] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._places)

    def take(self, key: Hashable, host: str, caller: str, slow: bool = False) -> None:
        """key: names what is under way. slow: it is known to be."""
        since = float("-inf") if slow else self.clock()
        self._places[key] = Place(host, caller, since)

    def leave(self, key: Hashable) -> None:
        """Frees a slot, if there is one under that key."""
        self._places.pop(key, None)

    @property
    def room(self) -> int:
        """Free slots for what may be quick."""
        return max(0, self.quick - len(self._kinds()[0]))

    @property
    def slow_room(self) -> int:
        """Free slots for what is known to be slow."""
        return max(0, self.slow - len(self._kinds()[1]))

    def full_hosts(self) -> list[str]:
        """Hosts that have their share."""
        counts = Counter(place.host for place in self._places.values() if place.host)
        return sorted(name for name, count in counts.items() if count >= self.host)

    def full_callers(self, slow: bool = False) -> list[str]:
        """Callers who have their share of the quick slots, or of the slow ones."""
        most = max(1, (self.slow if slow else self.quick) // 2)
        counts = Counter(place.caller for place in self._kinds()[slow])
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
