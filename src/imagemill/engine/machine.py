"""How much memory this process may use, and how much of that is free. No torch.

A machine's own count says too much in a container, where the kernel ends whoever takes more than
the control group has. Read on Linux in the control groups (versions 1 and 2, and all groups around
this one); elsewhere the machine's count holds.
"""

from collections.abc import Iterator
from pathlib import Path

import psutil

from imagemill.engine.processors import CGROUPS, groups_of

OWN = Path("/proc/self/cgroup")
_LIMITS = {"memory.max": "memory.current", "memory.limit_in_bytes": "memory.usage_in_bytes"}


def whole_bytes() -> int:
    machine: int = psutil.virtual_memory().total
    return min([machine, *(limit for limit, _ in quotas(CGROUPS, OWN))])


def free_bytes() -> int:
    machine: int = psutil.virtual_memory().available
    return min([machine, *(max(0, limit - used) for limit, used in quotas(CGROUPS, OWN))])


def quotas(mounted: Path, own: Path) -> Iterator[tuple[int, int]]:
    """The limit of each control group that has one, and what it uses."""
    for folder in groups_of(mounted, own, "memory"):
        for limit, used in _LIMITS.items():
            try:
                most = (folder / limit).read_text("ascii").strip()
                if most != "max":
                    yield int(most), _used(folder, used)
            except (OSError, ValueError):  # no such group here, or one without a limit
                continue


def _used(folder: Path, name: str) -> int:
    """Without the pages of files, which the kernel gives up when somebody needs them."""
    lines = (folder / "memory.stat").read_text("ascii").splitlines()
    counted = {key: int(value) for key, _, value in (line.partition(" ") for line in lines)}
    return int((folder / name).read_text("ascii")) - counted.get("inactive_file", 0)
