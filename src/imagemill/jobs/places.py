"""Places: how many calls are worked on at a time whose callers wait on open connections.

One caller may have all of them while nobody else wants any. Who finds them taken gets one all the
same as long as they have less than their share: of n callers the nth part of the limit. So one who
fills them keeps nobody else out; with n callers there are at most 1 + 1/2 + ... + 1/n times as many
as the limit says.
"""

from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType

from imagemill.errors import Fault, Kind

FIRST_PACE = 2.0  # seconds per generation, until one has been seen
SMOOTHING = 0.2  # share of the newest generation in the pace


@dataclass
class Places:
    limit: int
    _taken: Counter[str] = field(default_factory=Counter)  # by person
    _pace: float = FIRST_PACE  # seconds per generation, recently

    @property
    def taken(self) -> int:
        return self._taken.total()

    def take(self, person: str) -> "Place":
        """Raises a Fault where there is none for them."""
        mine = self._taken[person]
        persons = len(+self._taken) + (mine == 0)
        if self.taken >= self.limit and mine >= self.limit // persons:
            raise self._full()
        self._taken[person] += 1
        return Place(self, person)

    def learn(self, seconds: float) -> None:
        """From a call that took so long."""
        # Of n in the house each takes n times as long as the house takes for one (Little's law).
        pace = seconds / max(1, self.taken)
        self._pace += SMOOTHING * (pace - self._pace)

    def _full(self) -> Fault:
        come_again = max(1.0, self.taken * self._pace)
        return Fault(
            Kind.BUSY,
            f"the queue is full, with {self.taken} of {self.limit} generations; "
            f"come again in {come_again:.0f} seconds",
            retry_after=come_again,
        )

    def _leave(self, person: str) -> None:
        self._taken[person] -= 1
        if not self._taken[person]:
            del self._taken[person]


@dataclass
class Place:
    """A place that is taken; in a `with` until its end, unless somebody has kept it by then."""

    places: Places
    person: str
    left: bool = False
    kept: bool = False

    def keep(self) -> "Place":
        """Whoever keeps a place has to leave it."""
        self.kept = True
        return self

    def leave(self) -> None:
        """Who has left has nothing to leave any more."""
        if not self.left:
            self.left = True
            self.places._leave(self.person)

    def __enter__(self) -> "Place":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.kept:
            self.leave()
