"""The scheduling policy, on plain integers."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.engine.scheduler import PATIENCE, TRIFLE, ParkedCall, Scheduler

BUDGET = 20


@dataclass
class Simulation:
    """Trajectories of some steps; every step is one call of the trajectory's group and cost."""

    scheduler: Scheduler
    parked: dict[int, ParkedCall] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)
    finished: list[int] = field(default_factory=list)

    def arrive(self, id: int, steps: int, group: str = "a", cost: int = 2) -> None:
        self.steps[id] = steps
        self.parked[id] = ParkedCall(id, group, cost, steps * cost, self.scheduler.clock)

    def step(self) -> tuple[int, ...]:
        plan = self.scheduler.plan(list(self.parked.values()))
        self.scheduler.count(sum(self.parked[id].cost for id in plan))
        for id in plan:
            self._advance(id)
        return plan

    def _advance(self, id: int) -> None:
        self.steps[id] -= 1
        call = self.parked.pop(id)
        if self.steps[id] == 0:
            self.finished.append(id)
            return
        self.parked[id] = replace(call, left=call.left - call.cost, since=self.scheduler.clock)


arrivals = st.lists(
    st.tuples(st.integers(1, 12), st.sampled_from("abc"), st.integers(1, 30)),
    min_size=1,
    max_size=12,
)


def simulation(of: list[tuple[int, str, int]]) -> Simulation:
    made = Simulation(Scheduler(BUDGET))
    for id, (steps, group, cost) in enumerate(of):
        made.arrive(id, steps, group, cost)
    return made


@given(arrivals)
def test_every_trajectory_finishes_and_none_takes_a_step_too_many(
    of: list[tuple[int, str, int]],
) -> None:
    run = simulation(of)
    forwards = 0
    while run.step():
        forwards += 1
    assert sorted(run.finished) == list(range(len(of)))
    assert forwards <= sum(steps for steps, _, _ in of)


@given(arrivals)
def test_a_plan_is_of_one_group_within_the_budget_or_a_single_call(
    of: list[tuple[int, str, int]],
) -> None:
    run = simulation(of)
    while run.parked:
        before = dict(run.parked)
        plan = run.step()
        assert len({before[id].group for id in plan}) == 1
        assert len(set(plan)) == len(plan)
        assert len(plan) == 1 or sum(before[id].cost for id in plan) <= BUDGET


@given(arrivals)
def test_a_call_that_would_still_fit_is_never_left_out(of: list[tuple[int, str, int]]) -> None:
    run = simulation(of)
    while run.parked:
        before = dict(run.parked)
        plan = run.step()
        group = before[plan[0]].group
        spare = BUDGET - sum(before[id].cost for id in plan)
        assert all(
            call.cost > spare
            for id, call in before.items()
            if call.group == group and id not in plan
        )


@given(st.integers(1, 20), st.integers(1, 6))
def test_long_work_keeps_a_share_under_an_endless_crowd_of_short_work(
    steps: int, crowd: int
) -> None:
    run = Simulation(Scheduler(BUDGET))
    run.arrive(0, steps, "long", cost=BUDGET)
    waited = longest = fresh = 0
    while 0 in run.parked:
        for _ in range(crowd + 1 - len(run.parked)):
            fresh += 1
            run.arrive(fresh, 1, "short", cost=BUDGET)
        waited = 0 if run.step() == (0,) else waited + 1
        longest = max(longest, waited)
        assert longest <= PATIENCE + crowd
    assert run.finished[-1] == 0


def test_short_work_overtakes_long_work_that_came_before() -> None:
    run = Simulation(Scheduler(BUDGET))
    for id in range(8):
        run.arrive(id, 50, cost=BUDGET)
    run.step()
    run.arrive(99, 4, cost=BUDGET)
    assert [run.step() for _ in range(4)] == [(99,)] * 4


