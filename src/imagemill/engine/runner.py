"""Moves trajectories from call to call: the scheduler decides, Exact computes, the scheduler
counts.

Everything happens in the thread that calls `step`; only `cancel` may be called from another.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, count
from typing import Any

import torch
from greenlet import getcurrent, greenlet

from imagemill.engine.calls import ModuleCall
from imagemill.engine.events import Event, Failed, Preview, Progress
from imagemill.engine.exact import Exact
from imagemill.engine.previews import due, small
from imagemill.engine.scheduler import Call, Scheduler
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.pipelines.asking import Look
from imagemill.pipelines.loading import Loaded
from imagemill.pipelines.recipes import paint
from imagemill.pipelines.sources import NOTHING, Given, Picture
from imagemill.pipelines.stages import guided, stages

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
    given: Given
    previews: bool
    began: float
    done: int = 0  # steps
    pictures: dict[int, Picture] = field(default_factory=dict)


@dataclass
class Trajectory:
    """costs: of the steps still to be run, by steps done."""

    painting: Painting
    index: int
    costs: tuple[int, ...]
    body: greenlet = field(init=False)
    done: int = 0  # steps
    call: ModuleCall | None = None
    since: int = 0

    @property
    def steps(self) -> int:
        return len(self.costs) - 1

    @property
    def left(self) -> int:
        return self.costs[min(self.done, self.steps)]


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

    def start(
        self,
        id: str,
        generation: Generation,
        loaded: Loaded,
        given: Given = NOTHING,
        previews: bool = False,
    ) -> None:
        painting = Painting(id, generation, loaded, given, previews, self.clock())
        self.paintings[id] = painting
        costs = _costs(loaded, generation)
        for index in range(generation.num_images):
            if id not in self.paintings:  # the first has failed
                return
            trajectory = Trajectory(painting, index, costs)
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

        def stepped(look: Look | None) -> None:
            trajectory.done += 1
            painting.done += 1
            total = painting.generation.num_images * trajectory.steps
            self.tell(painting.id, Progress(min(painting.done, total), total))
            if painting.previews and look and due(trajectory.done, trajectory.steps):
                self._show(trajectory, look)

        return lambda: paint(
            painting.loaded, painting.generation, trajectory.index, painting.given, stepped
        )

    def _show(self, trajectory: Trajectory, look: Look) -> None:
        done, id = trajectory.done, trajectory.painting.id
        picture = small(look())
        self.tell(id, Preview(done, trajectory.steps, trajectory.index, picture))

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


def _costs(loaded: Loaded, generation: Generation) -> tuple[int, ...]:
    """What is left to be computed after each number of steps, 0 after the last."""
    planned = stages(loaded.family, generation)
    places = [
        stage.width * stage.height // PLACE**2 for stage in planned for _ in range(stage.steps)
    ]
    steps = len(places)
    rows = (1 + guided(loaded.family, generation, step, steps) for step in range(steps))
    each = [count * place for count, place in zip(rows, places, strict=True)]
    return tuple(accumulate(reversed(each), initial=0))[::-1]


def _cost(call: ModuleCall) -> int:
    return call.rows * call.cells


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "not enough memory" in str(
        error
    )
