"""The worker: claims jobs, has them painted, stores the files, ends the jobs.

It may die at any moment: what it had claimed is claimed again when its lease has run out. The files
of a job have names that follow from its id, so that painting it twice leaves one of each.
"""

import asyncio
import hashlib
import hmac
import logging
import math
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from imagemill import images
from imagemill.engine.events import Begun, Engine, Failed, Finished, Preview, Progress, State
from imagemill.errors import Fault, Kind
from imagemill.files.objects import Objects
from imagemill.generation import Generation, Painted
from imagemill.job import File, Job, Line, Result, Status
from imagemill.materials import Materials
from imagemill.news import News
from imagemill.store import Jobs
from imagemill.telemetry import Telemetry

log = logging.getLogger(__name__)

LEASE = 10.0  # seconds that a claim counts without being renewed
RENEWED = 4  # times within a lease
LOOK = 1.0  # seconds after which to look for jobs that another process took
TIDIED = 60.0  # seconds between looks for what is too old
TOLD = 10  # lines of progress in a job's log, about
_UNEXPECTED = Fault(Kind.FAILED, "something went wrong here; the server's log tells what")
_CANCELLED = Fault(Kind.CANCELLED, "the work was cancelled")


@dataclass
class Worker:
    """at_once: jobs given to the engine at a time. retention: seconds that ended jobs are kept, and
    their files where the caller asked for no other time.

    ended: is called when a job has ended. secret: gives what makes the names of files unguessable.
    """

    engine: Engine
    jobs: Jobs
    objects: Objects
    materials: Materials
    news: News
    telemetry: Telemetry
    clock: Callable[[], float]
    at_once: int
    retention: float
    secret: Callable[[], Awaitable[bytes]]
    ended: Callable[[], None]
    lease: float = LEASE
    monotonic: Callable[[], float] = time.monotonic
    closing: bool = False  # nothing new is claimed
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    _running: dict[str, "Painting"] = field(default_factory=dict)
    _begun: int = 0
    _queued: int = 0
    _claiming: bool = False  # the answer to a claim is on its way
    _unwanted: set[str] = field(default_factory=set)  # cancelled meanwhile
    _renewed: float = -math.inf
    _gap: float = 0.0  # when it was last found that we had not renewed in time
    _strays: frozenset[str] = frozenset()  # ours by the database, and not here
    _unwritten: list[tuple[str, Line]] = field(default_factory=list)
    _uncounted: set[str] = field(default_factory=set)  # begun, which nobody knows yet

    def __post_init__(self) -> None:
        self.telemetry.waiting.set_function(lambda: self._queued + len(self._running) - self._begun)
        self.telemetry.running.set_function(lambda: self._begun)

    async def run(self) -> None:
        """Works until it is cancelled; then what it has claimed goes back to the queue."""
        loops = (self._claim, self._renew, self._write_lines, self._tidy)
        try:
            async with asyncio.TaskGroup() as group:
                for loop in loops:
                    group.create_task(_for_ever(loop))
        finally:
            await self._release()

    @property
    def busy(self) -> bool:
        return bool(self._running)

    async def idle(self) -> None:
        """Returns when everything that is claimed now has ended."""
        await asyncio.gather(*self._tasks(), return_exceptions=True)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [painting.task for painting in self._running.values()]

    async def _release(self) -> None:
        await asyncio.sleep(0)  # a task that has not had its first step would not end its job
        for painting in self._running.values():
            if not painting.ending:
                painting.task.cancel()
        await asyncio.gather(*self._tasks(), return_exceptions=True)

    async def _claim(self) -> None:
        self.news.submitted.clear()
        free = self.at_once - len(self._running)
        claimed = list[Job]()
        # While there is no engine, who comes waits in the queue: another server may take it.
        if free > 0 and not self.closing and self.engine.state is State.READY:
            claimed = await self._claimed(free)
        for job in claimed:
            self.news.tell(job.id, job)
            painting = self._running[job.id] = Painting(self, job, job.id in self._unwanted)
            painting.task = asyncio.create_task(self._work(painting))
            painting.task.add_done_callback(lambda _, id=job.id: self._done(id))  # type: ignore[misc]
        self._unwanted.clear()
        if len(claimed) < free or free <= 0:
            await _until(self.news.submitted, LOOK)

    async def _claimed(self, limit: int) -> list[Job]:
        self._claiming = True
        try:
            return await self.jobs.claim(self.name, limit, self.clock(), self.lease)
        finally:
            self._claiming = False

    def _done(self, id: str) -> None:
        del self._running[id]
        self.news.submitted.set()  # there is room again

    async def _renew(self) -> None:
        await asyncio.sleep(self.lease / RENEWED)
        await self.renew()

    async def renew(self) -> None:
        """Prolongs what is claimed, stops what nobody wants or another has, and ends or requeues
        what nobody works on any more.
        """
        # Before the question: what is claimed while the answer comes is not in it.
        known = [painting for painting in self._running.values() if not painting.ending]
        ids = [painting.job.id for painting in known]
        claims = await self.jobs.renew(self.name, ids, self.clock(), self.lease)
        for painting in known:
            painting.unwanted |= painting.job.id in claims.unwanted
            painting.lost |= painting.job.id not in claims.held
            painting.interrupt()
        await self._give_back(claims.held)
        if self.jobs.alone or self._on_time():
            for job in await self.jobs.recover(self.name, self.clock()):
                self._tell(job)
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
        if painting := self._running.get(id):
            painting.unwanted = True
            painting.interrupt()
        elif self._claiming:
            self._unwanted.add(id)

    async def _write_lines(self) -> None:
        await asyncio.sleep(0.2)
        lines, self._unwritten = self._unwritten, []
        if lines:
            await self.jobs.write_lines(lines)
        if counted := set(self._uncounted):
            await self.jobs.count_begun(self.name, sorted(counted))
            self._uncounted -= counted

    async def count_begun(self, painting: "Painting") -> None:
        """The engine has the job in hand. Of one that was claimed before, which may end the server
        at once, that is written at once; otherwise soon, if it has not ended until then."""
        painting.in_hand = True
        self._uncounted.add(painting.job.id)
        if painting.job.attempts > 1:
            try:
                await self.jobs.count_begun(self.name, [painting.job.id])
                self._uncounted.discard(painting.job.id)
            except Exception:  # soon, then
                log.exception("it could not be written that job %s has begun", painting.job.id)

    async def _tidy(self) -> None:
        now = self.clock()
        while await self.jobs.prune(now - self.retention):
            pass
        await self.objects.prune(now)
        await asyncio.sleep(TIDIED)

    async def _work(self, painting: "Painting") -> None:
        try:
            result = await painting.paint()
        except Fault as fault:
            status = Status.CANCELLED if fault.kind is Kind.CANCELLED else Status.FAILED
            await self._end(painting, status, fault=fault)
        except asyncio.CancelledError:
            painting.ending = True
            self.engine.cancel(painting.job.id)
            await asyncio.shield(self._stopped(painting))
        except Exception:
            log.exception("job %s failed", painting.job.id)
            await self._end(painting, Status.FAILED, fault=_UNEXPECTED)
        else:
            await self._end(painting, Status.SUCCEEDED, result=result)

    async def _stopped(self, painting: "Painting") -> None:
        """What was stopped by a shutdown waits for the next worker, if anybody will still ask."""
        if painting.lost:
            return
        if painting.unwanted or painting.job.server == self.name:
            await self._end(painting, Status.CANCELLED, fault=_CANCELLED)
            return
        if painting.in_hand and painting.job.id not in self._uncounted:
            await self.jobs.count_begun(self.name, [painting.job.id], by=-1)
        await self._end(painting, Status.QUEUED)

    async def _end(
        self,
        painting: "Painting",
        status: Status,
        result: Result | None = None,
        fault: Fault | None = None,
    ) -> None:
        painting.ending = True
        id = painting.job.id
        mine = [line for job, line in self._unwritten if job == id]
        self._unwritten = [(job, line) for job, line in self._unwritten if job != id]
        self._uncounted.discard(id)
        job = await self.jobs.finish(id, self.name, status, self.clock(), result, fault, mine)
        if job is not None:
            self._tell(job)

    def _tell(self, job: Job) -> None:
        self.news.tell(job.id, job)
        self.ended()

    def log(self, job: Job, line: Line) -> None:
        self._unwritten.append((job.id, line))
        self.news.tell(job.id, line)


