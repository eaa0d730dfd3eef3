"""Turns: fair between callers however many jobs they have, bounded between priorities."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.generation import MAX_IMAGES, MAX_SIDE, MAX_STEPS, Generation
from imagemill.job import Job, Priority, Submission
from imagemill.turns import LENGTHS, PATIENCE, Shares, ahead, cost, flow, turn

USUAL = Generation("a cat", "a/b", 512, 512, 20, 4.0, 1)
INTERACTIVE, NORMAL, LOW = Priority


def make_job(
    caller: str = "",
    steps: int = 20,
    priority: Priority = NORMAL,
    id: str = "1",
    side: int = 512,
    person: str = "",
) -> Job:
    generation = replace(USUAL, steps=steps, width=side, height=side)
    return Job(id, Submission(generation, "pico", "fal", caller, priority, person=person), 0.0)


def test_what_a_job_costs_is_told_in_usual_pictures() -> None:
    assert cost(USUAL) == 1
    assert cost(replace(USUAL, width=256, height=256, num_images=2)) == 0.5


@pytest.mark.parametrize(
    ("steps", "length"), [(1, "short"), (5, "short"), (6, "usual"), (80, "usual"), (81, "long")]
)
def test_a_flow_is_of_one_caller_one_priority_and_one_length(steps: int, length: str) -> None:
    assert flow(make_job("me", steps)) == f"1/{length}/me"
    assert flow(make_job("me", steps, INTERACTIVE)) == f"0/{length}/me"
    assert flow(make_job("", steps, person="at home")) == f"1/{length}/at home"


def test_the_name_of_a_flow_fits_its_column() -> None:
    longest = replace(
        USUAL, width=MAX_SIDE, height=MAX_SIDE, steps=MAX_STEPS, num_images=MAX_IMAGES
    )
    assert len(flow(Job("1", Submission(longest, "pico", "fal", "c" * 64), 0.0))) <= 80


@dataclass
class Queue:
    """What the store does, in memory and for one priority."""

    begun: float = 0.0
    waiting: list[tuple[float, int, str, float]] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)
    served: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    order: list[str] = field(default_factory=list)

    def add(self, flow: str, cost: float) -> None:
        waits = any(name == flow for _, _, name, _ in self.waiting)
        self.last[flow] = turn(self.begun, self.last[flow] if waits else None, cost)
        self.waiting.append((self.last[flow], len(self.waiting) + len(self.order), flow, cost))

    def claim(self) -> str:
        first = min(self.waiting)
        self.waiting.remove(first)
        self.begun = max(self.begun, first[0])
        self.served[first[2]] += first[3]
        self.order.append(first[2])
        return first[2]


COSTS = st.sampled_from([0.125, 0.25, 0.5, 1.0, 2.0, 4.0])
FLOWS = st.sampled_from("abcd")


@given(st.lists(st.tuples(FLOWS, COSTS), max_size=40), st.lists(st.booleans(), max_size=80))
def test_flows_that_both_wait_are_served_alike(
    jobs: list[tuple[str, float]], claims: list[bool]
) -> None:
    """However they come, the work of two that wait differs by at most a job of each."""
    queue, left = Queue(), list(jobs)
    since: dict[tuple[str, str], tuple[float, float]] = {}
    most = {name: max([c for f, c in jobs if f == name], default=0.0) for name in "abcd"}
    for claims_now in claims:
        if claims_now and queue.waiting:
            queue.claim()
        elif left:
            queue.add(*left.pop(0))
        there = {name for _, _, name, _ in queue.waiting}
        since = {pair: was for pair, was in since.items() if set(pair) <= there}
        for one in sorted(there):
            for other in sorted(there - {one}):
                was = since.setdefault((one, other), (queue.served[one], queue.served[other]))
                gained = queue.served[one] - was[0], queue.served[other] - was[1]
                assert abs(gained[0] - gained[1]) <= most[one] + most[other]


@given(st.integers(1, 300), st.integers(1, 5), COSTS)
def test_a_caller_s_first_job_waits_for_two_of_each_other_at_most_however_many_they_have(
    many: int, others: int, cost: float
) -> None:
    queue = Queue()
    for _ in range(many):
        for other in range(others):
            queue.add(f"other{other}", cost)
    for _ in range(many // 2):
        queue.claim()
    queue.add("new", cost)
    before = len(queue.order)
    while queue.claim() != "new":
        pass
    went_before = Counter(queue.order[before:-1])
    assert max(went_before.values(), default=0) <= 2


@given(st.integers(2, 200))
def test_two_callers_take_turns_whatever_the_number_of_their_jobs(many: int) -> None:
    queue = Queue()
    for _ in range(many):
        queue.add("many", 1.0)
    queue.add("few", 1.0)
    queue.add("few", 1.0)
    assert [queue.claim() for _ in range(4)].count("few") == 2


@given(st.lists(st.tuples(FLOWS, COSTS), min_size=1, max_size=200))
def test_nobody_waits_for_ever_while_others_keep_coming(jobs: list[tuple[str, float]]) -> None:
    queue = Queue()
    for _ in range(5):
        queue.add("e", 4.0)
    for each in jobs:  # one comes for each that is begun
        queue.add(*each)
        queue.claim()
    assert queue.served["e"] + 4.0 >= min(20.0, max(queue.served[name] for name in "abcd") - 4.0)


# Between priorities


HEADS = st.dictionaries(st.sampled_from(list(Priority)), COSTS, min_size=1)


@given(st.lists(HEADS, max_size=200))
def test_what_waits_is_next_after_so_much_work_of_more_urgent_priorities(
    heads: list[dict[Priority, float]],
) -> None:
    shares = Shares()
    through = dict.fromkeys(Priority, 0.0)  # work that each has waited through
    for costs in heads:
        chosen = shares.next(costs)
        assert chosen in costs
        for each in Priority:
            if each not in costs or each == chosen:
                through[each] = 0
            elif each > chosen:
                through[each] += costs[chosen]
                # Up to the job that was begun last, and one of what waits longer still.
                longest = max(costs[other] for other in costs)
                assert through[each] <= PATIENCE[each] * max(COST_MOST, costs[each]) + 2 * longest


COST_MOST = 4.0


def test_of_five_parts_of_the_work_four_go_to_those_who_wait() -> None:
    shares = Shares()
    chosen = Counter(shares.next(dict.fromkeys(Priority, 1.0)) for _ in range(1700))
    assert chosen[INTERACTIVE] == pytest.approx(4 * chosen[NORMAL], rel=0.05)
    assert chosen[LOW] == pytest.approx(100, rel=0.05)


def test_work_counts_and_not_the_number_of_jobs() -> None:
    shares = Shares()
    chosen = Counter(shares.next({INTERACTIVE: 0.25, NORMAL: 4.0}) for _ in range(1300))
    assert chosen[INTERACTIVE] == pytest.approx(64 * chosen[NORMAL], rel=0.05)


def test_a_priority_that_is_alone_has_everything_and_earns_nothing() -> None:
    shares = Shares()
    assert {shares.next({LOW: 1.0}) for _ in range(50)} == {LOW}
    assert [shares.next({INTERACTIVE: 1.0, NORMAL: 1.0}) for _ in range(5)] == [
        *[INTERACTIVE] * 4,
        NORMAL,
    ]


def test_jobs_are_taken_in_the_order_of_their_priority_s_queue() -> None:
    waiting = {
        priority: [make_job(id=f"{priority.name}{n}", priority=priority) for n in range(6)]
        for priority in (INTERACTIVE, NORMAL)
    }
    taken = [job.id for job in Shares().take(waiting, 8)]
    assert taken == [*(f"INTERACTIVE{n}" for n in range(4)), "NORMAL0",
                     "INTERACTIVE4", "INTERACTIVE5", "NORMAL1"]  # fmt: skip
    assert Shares().take({}, 8) == []


@pytest.mark.parametrize(
    ("before", "priority", "waiting", "told"),
    [
        (0, INTERACTIVE, {INTERACTIVE: 9, NORMAL: 9, LOW: 9}, 0),
        (0, NORMAL, {INTERACTIVE: 9, NORMAL: 1}, 4),
        (2, NORMAL, {INTERACTIVE: 1, NORMAL: 3, LOW: 1}, 3),
        (7, INTERACTIVE, {INTERACTIVE: 8, NORMAL: 9}, 9),
        (0, LOW, {INTERACTIVE: 9, NORMAL: 9, LOW: 1}, 18),
    ],
)
def test_a_position_counts_what_other_priorities_will_have_taken(
    before: int, priority: Priority, waiting: dict[Priority, int], told: int
) -> None:
    assert ahead(before, priority, waiting) == told


def test_every_priority_and_every_length_is_in_the_tables() -> None:
    assert set(PATIENCE) == set(Priority)
    assert PATIENCE[INTERACTIVE] == 0
    assert LENGTHS[-1][1] == float("inf")
