"""Who killed the engine: on ids and integers, whatever kills and whenever."""

import math
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from imagemill.engine.suspects import DEATHS, KILLS, STRIKES, Suspects, Work

MOST = 32  # jobs in the process at a time


@dataclass
class Process:
    """What the engine does with work: some kills it, the rest ends. killers: ids. deadly: sources
    that kill while they are loaded; `deeds` decide whether a killer or a neighbour comes first."""

    killers: frozenset[str] = frozenset()
    deadly: frozenset[str] = frozenset()
    suspects: Suspects = field(default_factory=Suspects)
    deaths: int = 0
    finished: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, number: int, source: str = "pico", cost: int = 1) -> None:
        if self.suspects.broken(source):  # and is set aside
            self.failed.append(str(number))
        else:
            self.suspects.add(Work(str(number), source, cost))

    def turn(self, deed: int) -> None:
        """Either one that kills does, or one that does not ends."""
        self.suspects.due()
        running = [self.suspects.works[id] for id in sorted(self.suspects.running)]
        loading = next((work.source for work in running if work.source in self.deadly), None)
        deadly = [w for w in running if w.id in self.killers or w.source in self.deadly]
        harmless = [work for work in running if work not in deadly]
        if harmless and (not deadly or deed % 2):
            work = harmless[deed // 2 % len(harmless)]
            self.finished.append(work.id)
            self.suspects.ended(work.id)
            self.suspects.painted(work.source)
        else:
            self.deaths += 1
            self.suspects.died(loading)
        self._judge()

    def _judge(self) -> None:
        for work in self.suspects.guilty():
            self.failed.append(work.id)
            self.suspects.ended(work.id, cleared=False)


arrivals = st.lists(
    st.tuples(
        st.booleans(),  # whether it kills
        st.sampled_from("ab"),
        st.integers(1, 4),  # cost
        st.integers(0, 3),  # turns before the next comes
    ),
    min_size=1,
    max_size=40,
)
deeds = st.lists(st.integers(0, 100), min_size=1, max_size=40)


def run(process: Process, coming: list[tuple[bool, str, int, int]], deeds: list[int]) -> None:
    turns = 0

    def turn() -> None:
        nonlocal turns
        process.turn(deeds[turns % len(deeds)])
        turns += 1

    for number, (_, source, cost, pause) in enumerate(coming):
        process.add(number, source, cost)
        for _ in range(pause):
            if process.suspects.works:
                turn()
        while len(process.suspects.works) >= MOST:
            turn()
    while process.suspects.works:
        assert turns < 10_000
        turn()


@given(arrivals, deeds)
def test_whoever_kills_is_named_and_every_neighbour_finishes(
    coming: list[tuple[bool, str, int, int]], deeds: list[int]
) -> None:
    killers = frozenset(str(number) for number, each in enumerate(coming) if each[0])
    process = Process(killers)
    run(process, coming, deeds)
    assert sorted(process.failed) == sorted(killers)
    assert len(process.finished) == len(coming) - len(killers)
    # First beside everybody, then in half after half, then alone.
    assert process.deaths <= len(killers) * (1 + math.ceil(math.log2(MOST)) + DEATHS)


@given(arrivals, deeds)
def test_a_source_that_cannot_be_loaded_is_named_after_few_deaths(
    coming: list[tuple[bool, str, int, int]], deeds: list[int]
) -> None:
    process = Process(deadly=frozenset("b"))
    run(process, coming, deeds)
    assert {str(n) for n, each in enumerate(coming) if each[1] == "a"} == set(process.finished)
    assert process.deaths <= 6


def alone(process: Process, times: int) -> None:
    for _ in range(times):
        process.turn(0)


def test_kills_from_outside_accuse_nobody_however_often_they_come() -> None:
    suspects = Suspects()
    for number in range(4):
        suspects.add(Work(str(number), "pico", 1))
    for _ in range(KILLS):
        assert suspects.due() == list("0123")
        suspects.died(from_outside=True)
        assert suspects.guilty() == []
    assert suspects.deaths == []


def test_what_is_killed_from_outside_for_ever_is_named_in_the_end() -> None:
    suspects = Suspects()
    suspects.add(Work("0", "pico", 1))
    for _ in range(KILLS + DEATHS):
        assert suspects.guilty() == []
        suspects.due()
        suspects.died(from_outside=True)
    assert [work.id for work in suspects.guilty()] == ["0"]


def test_deaths_that_no_neighbour_can_explain_any_more_are_nobody_s() -> None:
    suspects = Suspects()
    for number in range(DEATHS):
        suspects.add(Work("long", "pico", 9) if number == 0 else Work(str(number), "pico", 1))
        suspects.due()
        suspects.died()
    suspects.ended("long")
    for number in range(1, DEATHS):
        suspects.ended(str(number))
    assert suspects.deaths == []


def test_what_was_cancelled_cannot_be_cleared_so_its_deaths_accuse_nobody() -> None:
    process = Process(frozenset("0"))
    for number in range(2):
        process.add(number)
    alone(process, 2)
    process.suspects.ended("1", cleared=False)
    assert process.failed == []
    alone(process, DEATHS)
    assert process.failed == ["0"]


def test_the_short_half_is_tried_before_the_long_one() -> None:
    suspects = Suspects()
    for number, cost in enumerate((9, 1, 9, 1)):
        suspects.add(Work(str(number), "pico", cost))
    suspects.due()
    suspects.died()
    assert suspects.due() == ["1", "3"]


def test_what_comes_later_runs_beside_the_suspects() -> None:
    suspects = Suspects()
    for number in range(4):
        suspects.add(Work(str(number), "pico", 1))
    suspects.due()
    suspects.died()
    assert suspects.due() == ["0", "1"]
    suspects.add(Work("new", "pico", 1))
    assert suspects.due() == ["new"]


def test_a_source_that_takes_too_long_to_be_loaded_is_broken_and_accuses_nobody() -> None:
    suspects = Suspects()
    for id, source in (("0", "pico"), ("1", "big"), ("2", "big")):
        suspects.add(Work(id, source, 1))
    suspects.due()
    suspects.overdue("big")
    assert [work.id for work in suspects.guilty()] == ["1", "2"]
    assert suspects.deaths == []
    assert suspects.due() == ["0", "1", "2"]
    suspects.forgive("big")
    assert not suspects.broken("big")


def test_a_source_whose_first_two_jobs_kill_alone_is_struck_and_may_try_once_more() -> None:
    process = Process(frozenset("01"))
    process.add(0, "new")
    alone(process, DEATHS)
    assert not process.suspects.struck("new")
    process.add(1, "new")
    alone(process, 1)
    assert process.suspects.struck("new")
    assert process.failed == ["0", "1"]
    process.suspects.forgive("new")
    assert not process.suspects.struck("new")


def test_a_source_that_has_painted_is_never_struck_for_its_jobs() -> None:
    process = Process(frozenset("12"))
    for number in range(3):
        process.add(number)
        alone(process, DEATHS)
    assert process.failed == ["1", "2"]
    assert not process.suspects.struck("pico")


def test_a_source_that_was_forgiven_and_loads_is_no_longer_accused() -> None:
    suspects = Suspects()
    for _ in range(STRIKES):
        suspects.died(loading="big")
    assert suspects.broken("big")
    suspects.forgive("big")
    suspects.loaded("big")
    suspects.died(loading="big")
    assert not suspects.broken("big")
