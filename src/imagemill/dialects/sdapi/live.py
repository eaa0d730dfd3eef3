"""What is being painted for whom, so that progress and interrupt find it."""

from dataclasses import dataclass, field

from imagemill.job import Job, Line
from imagemill.job_events import Item

LEAST = 0.01  # of the progress of what has begun, as A1111 has it: 0 means that nothing is going on


@dataclass
class Live:
    """A call that somebody waits for. name: how its caller calls it. previews: by picture."""

    job: Job
    name: str
    stopped: bool = False
    skipped: bool = False
    share: float = 0.0  # of the steps that are done
    previews: dict[int, bytes] = field(default_factory=dict)
    newest: bytes | None = None

    def hear(self, item: Item) -> None:
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


class Board:
    """The calls under way, by person, in the order of their coming."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, Live]] = {}

    def add(self, person: str, live: Live) -> None:
        self._of.setdefault(person, {})[live.job.id] = live

    def remove(self, person: str, live: Live) -> None:
        mine = self._of[person]
        del mine[live.job.id]
        if not mine:
            del self._of[person]

    def count(self, person: str) -> int:
        return len(self._of.get(person, {}))

    def current(self, person: str) -> Live | None:
        """The first that is painted, else the first that waits."""
        mine = list(self._of.get(person, {}).values())
        begun = [each for each in mine if each.job.started is not None]
        return next(iter(begun or mine), None)
