"""Moves trajectories from call to call: the scheduler decides, Exact computes, the scheduler
counts.

Forwards run in lanes, side by side, each on a thread of its own. Everything else happens in the
thread that calls `begin` and `end`; only `cancel` may be called from another.
"""

import logging
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate, count
from typing import Any

import torch
from greenlet import getcurrent, greenlet

from imagemill.engine.events import Event, Failed, Preview, Progress
from imagemill.engine.exact_batching import Exact
from imagemill.engine.limits import RowLimits
from imagemill.engine.memory import device_memory, let_go, out_of_memory
from imagemill.engine.module_call import ModuleCall
from imagemill.engine.previews import due, small
from imagemill.engine.scheduler import ParkedCall, Scheduler
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.pipelines.calls import guided, planned
from imagemill.pipelines.inputs import NOTHING, DecodedInputs, Picture
from imagemill.pipelines.loading import Loaded
from imagemill.pipelines.painter import paint
from imagemill.pipelines.pipeline_call import Look

log = logging.getLogger(__name__)
# Tokens of one forward: what a network's time and memory grow with, whatever its kind. At 1024 px
# Stable Diffusion, SDXL, SD3 and FLUX have 4096 in a row. A processor is busy with a few rows
# already; more would only make others wait.
ROW_BUDGET = {"cpu": 2_048, "cuda": 131_072}
LEAST_SIDE = 16  # px that a token has at least


@dataclass
class ActiveGeneration:
    """A generation under way: its trajectories' progress, and the pictures that are finished."""

    id: str
    generation: Generation
    loaded: Loaded
    decoded: DecodedInputs
    previews: bool
    began: float
    done: int = 0  # steps
    pictures: dict[int, Picture] = field(default_factory=dict)
    flagged: set[int] = field(default_factory=set)  # by the checker of the model's own weights
    remarks: list[str] = field(default_factory=list)  # what could not be done

    @property
    def checked(self) -> bool:
        """Whether the pictures are looked at that are shown on the way."""
        wanted = self.generation.safety.wanted
        return self.loaded.checks_itself if wanted is None else wanted


@dataclass
class Trajectory:
    """costs: of the steps still to be run, by steps done."""

    active: ActiveGeneration
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


@dataclass(frozen=True, eq=False)
class Forward:
    """Calls that run together. ids: of their trajectories. threads: of the arithmetic."""

    ids: tuple[int, ...]
    calls: tuple[ModuleCall, ...]
    threads: int

    @property
    def cost(self) -> int:
        return sum(_cost(call) for call in self.calls)


@dataclass(frozen=True)
class Computed:
    """A forward that has ended. outputs: one a call, or a Failure. too_many: rows for which memory
    did not suffice, at each time that it ran out.
    """

    forward: Forward
    outputs: list[Any]
    too_many: tuple[int, ...]


