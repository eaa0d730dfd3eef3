"""The steady clock: a clock that is set on the way decides nothing at once."""

from dataclasses import dataclass

import pytest

from imagemill.clocks import BELIEVED, SETTLING, STEP, SteadyClock

NOW, HOUR, YEAR = 1.8e9, 3600.0, 365 * 86_400.0


@dataclass
class Wall:
    """A clock on the wall, which can be set, and the time that passes by itself."""

    passed: float = 500.0
    offset: float = NOW

    def __call__(self) -> float:
        return self.passed + self.offset

    def elapsed(self) -> float:
        return self.passed


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def clock(wall: Wall) -> SteadyClock:
    """One that has settled."""
    clock = SteadyClock(wall, wall.elapsed)
    wall.passed += SETTLING
    assert clock() == wall()
    return clock


def test_it_is_the_wall_s_and_follows_its_small_steps(wall: Wall, clock: SteadyClock) -> None:
    for step in (0.5, -1.0, STEP):
        wall.passed += 10
        wall.offset += step
        assert clock() == wall()


@pytest.mark.parametrize("step", [HOUR, -HOUR, YEAR, -YEAR])
def test_it_goes_on_where_the_wall_s_is_set(wall: Wall, clock: SteadyClock, step: float) -> None:
    before = clock()
    wall.offset += step
    wall.passed += 10
    assert clock() == pytest.approx(before + 10)
    wall.offset -= step  # it was a mistake
    wall.passed += 10
    assert clock() == wall()


def test_it_believes_what_has_stood_for_a_day(wall: Wall, clock: SteadyClock) -> None:
    wall.offset += YEAR
    clock()
    wall.passed += BELIEVED - 1
    assert clock() == pytest.approx(wall() - YEAR)
    wall.passed += 1
    assert clock() == wall()


def test_a_day_counts_from_the_last_change(wall: Wall, clock: SteadyClock) -> None:
    for step in (YEAR, HOUR):
        wall.offset += step
        clock()
        wall.passed += BELIEVED - 1
        assert clock() < wall() - STEP


def test_after_a_start_the_wall_s_may_still_be_set_and_nothing_is_deleted(wall: Wall) -> None:
    clock = SteadyClock(wall, wall.elapsed)
    wall.offset += YEAR
    wall.passed += SETTLING - 1
    assert clock() == wall()
    assert not clock.settled
    wall.passed += 1
    assert clock.settled
