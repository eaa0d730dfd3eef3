"""What is not tried for a while, because it killed. Pure: the time comes in."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

MOST_KEPT = 1000


@dataclass(frozen=True)
class Term:
    until: float
    seconds: float


@dataclass
class SetAside:
    """Things that are set aside for `least` seconds, twice as long each time, at most `most`."""

    least: float
    most: float
    _terms: OrderedDict[Hashable, Term] = field(default_factory=OrderedDict)

    def put(self, thing: Hashable, now: float) -> float:
        """Seconds that it is set aside for."""
        before = self._terms.pop(thing, None)
        seconds = self.least if before is None else min(self.most, 2 * before.seconds)
        self._terms[thing] = Term(now + seconds, seconds)
        if len(self._terms) > MOST_KEPT:
            self._terms.popitem(last=False)
        return seconds

    def left(self, thing: Hashable, now: float) -> float:
        """Seconds until it may be tried; 0 where it may."""
        term = self._terms.get(thing)
        return 0.0 if term is None else max(0.0, term.until - now)

    def release(self, thing: Hashable) -> None:
        """It did no harm."""
        self._terms.pop(thing, None)