class Runner:
    """tell: hears of progress and failure. finish: gets a generation whose pictures are all there.

    lanes: forwards that run side by side at most. free: tells how many processors other processes
    leave. computed: is told, in another thread, of a forward that has ended, for `end`.
    """

    def __init__(
        self,
        budget: int,
        tell: Callable[[str, Event], None],
        finish: Callable[[ActiveGeneration], None],
        clock: Callable[[], float],
        lanes: int = 1,
        free: Callable[[], int] = lambda: 1,
        computed: Callable[[Computed], None] | None = None,
    ) -> None:
        self.scheduler, self.exact = Scheduler(budget, lanes), Exact(lanes)
        self.limits = RowLimits()
        self.tell, self.finish, self.clock, self.free = tell, finish, clock, free
        self.active: dict[str, ActiveGeneration] = {}
        self.trajectories: dict[int, Trajectory] = {}
        self.running: set[Forward] = set()
        self.cancelled: set[str] = set()
        self.numbers = count()
        self._ended: queue.SimpleQueue[Computed] = queue.SimpleQueue()
        self._computed = computed or self._ended.put
        self._lanes = ThreadPoolExecutor(lanes, "lane")
        self._wide: Forward | None = None

    def start(
        self,
        id: str,
        generation: Generation,
        loaded: Loaded,
        decoded: DecodedInputs = NOTHING,
        previews: bool = False,
    ) -> None:
        active = ActiveGeneration(id, generation, loaded, decoded, previews, self.clock())
        self.active[id] = active
        costs = _costs(loaded, generation)
        for index in range(generation.num_images):
            if id not in self.active:  # the first has failed
                return
            trajectory = Trajectory(active, index, costs)
            trajectory.body = greenlet(self._job(trajectory), parent=getcurrent())
            number = next(self.numbers)
            self.trajectories[number] = trajectory
            self._advance(number)

    def cancel(self, id: str) -> None:
        """Takes effect at the next `step`, after at most one more forward."""
        self.cancelled.add(id)

    def step(self) -> bool:
        """Waits for the end of one forward; False where none can be begun."""
        self.begin()
        self.run_wide()
        if self.running:
            self.end(self._ended.get())
            return True
        return False

    def begin(self) -> None:
        """Begins forwards in the lanes that are free, as far as there is work; a short one of
        several threads waits for `run_wide`.
        """
        self._drop_cancelled()
        while forward := self._planned():
            self.running.add(forward)
            for number in forward.ids:
                self.trajectories[number].call = None
            if forward.threads > 1 and not forward.calls[0].heavy:
                self._wide = forward
            else:
                self._lanes.submit(self._run, forward)

    def run_wide(self) -> None:
        """Computes the forward of several threads, if there is one, in the calling thread: always
        the same. Where another has computed with several, too, libgomp finds more threads than
        processors, and has them sleep and wake at every operation: measured on two processors,
        40 ms instead of 25, where one thread alone takes 29
        (findings/torch-threads-sleep-after-another-team.sh).
        """
        if self._wide is not None:
            forward, self._wide = self._wide, None
            self._run(forward)

    def end(self, computed: Computed) -> None:
        """Moves on whose call has been answered."""
        forward = computed.forward
        self.running.discard(forward)
        self._drop_cancelled()
        self._learn(computed)
        self.scheduler.count(forward.cost)
        for number, output in zip(forward.ids, computed.outputs, strict=True):
            if number in self.trajectories:
                self._advance(number, output)

    def _learn(self, computed: Computed) -> None:
        calls = computed.forward.calls
        for rows in computed.too_many:
            self.limits.ran_out(calls[0].group, rows)
        if not computed.too_many:
            rows = sum(call.rows for call in calls)
            self.limits.ran(calls[0].group, rows, calls[0].rows)

    def _planned(self) -> Forward | None:
        busy = sum(forward.threads for forward in self.running)
        if busy >= self.scheduler.lanes:
            return None
        parked = {number: t.call for number, t in self.trajectories.items() if t.call is not None}
        plan = self.scheduler.plan(
            [self._described(number, call) for number, call in parked.items()],
            sum(forward.cost for forward in self.running),
        )
        if not plan:
            return None
        sharing = 1 if parked[plan[0]].heavy else len(self.trajectories)
        spare = self.free() if sharing < self.scheduler.lanes else 1
        threads = self.scheduler.threads(busy, sharing, spare)
        if threads > 1 and len(plan) == 1 and not parked[plan[0]].heavy:
            threads = threads if self.exact.pays(parked[plan[0]], threads) else 1
        return Forward(plan, tuple(parked[number] for number in plan), threads)

    def _run(self, forward: Forward) -> None:
        """In a lane, or in the thread of `run_wide`."""
        with torch.inference_mode():
            outputs, too_many = self._compute(forward.calls, forward.threads)
        self._computed(Computed(forward, outputs, too_many))

    def _job(self, trajectory: Trajectory) -> Callable[[], Picture]:
        active = trajectory.active

        def stepped(look: Look | None) -> None:
            trajectory.done += 1
            active.done += 1
            total = active.generation.num_images * trajectory.steps
            self.tell(active.id, Progress(min(active.done, total), total))
            if active.previews and look and due(trajectory.done, trajectory.steps):
                self._show(trajectory, look)

        return lambda: paint(
            active.loaded,
            active.generation,
            trajectory.index,
            active.decoded,
            stepped,
            lambda: active.flagged.add(trajectory.index),
            active.remarks.append,
        )

    def _show(self, trajectory: Trajectory, look: Look) -> None:
        done, id = trajectory.done, trajectory.active.id
        picture = small(look())
        self.tell(id, Preview(done, trajectory.steps, trajectory.index, picture))

    def _described(self, number: int, call: ModuleCall) -> ParkedCall:
        trajectory = self.trajectories[number]
        group = call.group if self.exact.shares(call) else number
        most = self.limits.rows(call.group)
        return ParkedCall(
            number, group, _cost(call), trajectory.left, trajectory.since, call.heavy, call.rows,
            most, call.facts.early,
        )  # fmt: skip

    def _compute(
        self, calls: Sequence[ModuleCall], threads: int, again: bool = True
    ) -> tuple[list[Any], tuple[int, ...]]:
        """An output, or a Failure, for each call, and the rows that were too many for memory; what
        fails together is tried in halves. again: whether a single call that found no memory is
        tried once more, when what the failure held is free again.
        """
        outputs, error = self._tried(calls, threads)
        if error is None:
            return outputs, ()
        if not out_of_memory(error):
            short: tuple[int, ...] = ()
        else:
            let_go(error)
            short = (sum(call.rows for call in calls),)
            log.warning("out of memory with %d rows in a batch", *short)
        if len(calls) == 1:
            if short and again:
                outputs, more = self._compute(calls, threads, again=False)
                return outputs, short + more
            return [Failure(error)], short
        middle = len(calls) // 2
        for part in (calls[:middle], calls[middle:]):
            parted, more = self._compute(part, threads)
            outputs, short = outputs + parted, short + more
        return outputs, short

    def _tried(
        self, calls: Sequence[ModuleCall], threads: int
    ) -> tuple[list[Any], Exception | None]:
        try:
            return self.exact.run(calls, threads), None
        except Exception as error:
            return [], error

    def _advance(self, number: int, *output: Any) -> None:
        trajectory = self.trajectories[number]
        trajectory.call = None
        try:
            if output and isinstance(output[0], Failure):
                result = trajectory.body.throw(output[0].error)
            else:
                result = trajectory.body.switch(*output)
        except Exception as error:
            self._fail(trajectory.active, error)
            return
        if trajectory.body.dead:
            self._finished(number, result)
        else:
            trajectory.call, trajectory.since = result, self.scheduler.clock

    def _finished(self, number: int, picture: Picture) -> None:
        trajectory = self.trajectories.pop(number)
        active = trajectory.active
        active.pictures[trajectory.index] = picture
        if len(active.pictures) == active.generation.num_images:
            del self.active[active.id]
            self.finish(active)

    def _fail(self, active: ActiveGeneration, error: Exception) -> None:
        if out_of_memory(error):
            log.error("painting %s found no memory", active.id, exc_info=error)
            let_go(error)
            error = _too_large(active)
        elif not isinstance(error, Fault):
            log.error("painting %s failed", active.id, exc_info=error)
            error = Fault(
                Kind.FAILED, "the picture could not be painted; the server's log tells why"
            )
        self._drop(active.id)
        self.tell(active.id, Failed(error))

    def _drop_cancelled(self) -> None:
        while self.cancelled:
            id = self.cancelled.pop()
            if id in self.active:
                self._drop(id)
                self.tell(id, Failed(Fault(Kind.CANCELLED, "the work was cancelled")))

    def _drop(self, id: str) -> None:
        del self.active[id]
        for number, trajectory in list(self.trajectories.items()):
            if trajectory.active.id == id:
                del self.trajectories[number]
                trajectory.body.throw()  # GreenletExit: the pipeline unwinds