def test_a_trifle_goes_before_all_steps() -> None:
    steps, prompt = (
        ParkedCall(0, "steps", TRIFLE, 4 * TRIFLE, 0),
        ParkedCall(1, "prompts", 1, 50 * TRIFLE, 0),
    )
    assert Scheduler(TRIFLE).plan([steps, prompt]) == (1,)


def test_an_endless_stream_of_trifles_holds_steps_up_for_a_while_only() -> None:
    run = Simulation(Scheduler(TRIFLE))
    run.arrive(0, 50, "steps", cost=TRIFLE)
    trifles = 0
    while run.steps[0] == 50:
        run.arrive(trifles := trifles + 1, 1, "prompts", cost=1)
        run.step()
    assert trifles <= PATIENCE * TRIFLE + 1


@given(arrivals, st.integers(1, 4), st.integers(0, 60))
def test_a_lane_takes_its_share_and_leaves_the_rest_to_the_next(
    of: list[tuple[int, str, int]], lanes: int, running: int
) -> None:
    calls = [
        ParkedCall(id, group, cost, steps * cost, 0) for id, (steps, group, cost) in enumerate(of)
    ]
    plan = Scheduler(BUDGET, lanes).plan(calls, running)
    taken = sum(calls[id].cost for id in plan)
    share = (sum(call.cost for call in calls) + running) / lanes
    assert len(plan) == 1 or taken < share + 1


def test_two_lanes_halve_what_waits_at_one_module() -> None:
    calls = [ParkedCall(id, "a", 2, 20, 0) for id in range(4)]
    scheduler = Scheduler(BUDGET, lanes=2)
    assert scheduler.plan(calls) == (0, 1)
    assert scheduler.plan(calls[2:], running=4) == (2, 3)


def test_a_heavy_call_waits_until_no_other_runs_and_lets_none_before_it() -> None:
    heavy, light = ParkedCall(0, "a", 9, 9, 0, heavy=True), ParkedCall(1, "b", 9, 99, 0)
    scheduler = Scheduler(BUDGET, lanes=4)
    assert scheduler.plan([heavy, light], running=1) == ()
    assert scheduler.plan([heavy, light]) == (0,)


@given(st.integers(1, 64), st.integers(0, 64), st.integers(1, 99), st.integers(1, 99))
def test_threads_of_all_lanes_are_never_more_than_there_are_processors(
    lanes: int, running: int, trajectories: int, free: int
) -> None:
    threads = Scheduler(BUDGET, lanes).threads(min(running, lanes - 1), trajectories, free)
    assert 1 <= threads <= max(1, min(lanes - min(running, lanes - 1), free))
    assert threads == 1 or threads * trajectories <= lanes


@pytest.mark.parametrize(
    ("lanes", "trajectories", "free", "threads"),
    [(2, 1, 2, 2), (2, 1, 1, 1), (2, 2, 2, 1), (6, 1, 6, 6), (6, 1, 5, 4), (16, 3, 16, 4)],
)
def test_who_is_alone_computes_with_what_others_leave(
    lanes: int, trajectories: int, free: int, threads: int
) -> None:
    assert Scheduler(BUDGET, lanes).threads(0, trajectories, free) == threads


def test_work_that_vanished_is_never_planned_again() -> None:
    run = Simulation(Scheduler(BUDGET))
    run.arrive(0, 9)
    run.arrive(1, 9)
    run.step()
    del run.parked[0]
    while plan := run.step():
        assert plan == (1,)


def test_nothing_parked_is_an_empty_plan() -> None:
    assert Scheduler(BUDGET).plan([]) == ()


def test_no_more_rows_share_a_forward_than_fit_into_memory() -> None:
    parked = [ParkedCall(i, "a", 1, 9, 0, rows=2, most=5) for i in range(4)]
    assert len(Scheduler(BUDGET).plan(parked)) == 2


def test_a_call_of_more_rows_than_fit_runs_alone() -> None:
    parked = [ParkedCall(i, "a", 1, 9, 0, rows=2, most=1) for i in range(4)]
    assert len(Scheduler(BUDGET).plan(parked)) == 1
