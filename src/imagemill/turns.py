"""Turns: who is next, of all who wait. Plain numbers; no clock and no database.

Jobs of one person, one priority and one length make a flow, and those of each upstream others: it
is a queue of its own. A job's turn is fixed when it comes:
the later of two turns, that of the job that was begun last and that of the flow's last job, plus
what the job itself costs. The least turn is next. This is self-clocked fair queueing (Golestani,
1994): however many jobs a flow has, between two of them every other flow that waits is served as
much as the first of them costs, up to one job more; who comes new waits for that much of each, and
not for all that the others have waiting. Turns tell the order alone, whatever the machine's speed.

Between priorities it is work that counts, by `Shares`.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

from imagemill.generation import Generation
from imagemill.job import Job, Priority
from imagemill.upstream_spec import upstream_of

LONGEST_PERSON = 32  # characters that tell a person in a flow of an upstream
USUAL = 512 * 512 * 20  # px times steps of a picture that costs 1

# Lengths up to so many usual pictures; the last is for all that are longer. Each is a flow of its
# own, so that a caller's short jobs do not wait for their long ones.
LENGTHS: tuple[tuple[str, float], ...] = (("short", 0.25), ("usual", 4.0), ("long", float("inf")))

# Work of more urgent priorities that is done for each work of this one while both wait: of five
# parts one goes to jobs that nobody waits for, of seventeen one to what goes behind all others.
PATIENCE: Mapping[Priority, float] = {
    Priority.INTERACTIVE: 0.0,
    Priority.NORMAL: 4.0,
    Priority.LOW: 16.0,
}


def cost(generation: Generation) -> float:
    """In usual pictures."""
    steps = generation.steps * generation.num_images
    return generation.width * generation.height * steps / USUAL


def flow(job: Job) -> str:
    """The name of the flow that a job belongs to, of at most 80 characters."""
    submission = job.submission
    length = next(name for name, most in LENGTHS if cost(submission.generation) <= most)
    person, upstream = submission.person or submission.caller, upstream_of(submission.source)
    if upstream:
        person = f"{upstream}/{person[:LONGEST_PERSON]}"
    return f"{int(submission.priority)}/{length}/{person}"


def turn(begun: float, last: float | None, cost: float) -> float:
    """Of a job that comes now. begun: the turn of the job of its priority that was begun last.
    last: that of the last job of its flow that waits or is worked on, if there is one.
    """
    return max(begun, begun if last is None else last) + cost


@dataclass
class Shares:
    """Divides work among priorities: the most urgent that waits is next, unless another has waited
    through PATIENCE times as much work of more urgent ones as its next job costs.

    owed: by priority, the work that it has waited through.
    """

    owed: dict[Priority, float] = field(default_factory=dict)

    def next(self, costs: Mapping[Priority, float]) -> Priority:
        """Which priority is next, by what the first job of each that waits costs; there is one."""
        self.owed = {each: self.owed.get(each, 0.0) for each in costs}
        due = [each for each in costs if self.owed[each] >= PATIENCE[each] * costs[each]]
        chosen = max(due, default=min(costs))
        self.owed[chosen] = max(0.0, self.owed[chosen] - PATIENCE[chosen] * costs[chosen])
        for each in costs:
            if each > chosen:
                self.owed[each] += costs[chosen]
        return chosen

    def take(self, waiting: Mapping[Priority, Sequence[Job]], limit: int) -> list[Job]:
        """The next jobs, by those that wait in each priority, in their order."""
        left: MutableMapping[Priority, list[Job]] = {
            priority: list(reversed(jobs)) for priority, jobs in waiting.items() if jobs
        }
        taken = list[Job]()
        while left and len(taken) < limit:
            chosen = self.next({each: cost(jobs[-1].generation) for each, jobs in left.items()})
            taken.append(left[chosen].pop())
            if not left[chosen]:
                del left[chosen]
        return taken


def ahead(before: int, priority: Priority, waiting: Mapping[Priority, int]) -> int:
    """About how many jobs go before one that has `before` jobs of its own priority before it."""
    others = 0
    for each, count in waiting.items():
        if each < priority:
            others += min(count, int((before + 1) * PATIENCE[priority]))
        elif each > priority:
            others += min(count, int((before + 1) / PATIENCE[each]))
    return before + others