def _costs(loaded: Loaded, generation: Generation) -> tuple[int, ...]:
    """What is left to be computed after each number of steps, 0 after the last."""
    call, side = planned(loaded.family, generation), _token_side(loaded)
    tokens = [max(1, call.width * call.height // side**2)] * call.steps if call else []
    steps = len(tokens)
    rows = (1 + guided(loaded.family, generation, step, steps) for step in range(steps))
    each = [count * place for count, place in zip(rows, tokens, strict=True)]
    return tuple(accumulate(reversed(each), initial=0))[::-1]


def _token_side(loaded: Loaded) -> int:
    """px of what the denoiser makes one token of; two latents where it makes patches of them before
    it is called, or has none, as a UNet.
    """
    denoiser = getattr(loaded.pipe, "transformer", None)
    patch = getattr(getattr(denoiser, "config", None), "patch_size", None)
    scale = getattr(loaded.pipe, "vae_scale_factor", LEAST_SIDE // 2)
    return max(LEAST_SIDE, scale * (patch if isinstance(patch, int) else 2))


def _too_large(active: ActiveGeneration) -> Fault:
    size = f"{active.generation.width}x{active.generation.height} px"
    left = device_memory(str(active.loaded.pipe.device))
    return Fault(
        Kind.FAILED,
        f"memory ran out for one picture of {size}, though nothing else was computed with it: "
        f"{left} were free; ask for a smaller size or fewer images, or have the operator choose a "
        "lighter offload for this model",
    )


def _cost(call: ModuleCall) -> int:
    return call.rows * call.cells
