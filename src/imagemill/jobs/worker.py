"""The worker: claims jobs, has their inputs gathered and their pictures painted, ends the jobs.

It may die at any moment: what it had claimed is claimed again when its lease has run out.
"""

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from imagemill.engine.events import Engine, State
from imagemill.errors import Fault, Kind
from imagemill.files.objects import Objects
from imagemill.job import FINAL, Job, Line, Result, Status
from imagemill.jobs.claim_room import room
from imagemill.jobs.gathering import UNEXPECTED, Gathering
from imagemill.jobs.job_events import JobEvents
from imagemill.jobs.job_inputs import InputGatherer
from imagemill.jobs.job_run import JobRun
from imagemill.jobs.safety_policy import SafetyPolicy
from imagemill.pacing import Pacer
from imagemill.retries import PASSING, outlasting
from imagemill.store import Holds, Jobs
from imagemill.telemetry import Telemetry
from imagemill.threads import DISK

log = logging.getLogger(__name__)
T = TypeVar("T")

LEASE_SECONDS = 10.0  # that a claim counts without being renewed
RENEWALS_PER_LEASE = 4
LOOK_SECONDS = 1.0  # after which to look for jobs that another process took
REST_FACTOR, MAX_REST_SECONDS = 2, 0.05  # after a claim: times what it took, at most
TIDY_SECONDS = 60.0  # between looks for what is too old
# For which an image is held that cannot be stored or told of, as its database is away.
HELD_SECONDS = 3600.0
MAX_UNWRITTEN_LINES = 10_000  # lines of logs that are held meanwhile
ENDS_A_PASS = 1  # of jobs, each some milliseconds, in one pass of the event loop
_CANCELLED = Fault(Kind.CANCELLED, "the work was cancelled")
_STRANDED = Fault(Kind.FAILED, "the upstream of this model is configured here no more; ask again")