@dataclass
class Painting:
    """One attempt at one job.

    unwanted: nobody wants the picture any more. lost: the job is another worker's by now, or has
    ended. ending: all that is left is to write how it ended. in_hand: the engine has had the job.
    """

    worker: Worker
    job: Job
    unwanted: bool = False
    lost: bool = False
    ending: bool = False
    in_hand: bool = False
    begun: bool = False
    lines: int = 0
    told: int = -1
    task: asyncio.Task[None] = field(init=False)

    def interrupt(self) -> None:
        """Stops the work where it is unwanted or lost, but not on its last steps.

        What has not begun looks for itself: a task that is cancelled before its first step takes
        not even that one, so that nobody would end its job.
        """
        if (self.unwanted or self.lost) and self.begun and not self.ending:
            self.task.cancel()

    async def paint(self) -> Result:
        self.begun = True
        if self.unwanted or self.lost:
            raise asyncio.CancelledError
        job, worker = self.job, self.worker
        generation, inputs = await worker.materials.gather(job)
        if generation.prompt != job.generation.prompt:
            self.say(f"prompt expanded to: {generation.prompt}")
        painted = await self._ask(generation, inputs)
        files = [await self._store(generation, i, each) for i, each in enumerate(painted.pictures)]
        self.say(f"painted by {painted.served_by} in {painted.seconds:.2f} s")
        return Result(
            tuple(files), generation.prompt, painted.seconds, painted.served_by, painted.ignored
        )

    async def _ask(self, generation: Generation, inputs: dict[str, bytes]) -> Painted:
        job, worker = self.job, self.worker
        previews = worker.news.previewed(job.id)
        running = False
        painted: Painted | None = None
        try:
            async for event in worker.engine.submit(
                job.id, generation, job.source, inputs, previews
            ):
                match event:
                    case Begun() if not self.in_hand:
                        await worker.count_begun(self)
                    case Progress(step, steps):
                        running = running or self._counted()
                        self._progress(step, steps)
                    case Preview():
                        worker.news.tell(job.id, event)
                    case Finished(painted):
                        pass
                    case Failed(fault):
                        raise fault
        finally:
            if running:
                worker._begun -= 1
        if painted is None:
            raise Fault(Kind.FAILED, "the engine stopped before the picture was finished")
        worker.telemetry.pictures.labels(painted.served_by).inc(len(painted.pictures))
        worker.telemetry.engine_seconds.observe(painted.seconds)
        return painted

    def _counted(self) -> bool:
        self.worker._begun += 1
        return True

    def _progress(self, step: int, steps: int) -> None:
        tenth = step * TOLD // steps
        if tenth > self.told:
            self.told = tenth
            self.say(f"step {step} of {steps}")

    def say(self, message: str) -> None:
        # A job that is tried again continues the numbers of its first log.
        number = (self.job.attempts - 1) * 1000 + self.lines
        self.lines += 1
        self.worker.log(self.job, Line(number, self.worker.clock(), message))

    async def _store(self, generation: Generation, index: int, content: bytes) -> File:
        job = self.job
        key = _key(await self.worker.secret(), f"{job.id}/{index}", generation.format)
        content_type = images.MEDIA_TYPES[generation.format]
        keep = self.worker.retention if job.keep is None else job.keep
        await self.worker.objects.put(
            content, content_type, key=key, job=job.id, caller=job.caller, keep=keep,
            public=job.public,
        )  # fmt: skip
        return File(key, content_type, len(content), *images.size_of(content))


def _key(secret: bytes, name: str, suffix: str) -> str:
    digest = hmac.digest(secret, name.encode(), hashlib.sha256)
    token = urlsafe_b64encode(digest[4:25]).decode()
    return f"files/b/{digest[:4].hex()}/{token}.{suffix}"


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
        except Exception:
            log.exception("the worker's %s failed; it tries again", work.__name__.strip("_"))
            await asyncio.sleep(LOOK)
