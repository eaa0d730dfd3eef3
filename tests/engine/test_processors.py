"""How many processors there are for this process: affinity, quotas, and what others leave."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from imagemill.engine.processors import LOOK_SECONDS, Load, _quotas, busy_seconds, usable

GROUPS = {
    "version 2": ("0::/a/b\n", {"a/cpu.max": "50000 100000", "a/b/cpu.max": "max 100000"}),
    "version 2 in a mixed system": ("0::/\n", {"unified/cpu.max": "50000 100000"}),
    "version 2 seen from a container": ("0::/../x\n", {"cpu.max": "50000 100000"}),
    "version 1": (
        "3:cpu,cpuacct:/a\n1:memory:/b\n",
        {"cpu,cpuacct/a/cpu.cfs_quota_us": "25000", "cpu,cpuacct/a/cpu.cfs_period_us": "50000"},
    ),
}


def quotas(folder: Path, groups: str, files: dict[str, str]) -> list[float]:
    """Of a process in these groups, in a system that has these files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n", "ascii")
    (folder / "groups").write_text(groups, "ascii")
    return list(_quotas(folder, folder / "groups"))


@pytest.mark.parametrize(("groups", "files"), GROUPS.values(), ids=GROUPS)
def test_the_quota_of_a_group_and_of_those_around_it_counts(
    tmp_path: Path, groups: str, files: dict[str, str]
) -> None:
    assert min(quotas(tmp_path, groups, files)) == 0.5


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/a\n", {"a/cpu.max": "max 100000"}),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}),
        ("1:memory:/a\n", {"memory/a/cpu.max": "1 100000"}),
        ("0::/gone\n", {}),
    ],
)
def test_where_there_is_no_quota_there_is_no_bound(
    tmp_path: Path, groups: str, files: dict[str, str]
) -> None:
    assert quotas(tmp_path, groups, files) == []


def test_a_system_without_groups_has_no_bound(tmp_path: Path) -> None:
    assert list(_quotas(tmp_path, tmp_path / "nothing")) == []


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone binds processes so")
def test_a_process_that_is_bound_to_one_processor_counts_one() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert usable(1) == 1


def test_what_others_take_is_not_free() -> None:
    now, whole, own = 0.0, 0.0, 0.0
    load = Load(2, lambda: (whole, own), lambda: now)
    assert load.free() == 2
    seen = []
    for others, ours in [(0.0, 2.0), (0.3, 1.7), (1.0, 1.0), (2.0, 0.0), (0.0, 0.0)]:
        now += 1
        whole, own = whole + others + ours, own + ours
        seen.append(load.free())
    assert seen == [2, 2, 1, 1, 2]


def test_the_load_is_looked_at_now_and_then_alone() -> None:
    looks, now = list[float](), 0.0

    def seconds() -> tuple[float, float]:
        looks.append(now)
        return 0.0, 0.0

    load = Load(2, seconds, lambda: now)
    while now < 2:
        now += LOOK_SECONDS / 10
        load.free()
    assert all(later - earlier >= LOOK_SECONDS for earlier, later in pairwise(looks))


def test_busy_seconds_count_this_process_and_all() -> None:
    whole, own = busy_seconds()
    assert whole >= 0 <= own
    assert busy_seconds()[1] > own