@dataclass
class Worker:
    """at_once: jobs that the engine paints at a time, but for shares, see `claim_room`.
    retention: seconds that ended jobs are kept, and their files where the caller asked for no other
    time.

    ended: is called when a job has ended that a webhook is to tell of. secret: gives what makes the
    names of files unguessable. probe: looks whether what was full has room again. settled: tells
    whether what is old may be deleted, by a clock that may be believed. hurry: nothing is held any
    longer that cannot be stored or told. policy: what the operator allows. upstreams: how many jobs
    each upstream paints at a time, by name; these take no places of the engine's.
    """

    engine: Engine
    jobs: Jobs
    holds: Holds
    objects: Objects
    inputs: InputGatherer
    events: JobEvents
    telemetry: Telemetry
    clock: Callable[[], float]
    at_once: int
    retention: float
    secret: Callable[[], Awaitable[bytes]]
    ended: Callable[[], None]
    probe: Callable[[], Awaitable[None]]
    settled: Callable[[], bool]
    policy: SafetyPolicy = field(default_factory=SafetyPolicy)
    upstreams: Mapping[str, int] = field(default_factory=dict)
    pacer: Pacer = field(default_factory=lambda: Pacer(ENDS_A_PASS))
    lease: float = LEASE_SECONDS
    monotonic: Callable[[], float] = time.monotonic
    closing: bool = False  # nothing new is claimed
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    gathering: Gathering = field(init=False)
    _running: dict[str, JobRun] = field(default_factory=dict)
    _queued: int = 0
    _claiming: bool = False  # the answer to a claim is on its way
    _unwanted: set[str] = field(default_factory=set)  # cancelled meanwhile
    _renewed: float = -math.inf
    _gap: float = 0.0  # when it was last found that we had not renewed in time
    _strays: frozenset[str] = frozenset()  # ours by the database, and not here
    _unwritten: list[tuple[str, Line]] = field(default_factory=list)
    _uncounted: set[str] = field(default_factory=set)  # begun, which nobody knows yet

    def __post_init__(self) -> None:
        self.gathering = Gathering(self, self.holds)
        self.telemetry.waiting.set_function(
            lambda: self._queued + len(self._running) - self._painting()
        )
        self.telemetry.running.set_function(self._painting)

    async def run(self) -> None:
        """Works until it is cancelled; then what it has claimed goes back to the queue."""
        await DISK.run(self.inputs.files.tidy)
        await self._strand()
        loops = (self._claim, self._gather, self._renew, self._write_lines, self._tidy)
        try:
            async with asyncio.TaskGroup() as group:
                for loop in loops:
                    group.create_task(_for_ever(loop))
        finally:
            await self._release()
            await self.gathering.close()

    async def _strand(self) -> None:
        """Fails what waits for an upstream that is configured no more. Where others share the
        database, one of them may know it.
        """
        if self.jobs.alone:
            for job in await self.jobs.strand(self.upstreams.keys(), _STRANDED, self.clock()):
                self.publish_end(job)

    def _painting(self) -> int:
        """How many jobs the engine computes."""
        return sum(run.painting for run in self._running.values())

    @property
    def busy(self) -> bool:
        return bool(self._running)

    async def idle(self) -> None:
        """Returns when everything that is claimed now has ended."""
        await asyncio.gather(*self._tasks(), return_exceptions=True)

    async def turn_away(self) -> None:
        """Ends what waits in the queue for callers who wait at this server, as it closes; where
        another server may paint it until then, it is left to that.
        """
        if self.jobs.alone:
            for job in await self.jobs.turn_away(self.name, self.clock()):
                self.publish_end(job)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [run.task for run in self._running.values()]

    async def _release(self) -> None:
        self.hurry.set()
        await asyncio.sleep(0)  # a task that has not had its first step would not end its job
        for run in self._running.values():
            if not run.ending:
                run.task.cancel()
        await asyncio.gather(*self._tasks(), return_exceptions=True)

    @property
    def queues(self) -> tuple[str, ...]:
        """The names of upstreams, before them none: that of what our engine paints."""
        return ("", *self.upstreams)

    async def _claim(self) -> None:
        began = self.monotonic()
        self.events.submitted.clear()
        more = [await self._claim_from(queue) for queue in self.queues]
        # A claim that takes long, as when many jobs end, is one for many of them.
        await asyncio.sleep(min(REST_FACTOR * (self.monotonic() - began), MAX_REST_SECONDS))
        if not any(more):
            await _until(self.events.submitted, LOOK_SECONDS)

    async def _claim_from(self, queue: str) -> bool:
        """Begins with what is next in a queue; whether there may be more that has room."""
        limit, full = self._room(queue)
        claimed = list[Job]()
        # While there is no engine, who comes waits in the queue: another server may take it.
        if limit and not self.closing and (queue or self.engine.state is State.READY):
            claimed = await self._claimed(limit, full, queue)
        for job in claimed:
            self.events.publish(job.id, job)
            run = self._running[job.id] = JobRun(self, job, job.id in self._unwanted)
            run.task = asyncio.create_task(self._work(run))
            run.task.add_done_callback(partial(self._done, job.id))
        self._unwanted.clear()
        return 0 < limit == len(claimed)

    def _room(self, queue: str = "") -> tuple[int, frozenset[str]]:
        """How many jobs of a queue may be claimed, and flows of which none may."""
        running = [each for each in self._running.values() if each.queue == queue]
        if queue:
            return max(0, self.upstreams[queue] - len(running)), frozenset()
        return room(running, self.at_once)

    def wake(self, job: Job) -> None:
        """A job has come, of this process."""
        (self.gathering.wake if job.generation.needs_inputs else self.events.submitted).set()

    async def _gather(self) -> None:
        await self.gathering.begin_all()
        await _until(self.gathering.wake, LOOK_SECONDS)

    def claims(self, id: str) -> bool:
        """Whether a job is claimed here, as far as is known."""
        return self._claiming or id in self._running

    async def _claimed(self, limit: int, full: frozenset[str], queue: str) -> list[Job]:
        self._claiming = True
        try:
            return await self.jobs.claim(self.name, limit, self.clock(), self.lease, full, queue)
        finally:
            self._claiming = False

    def _done(self, id: str, task: asyncio.Task[None]) -> None:
        del self._running[id]
        if not task.cancelled() and (error := task.exception()) is not None:
            # It is claimed still, and goes back to the queue when that is found out.
            log.error("the end of job %s could not be written: %s", id, error)
        self.events.submitted.set()  # there is room again

    async def _renew(self) -> None:
        await asyncio.sleep(self.lease / RENEWALS_PER_LEASE)
        await self.renew()

    async def renew(self) -> None:
        """Prolongs what is claimed, stops what nobody wants or another has, and ends or requeues
        what nobody works on any more.
        """
        await self.probe()
        # Before the question: what is claimed while the answer comes is not in it.
        known = [run for run in self._running.values() if not run.ending]
        ids = [run.job.id for run in known]
        claims = await self.jobs.renew(self.name, ids, self.clock(), self.lease)
        for run in known:
            run.unwanted |= run.job.id in claims.unwanted
            run.lost |= run.job.id not in claims.held
            run.interrupt()
        await self._give_back(claims.held)
        await self.gathering.renew()
        if self.jobs.alone or self._on_time():
            for job in await self.jobs.recover(self.name, self.clock()):
                self.gathering.stop(job.id)
                self.publish_end(job)
        self._queued = await self.jobs.waiting()

    def _on_time(self) -> bool:
        """Whether we have renewed without a gap for as long as a lease.

        Who was away for a while, as all are whose database was, leaves the others time to come back
        before it takes their work to be nobody's.
        """
        last, self._renewed = self._renewed, self.monotonic()
        if self._renewed - last > self.lease:
            self._gap = self._renewed
        return self._renewed - self._gap >= self.lease

    async def _give_back(self, held: frozenset[str]) -> None:
        """Requeues what is ours by the database and not here, if it was so a renewal ago.

        The answer to its claim was lost on the way.
        """
        strays = frozenset() if self._claiming else held - self._running.keys()
        for id in strays & self._strays:
            log.warning("job %s is claimed and not worked on; it goes back to the queue", id)
            await self.jobs.finish(id, self.name, Status.QUEUED, self.clock())
        self._strays = strays

    def stop(self, id: str) -> None:
        """Stops work that nobody wants, if it is here or about to come."""
        self.gathering.stop(id)
        if run := self._running.get(id):
            run.unwanted = True
            run.interrupt()
        elif self._claiming:
            self._unwanted.add(id)

    async def _write_lines(self) -> None:
        await asyncio.sleep(0.2)
        lines, self._unwritten = self._unwritten, []
        try:
            if lines:
                await self.jobs.write_lines(lines)
        except Fault as fault:
            if fault.kind in PASSING:
                self._unwritten = [*lines, *self._unwritten][-MAX_UNWRITTEN_LINES:]
            raise
        if counted := set(self._uncounted):
            await self.jobs.count_begun(self.name, sorted(counted))
            self._uncounted -= counted

    async def count_begun(self, run: JobRun) -> None:
        """The engine has the job in hand. Of one that was claimed before, which may end the server
        at once, that is written at once; otherwise soon, if it has not ended until then."""
        run.in_hand = True
        self._uncounted.add(run.job.id)
        if run.job.attempts > 1:
            try:
                await self.jobs.count_begun(self.name, [run.job.id])
                self._uncounted.discard(run.job.id)
            except Fault as fault:  # soon, then
                log.warning("it is not written yet that job %s began: %s", run.job.id, fault)

    async def _tidy(self) -> None:
        if self.settled():
            now = self.clock()
            while await self.jobs.prune(now - self.retention):
                pass
            await self.objects.prune(now)
        await asyncio.sleep(TIDY_SECONDS)

    async def _work(self, run: JobRun) -> None:
        try:
            result = await run.paint()
        except Fault as fault:
            if fault.kind in PASSING and self.hurry.is_set():
                await self._stopped(run)
                return
            status = Status.CANCELLED if fault.kind is Kind.CANCELLED else Status.FAILED
            await self._end(run, status, fault=fault)
        except asyncio.CancelledError:
            run.ending = True
            self.engine.cancel(run.job.id)
            await asyncio.shield(self._stopped(run))
        except Exception:
            log.exception("job %s failed", run.job.id)
            await self._end(run, Status.FAILED, fault=UNEXPECTED)
        else:
            await self._end(run, Status.SUCCEEDED, result=result)

    async def outlasting(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of work with database or files, for which what is painted is held."""
        return await outlasting(work, HELD_SECONDS, self.hurry, self.monotonic)

    async def _stopped(self, run: JobRun) -> None:
        """What was stopped by a shutdown waits for the next worker, if anybody will still ask."""
        if run.lost:
            return
        if run.unwanted or run.job.server == self.name:
            await self._end(run, Status.CANCELLED, fault=_CANCELLED)
            return
        if run.in_hand and run.job.id not in self._uncounted:
            uncount = partial(self.jobs.count_begun, self.name, [run.job.id], by=-1)
            await self.outlasting(uncount)
        await self._end(run, Status.QUEUED)

    async def _end(
        self,
        run: JobRun,
        status: Status,
        result: Result | None = None,
        fault: Fault | None = None,
    ) -> None:
        run.ending = True
        id = run.job.id
        mine = [line for job, line in self._unwritten if job == id]
        self._unwritten = [(job, line) for job, line in self._unwritten if job != id]
        self._uncounted.discard(id)
        write = partial(self.jobs.finish, id, self.name, status, self.clock(), result, fault, mine)
        await self.pacer.turn()
        # One that is not there was ended by another, or by a try whose answer was lost.
        job = await self.outlasting(write) or await self.outlasting(partial(self.jobs.get, id))
        if job is not None and job.status in (status, *FINAL):
            self.publish_end(job)

    async def fail(self, job: Job, fault: Fault) -> None:
        """Ends a job whose inputs cannot be had."""
        write = partial(
            self.jobs.finish, job.id, self.name, Status.FAILED, self.clock(), None, fault
        )
        if (ended := await self.outlasting(write)) is not None:
            self.publish_end(ended)

    def publish_end(self, job: Job) -> None:
        """Tells who waits for a job that it has ended, and who sends its webhook."""
        self.events.publish(job.id, job)
        if job.submission.webhook_url is not None:
            self.ended()

    def log(self, job: Job, line: Line) -> None:
        self._unwritten.append((job.id, line))
        self.events.publish(job.id, line)


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


async def _for_ever(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A loop that outlives a database that is away for a while."""
    while True:
        try:
            await work()
        except Fault as fault:  # told by who was in trouble
            log.debug("the worker's %s failed: %s", work.__name__.strip("_"), fault)
            await asyncio.sleep(LOOK_SECONDS)
        except Exception:
            log.exception("the worker's %s failed; it tries again", work.__name__.strip("_"))
            await asyncio.sleep(LOOK_SECONDS)
