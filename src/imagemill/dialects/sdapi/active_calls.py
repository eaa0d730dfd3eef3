"""What is being painted for whom, so that progress and interrupt find it."""

from dataclasses import dataclass, field

from imagemill.job import Job, Line
from imagemill.jobs.job_events import Item

LEAST = 0.01  # of the progress of what has begun, as A1111 has it: 0 means that nothing is going on


@dataclass
class ActiveCall:
    """A call that somebody waits for."""

    #: As it was last seen.
    job: Job
    #: How its caller calls it.
    name: str
    #: Its caller has interrupted it.
    stopped: bool = False
    #: Its caller has skipped it.
    skipped: bool = False
    #: Of the steps, those that are done; 0 to 1.
    share: float = 0.0
    #: The last preview of each image, by its index.
    previews: dict[int, bytes] = field(default_factory=dict)
    #: The last preview of any; None before the first.
    newest: bytes | None = None

    def update(self, item: Item) -> None:
        if isinstance(item, Job):
            self.job = item
        elif isinstance(item, Line):
            if item.progress is not None:
                self.share = max(self.share, item.progress.step / item.progress.steps)
        else:
            self.newest = self.previews[item.index] = item.picture

    @property
    def progress(self) -> float:
        return 0.0 if self.job.started is None else min(1.0, LEAST + self.share)


class ActiveCalls:
    """The calls under way, by person, in the order of their coming."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, ActiveCall]] = {}

    def add(self, person: str, call: ActiveCall) -> None:
        self._of.setdefault(person, {})[call.job.id] = call

    def remove(self, person: str, call: ActiveCall) -> None:
        mine = self._of[person]
        del mine[call.job.id]
        if not mine:
            del self._of[person]

    def count(self, person: str) -> int:
        return len(self._of.get(person, {}))

    def current(self, person: str) -> ActiveCall | None:
        """The first that is painted, else the first that waits."""
        mine = list(self._of.get(person, {}).values())
        begun = [each for each in mine if each.job.started is not None]
        return next(iter(begun or mine), None)
