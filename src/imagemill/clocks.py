"""Clocks: the time of day as it goes on, whatever the clock on the wall is set to meanwhile.

A clock that is set an hour, or a year, forward would have all that is kept expire at once, and one
that is set back would have all that is due wait. The database's own clock decides where several
servers share one; this one decides where there is one server, and what it deletes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

STEP = 60.0  # seconds by which a clock may be off before it was set rather than slow
SETTLING = 600.0  # seconds of a process in which the clock is still being set, as after booting
BELIEVED = 86_400.0  # seconds after which a clock that was set is believed


def elapsed() -> float:
    """Seconds that passed, those included in which the machine slept, where it tells."""
    kind = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if kind is None else time.clock_gettime(kind)


@dataclass
class SteadyClock:
    """Unix seconds. Follows the clock on the wall in small steps; where that was set, it goes on as
    before until the new time has stood for a day.
    """

    wall: Callable[[], float] = time.time
    elapsed: Callable[[], float] = elapsed
    _began: float = field(init=False)
    _offset: float = field(init=False)  # of the time of day from what has elapsed
    _other: tuple[float, float] | None = None  # an offset that is not believed, and since when

    def __post_init__(self) -> None:
        self._began = self.elapsed()
        self._offset = self.wall() - self._began

    def __call__(self) -> float:
        now = self.elapsed()
        offset = self.wall() - now
        if abs(offset - self._offset) <= STEP or now - self._began < SETTLING:
            self._offset, self._other = offset, None
        elif self._other is None or abs(offset - self._other[0]) > STEP:
            self._other = offset, now
        elif now - self._other[1] >= BELIEVED:
            self._offset, self._other = offset, None
        return now + self._offset

    @property
    def settled(self) -> bool:
        """Whether enough time has passed since the start for what is old to be deleted."""
        return self.elapsed() - self._began >= SETTLING
