"""Moves trajectories from call to call: the scheduler decides, Exact computes, the scheduler
counts.

Everything happens in the thread that calls `step`; only `cancel` may be called from another.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from greenlet import getcurrent, greenlet

from imagemill.engine.calls import ModuleCall
from imagemill.engine.events import Event, Failed, Progress
from imagemill.engine.exact import Exact
from imagemill.engine.scheduler import Call, Scheduler
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.pipelines.loading import Loaded
from imagemill.pipelines.recipes import Picture, Stage, paint, stages

log = logging.getLogger(__name__)
# Of one forward. A processor is busy with a few rows already; more would only make others wait.
ROW_BUDGET = {"cpu": 8_192, "cuda": 131_072}
PLACE = 16  # px a side of what costs are counted in: a latent of pico, a token of FLUX


@dataclass
class Painting:
    """A generation under way: its trajectories' progress, and the pictures that are finished."""

    id: str
    generation: Generation
    loaded: Loaded
    began: float
    done: int = 0  # steps
    pictures: dict[int, Picture] = field(default_factory=dict)


@dataclass
class Trajectory:
    painting: Painting
    index: int
    stages: tuple[Stage, ...]
    body: greenlet = field(init=False)
    done: int = 0  # steps
    call: ModuleCall | None = None
    since: int = 0

    @property
    def left(self) -> int:
        """Cost of the steps still to be run."""
        rows, done, cost = 2 if self.painting.generation.guidance_scale > 1 else 1, self.done, 0
        for stage in self.stages:
            remaining = max(0, stage.steps - done)
            done = max(0, done - stage.steps)
            cost += remaining * rows * stage.width * stage.height // PLACE**2
        return cost


@dataclass(frozen=True)
class Failure:
    error: Exception


class Runner:
    """tell: hears of progress and failure. finish: gets a painting whose pictures are all there."""

    def __init__(
        self,
        budget: int,
        tell: Callable[[str, Event], None],
        finish: Callable[[Painting], None],
        clock: Callable[[], float],
    ) -> None:
        self.scheduler, self.exact = Scheduler(budget), Exact()
        self.tell, self.finish, self.clock = tell, finish, clock
        self.paintings: dict[str, Painting] = {}
        self.trajectories: dict[int, Trajectory] = {}
        self.cancelled: set[str] = set()
        self.numbers = count()

    def start(self, id: str, generation: Generation, loaded: Loaded) -> None:
        painting = self.paintings[id] = Painting(id, generation, loaded, self.clock())
        for index in range(generation.num_images):
            trajectory = Trajectory(painting, index, stages(loaded.family, generation))
            trajectory.body = greenlet(self._job(trajectory), parent=getcurrent())
            number = next(self.numbers)
            self.trajectories[number] = trajectory
            self._advance(number)

    def cancel(self, id: str) -> None:
        """Takes effect at the next `step`, after at most one more forward."""
        self.cancelled.add(id)

    def step(self) -> bool:
        """Runs one forward; False where nothing is waiting for one."""
        self._drop_cancelled()
        waiting = {number: t.call for number, t in self.trajectories.items() if t.call is not None}
        plan = self.scheduler.plan(
            [self._described(number, call) for number, call in waiting.items()]
        )
        if not plan:
            return False
        calls = [waiting[number] for number in plan]
        outputs = self._compute(calls)
        self._drop_cancelled()
        self.scheduler.count(sum(_cost(call) for call in calls))
        for number, output in zip(plan, outputs, strict=True):
            if number in self.trajectories:
                self._advance(number, output)
        return True

    def _job(self, trajectory: Trajectory) -> Callable[[], Picture]:
        painting = trajectory.painting
        total = painting.generation.num_images * sum(stage.steps for stage in trajectory.stages)

        def stepped() -> None:
            trajectory.done += 1
            painting.done += 1
            self.tell(painting.id, Progress(min(painting.done, total), total))

        return lambda: paint(painting.loaded, painting.generation, trajectory.index, stepped)

    def _described(self, number: int, call: ModuleCall) -> Call:
        trajectory = self.trajectories[number]
        return Call(number, call.group, _cost(call), trajectory.left, trajectory.since)

    def _compute(self, calls: Sequence[ModuleCall]) -> list[Any]:
        """An output, or a Failure, for each call; what fails together is tried alone."""
        try:
            return self.exact.run(calls)
        except Exception as error:
            if _out_of_memory(error):
                log.warning("out of memory with %d calls in a batch", len(calls))
                self.scheduler.shrink()
            if len(calls) == 1:
                return [Failure(error)]
        middle = len(calls) // 2
        return [*self._compute(calls[:middle]), *self._compute(calls[middle:])]

    def _advance(self, number: int, *output: Any) -> None:
        trajectory = self.trajectories[number]
        trajectory.call = None
        try:
            if output and isinstance(output[0], Failure):
                result = trajectory.body.throw(output[0].error)
            else:
                result = trajectory.body.switch(*output)
        except Exception as error:
            self._fail(trajectory.painting, error)
            return
        if trajectory.body.dead:
            self._finished(number, result)
        else:
            trajectory.call, trajectory.since = result, self.scheduler.clock

    def _finished(self, number: int, picture: Picture) -> None:
        trajectory = self.trajectories.pop(number)
        painting = trajectory.painting
        painting.pictures[trajectory.index] = picture
        if len(painting.pictures) == painting.generation.num_images:
            del self.paintings[painting.id]
            self.finish(painting)

    def _fail(self, painting: Painting, error: Exception) -> None:
        if not isinstance(error, Fault):
            log.error("painting %s failed", painting.id, exc_info=error)
            error = Fault(
                Kind.FAILED, "the picture could not be painted; the server's log tells why"
            )
        self._drop(painting.id)
        self.tell(painting.id, Failed(error))

    def _drop_cancelled(self) -> None:
        while self.cancelled:
            id = self.cancelled.pop()
            if id in self.paintings:
                self._drop(id)
                self.tell(id, Failed(Fault(Kind.CANCELLED, "the work was cancelled")))

    def _drop(self, id: str) -> None:
        del self.paintings[id]
        for number, trajectory in list(self.trajectories.items()):
            if trajectory.painting.id == id:
                del self.trajectories[number]
                trajectory.body.throw()  # GreenletExit: the pipeline unwinds


def _cost(call: ModuleCall) -> int:
    return call.rows * call.cells


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "not enough memory" in str(
        error
    )
