"""How many processors this process may use, and how many of them others leave free.

A machine's own count says too much in a container or under `taskset`: a thread too many waits for
one that is not on a processor. Read on Linux in the affinity of the process and in the quotas of
its control groups (versions 1 and 2, and those of all groups around it); elsewhere the machine's
count holds.
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

LOOK_SECONDS = 0.25  # between two looks at the load; the system counts in hundredths of a second
SLACK = 0.4  # of a processor that others may take of one that counts as free
CGROUPS = Path("/sys/fs/cgroup")
_IDLE = ("idle", "iowait", "guest", "guest_nice")  # a guest's time is in its host's as well


def allowed() -> float:
    """Processors that this process may use; a quota may be a part of one."""
    return min([float(len(_own())), *_quotas(CGROUPS, Path("/proc/self/cgroup"))])


def usable(limit: int | None = None) -> int:
    """The number of threads that can compute at a time, at most `limit`; at least 1."""
    count = max(1, math.ceil(allowed()))
    return count if limit is None else min(limit, count)


def _own() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _quotas(mounted: Path, groups: Path) -> Iterator[float]:
    for folder in groups_of(mounted, groups, "cpu"):
        yield from _quota(folder)


def groups_of(mounted: Path, groups: Path, controller: str) -> Iterator[Path]:
    """Each control group that this process is in, directly or by one around it."""
    try:
        lines = groups.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for root in (mounted / controllers,) if controllers else (mounted, mounted / "unified"):
            inner = root / path.lstrip("/")
            for folder in (inner, *inner.parents):
                yield folder
                if folder == root:
                    break


def _quota(folder: Path) -> Iterator[float]:
    try:
        if (limit := folder / "cpu.max").exists():
            quota, period = limit.read_text("ascii").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text("ascii")
            period = (folder / "cpu.cfs_period_us").read_text("ascii")
        if quota.strip() not in ("max", "-1"):
            yield int(quota) / int(period)
    except (OSError, ValueError):  # no such group here, or one without a quota
        return


def busy_seconds() -> tuple[float, float]:
    """Of the processors that this process may use, so far: of all processes, and of this one."""
    own = _own()
    times = [each for i, each in enumerate(psutil.cpu_times(percpu=True)) if i in own]
    whole = sum(sum(each) - sum(getattr(each, name, 0.0) for name in _IDLE) for each in times)
    return whole, time.process_time()


@dataclass
class Load:
    """What others leave of `processors`, by default of all that are allowed, a moment ago.

    seconds: see `busy_seconds`. clock: in seconds.
    """

    processors: float = field(default_factory=allowed)
    seconds: Callable[[], tuple[float, float]] = busy_seconds
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._looked, (self._whole, self._own) = self.clock(), self.seconds()
        self._free = self.processors

    def free(self) -> int:
        """How many threads of ours would each have a processor; at least 1."""
        passed = self.clock() - self._looked
        if passed >= LOOK_SECONDS:
            whole, own = self.seconds()
            others = max(0.0, whole - self._whole - (own - self._own)) / passed
            self._free = self.processors - others
            self._looked, self._whole, self._own = self._looked + passed, whole, own
        return max(1, math.floor(self._free + SLACK))
