"""How an engine's process ended, and what that is evidence of."""

import os
import signal
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

VMSTAT = Path("/proc/vmstat")
NO_DEVICE = 19  # the exit code of a process that does not see the device that it is for
REMEMBERED = 60  # looks at how often the kernel killed for memory


@dataclass(frozen=True)
class Exit:
    """code: of the process, that of a signal negative; None where it never ran. hung: why we killed
    it, if we did. starved: whether the kernel has just killed something for want of memory.
    overdue: whether we killed it because a model took too long to be loaded.
    """

    code: int | None
    hung: str = ""
    starved: bool = False
    overdue: bool = False

    @property
    def from_outside(self) -> bool:
        """Whether somebody killed it, so that nothing that it painted is to blame."""
        return not self.hung and not self.starved and self.code in _KILLS

    def __str__(self) -> str:
        if self.hung:
            return f"it was killed because {self.hung}"
        if self.starved and self.code in _KILLS:
            return "the system killed it for want of memory"
        if self.code is None:
            return "it could not be started"
        if self.code == NO_DEVICE:
            return "it does not see its device"
        if self.code < 0:
            return f"it was ended by signal {-self.code} ({_name(-self.code)})"
        return f"it ended with exit code {self.code}"


@dataclass
class Starvation:
    """Whether the kernel killed for want of memory lately, which looks like anybody's kill.

    Linux tells; elsewhere nobody knows, and it did not.
    """

    vmstat: Path = VMSTAT
    _counts: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def look(self) -> None:
        """To be called every second or so."""
        self._counts.append(self._count())

    @property
    def happened(self) -> bool:
        """Since the oldest look that is remembered."""
        return bool(self._counts) and self._count() > self._counts[0]

    def _count(self) -> int:
        try:
            lines = self.vmstat.read_text("ascii").splitlines()
        except (OSError, ValueError):
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


# Windows knows neither such signals nor who ended a process.
_NAMES = frozenset({"SIGKILL", "SIGTERM", "SIGINT"})
_KILLS = frozenset(-each for each in signal.Signals if os.name == "posix" and each.name in _NAMES)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
