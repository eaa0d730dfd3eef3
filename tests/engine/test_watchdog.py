"""When an engine is taken for hung, how it ended, and what is set aside: seconds come in."""

from pathlib import Path

import pytest

from imagemill.engine.exits import Exit, Starvation
from imagemill.engine.ipc import Beat
from imagemill.engine.set_aside import MOST_KEPT, SetAside
from imagemill.engine.watchdog import Timeouts, Watchdog

TIMEOUTS = Timeouts(step=20.0, silence=5.0, load=100.0, beat=1.0)


def ticks(dog: Watchdog, times: int, *, beats: bool, busy: bool = True) -> list[str]:
    """What it said in so many seconds, where no step ended."""
    said = []
    for _ in range(times):
        if beats:
            dog.heard(Beat(3, loading=False))
        said.append(dog.tick(1.0, busy))
    return [each for each in said if each]


def test_a_process_that_is_silent_is_hung() -> None:
    dog = Watchdog(TIMEOUTS)
    dog.heard(Beat(0, loading=False))
    assert ticks(dog, 4, beats=False) == []
    assert dog.tick(1.0, busy=False) == "it gave no sign of life for 5 seconds"


def test_a_process_may_take_as_long_as_a_step_until_its_first_sign_of_life() -> None:
    dog = Watchdog(TIMEOUTS)
    assert ticks(dog, 19, beats=False, busy=False) == []
    assert dog.tick(1.0, busy=False)


def test_work_of_which_no_step_ends_is_hung_though_the_process_lives() -> None:
    dog = Watchdog(TIMEOUTS)
    assert ticks(dog, 19, beats=True) == []
    assert ticks(dog, 1, beats=True) == ["no step ended in 20 seconds"]


def test_steps_that_end_are_signs_that_it_gets_on() -> None:
    dog = Watchdog(TIMEOUTS)
    for turn in range(100):
        dog.heard(Beat(turn // 10, loading=False))
        assert dog.tick(1.0, busy=True) is None


def test_a_process_without_work_is_never_hung_for_want_of_steps() -> None:
    assert ticks(Watchdog(TIMEOUTS), 1000, beats=True, busy=False) == []


def loads(dog: Watchdog, seconds: int) -> list[str]:
    """What it said in so many seconds, in which a model was loaded and no step ended."""
    said = []
    for _ in range(seconds):
        dog.heard(Beat(0, loading=True))
        said.append(dog.tick(1.0, busy=True))
    return [each for each in said if each]


def test_while_a_model_is_loaded_no_step_has_to_end_but_it_has_a_limit_of_its_own() -> None:
    dog = Watchdog(TIMEOUTS)
    assert (loads(dog, 99), dog.overdue) == ([], False)
    assert (loads(dog, 1), dog.overdue) == (["a model was not loaded in 100 seconds"], True)


def test_every_model_may_take_as_long_to_be_loaded() -> None:
    dog = Watchdog(TIMEOUTS)
    for _ in range(3):
        dog.loading()
        assert loads(dog, 99) == []
    assert ticks(dog, 1, beats=True) == []
    assert loads(dog, 99) == []


def test_a_machine_that_slept_or_a_server_that_looked_away_takes_nobody_for_hung() -> None:
    dog = Watchdog(TIMEOUTS)
    dog.heard(Beat(0, loading=False))
    assert dog.tick(86_400.0, busy=True) is None
    dog.heard(Beat(1, loading=False))
    assert dog.tick(600.0, busy=True) is None


@pytest.mark.parametrize(
    ("ended", "outside", "told"),
    [
        (Exit(-9), True, "it was ended by signal 9 (SIGKILL)"),
        (Exit(-15), True, "it was ended by signal 15 (SIGTERM)"),
        (Exit(-11), False, "it was ended by signal 11 (SIGSEGV)"),
        (Exit(-99), False, "it was ended by signal 99 (unknown)"),
        (Exit(1), False, "it ended with exit code 1"),
        (Exit(0), False, "it ended with exit code 0"),
        (Exit(None), False, "it could not be started"),
        (Exit(-9, starved=True), False, "the system killed it for want of memory"),
        (Exit(-9, hung="no step ended in 9 seconds"), False,
         "it was killed because no step ended in 9 seconds"),
    ],
)  # fmt: skip
def test_how_it_ended_tells_whether_its_work_may_be_to_blame(
    ended: Exit, outside: bool, told: str
) -> None:
    assert (ended.from_outside, str(ended)) == (outside, told)


def test_who_was_killed_for_memory_is_told_by_the_kernel(tmp_path: Path) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("nr_free 1\noom_kill 3\n", "ascii")
    starvation = Starvation(vmstat)
    assert not starvation.happened
    starvation.look()
    assert not starvation.happened
    vmstat.write_text("nr_free 1\noom_kill 4\n", "ascii")
    starvation.look()
    assert starvation.happened


def test_where_no_kernel_tells_nobody_was_killed_for_memory(tmp_path: Path) -> None:
    starvation = Starvation(tmp_path / "nothing")
    starvation.look()
    assert not starvation.happened


def test_what_is_set_aside_again_is_so_for_longer_until_it_does_no_harm() -> None:
    aside = SetAside(least=10, most=35)
    assert aside.left("x", 100.0) == 0
    assert [aside.put("x", now) for now in (100.0, 200.0, 300.0, 400.0)] == [10, 20, 35, 35]
    assert (aside.left("x", 405.0), aside.left("x", 500.0), aside.left("y", 405.0)) == (30, 0, 0)
    aside.release("x")
    assert aside.put("x", 600.0) == 10


def test_the_list_of_what_is_set_aside_has_an_end() -> None:
    aside = SetAside(least=10, most=20)
    for number in range(MOST_KEPT + 1):
        aside.put(number, 0.0)
    assert (aside.left(0, 1.0), aside.left(1, 1.0)) == (0, 9)
