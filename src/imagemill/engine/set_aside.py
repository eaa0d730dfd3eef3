"""What is not tried for a while, because it killed. Pure: the time comes in."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

MOST_KEPT = 1000


@dataclass(frozen=True)
class Backoff:
    until: float
    seconds: float


@dataclass
class SetAside:
    """Things that are set aside for `least` seconds, twice as long each time, at most `most`."""

    least: float
    most: float
    _backoffs: OrderedDict[Hashable, Backoff] = field(default_factory=OrderedDict)

    def put(self, thing: Hashable, now: float) -> float:
        """Seconds that it is set aside for."""
        before = self._backoffs.pop(thing, None)
        seconds = self.least if before is None else min(self.most, 2 * before.seconds)
        self._backoffs[thing] = Backoff(now + seconds, seconds)
        if len(self._backoffs) > MOST_KEPT:
            self._backoffs.popitem(last=False)
        return seconds

    def left(self, thing: Hashable, now: float) -> float:
        """Seconds until it may be tried; 0 where it may."""
        backoff = self._backoffs.get(thing)
        return 0.0 if backoff is None else max(0.0, backoff.until - now)

    def release(self, thing: Hashable) -> None:
        """It did no harm."""
        self._backoffs.pop(thing, None)
