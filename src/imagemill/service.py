"""The only door for dialects: every call becomes a Job, which is told of, waited for or cancelled.

A raw call (`paint`) waits for its job on an open connection: identical ones of a caller share one
flight, with one look-up, one job, one file. When the last one who waits hangs up, the job is
cancelled, unless the submission says otherwise.
"""

import asyncio
import time
import uuid
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Hashable,
    Iterator,
    Mapping,
)
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from imagemill.engine.events import Engine, State
from imagemill.errors import Fault, Kind
from imagemill.fetch import Fetcher
from imagemill.files.objects import Objects
from imagemill.flights import Flights
from imagemill.generation import LONGEST_URL, Answer, Generation, Painted, check_length
from imagemill.input_files import Caller, Inline, InputFiles
from imagemill.job import FINAL, Job, Line, Status, Submission
from imagemill.lifecycle import Lifecycle
from imagemill.news import Item, News
from imagemill.places import Place, Places
from imagemill.recall import Recall, key_of, seeded
from imagemill.repeats import REPEATED, Repeats
from imagemill.retries import outlasting
from imagemill.store import Database, Jobs
from imagemill.store.troubles import Trouble
from imagemill.telemetry import Telemetry
from imagemill.watching import watch
from imagemill.webhooks import Courier, Signer, signing_key
from imagemill.worker import Worker

STARTING_SECONDS = 10.0  # what a model usually needs to load: the estimate for who asks meanwhile
LOADING = "the model is currently loading"
ON_ITS_WAY = frozenset({State.STARTING, State.DEGRADED})
LOOK_EVERY = 0.05  # seconds between looks at an engine that starts
RAW_KEPT = 60.0  # seconds that the files of a raw call live: they are read at once
NO_IMAGES: Mapping[str, Inline] = {}
READ_AGAIN = 30.0  # seconds in which the file of a picture is read again that could not be read

T = TypeVar("T")


@dataclass
class Service:
    """place: where the files are, for the operator. `queue` bounds the raw calls accepted at a
    time. `wait_time` is in seconds. secrets: gives what signs for this server, on whatever machine.
    """

    engine: Engine
    recall: Recall
    telemetry: Telemetry
    database: Database
    jobs: Jobs
    objects: Objects
    news: News
    fetcher: Fetcher
    worker: Worker
    courier: Courier
    repeats: Repeats
    queue: int
    wait_time: float
    place: str
    secrets: Callable[[], Awaitable[bytes]]
    inputs: InputFiles
    secret: bytes = b""
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    _flights: Flights = field(default_factory=Flights)
    _places: Places = field(init=False)
    _opened: float | None = None
    _watched: dict[str, list[Place]] = field(default_factory=dict)  # by job

    def __post_init__(self) -> None:
        self._places = Places(self.queue)
        self.life = Lifecycle(
            self.engine, self.database, self.objects, self.fetcher, self.worker, self.courier,
            self.place, clock=lambda: self.clock(),
        )  # fmt: skip

    async def open(self, wait: float = 0.0) -> None:
        """Begins to work on what the database holds, as `Lifecycle.open` does."""
        self._opened = self.clock()
        await self.life.open(self._learn, wait)

    async def _learn(self) -> None:
        self.secret = await self.secrets()

    def drain(self, seconds: float) -> None:
        """Takes nothing new from now on, as `Lifecycle.drain` does."""
        self.life.drain(seconds)

    async def close(self, patience: float) -> None:
        """Lets running work finish for `patience` seconds, or for what is left since `drain`."""
        await self.life.close(patience, self._flights.tasks)

    @property
    def stores(self) -> dict[str, Trouble | None]:
        """What keeps the database and the files from working, if anything does."""
        return {
            "database": self.database.condition.trouble,
            "files": self.objects.contents.condition.trouble,
        }

    async def submit(self, submission: Submission, previews: bool = False) -> Job:
        """The job, once it cannot be lost any more. Raises a Fault where its webhook may not be.

        previews: whether images on their way are wanted.
        """
        return (await self.once(submission, previews))[0]

    async def once(self, submission: Submission, previews: bool = False) -> tuple[Job, bool]:
        """The same; whether the job is new, and not that of the call that this one repeats."""
        if self.worker.closing:
            raise _closing()
        if (url := submission.webhook_url) is not None:
            await self.check_receiver(url, submission.local, submission.caller)
        return await self.repeats.once(submission, partial(self._submit, submission, previews))

    async def _submit(self, submission: Submission, previews: bool, id: str) -> Job:
        if refusal := self.engine.refusal(submission.source):
            raise refusal  # which it would hear when it has waited, else
        now, attended = self.now(), submission.cancel_on_disconnect
        generation = await self.keep_inputs(submission.generation, submission.caller)
        submission = replace(submission, generation=generation)
        job = Job(id, submission, now, self.worker.name if attended else None)
        if previews:
            self.news.preview(job.id)
        try:
            await self.jobs.add(job)
        except BaseException as error:
            self.news.left(job.id)
            if attended and isinstance(error, asyncio.CancelledError):  # it may be written
                await asyncio.shield(self._give_up(job))
            raise
        self.worker.wake(job)
        return job

    async def _give_up(self, job: Job) -> None:
        """Of a caller who hung up while their job was being written."""
        await self.jobs.settled()
        await self.cancel(job)

    async def check_receiver(self, url: str, local: bool, caller: str) -> None:
        """Refuses a place that may not be told; one that is away may be back in time."""
        check_length("webhook", url, LONGEST_URL)
        try:
            await self.fetcher.check(url, local, caller)
        except Fault as fault:
            if fault.kind is not Kind.UNREACHABLE:
                raise Fault(fault.kind, fault.message, "webhook") from None

    def read_input(
        self, reference: str, field: str, caller: Caller
    ) -> AbstractAsyncContextManager[bytes]:
        """An image that a caller names who waits for it, as `InputFiles.read` does."""
        return self.inputs.read(reference, field, caller)

    async def store_input(self, image: Inline, field: str, caller: str) -> str:
        """The reference to an image that came within a request, or was made of one."""
        return await self.inputs.keep(image, field, caller)

    async def keep_inputs(
        self, generation: Generation, caller: str, images: Mapping[str, Inline] = NO_IMAGES
    ) -> Generation:
        """The generation with what came within the request as files of our own. images: by field,
        those that are bytes already.
        """
        return await self.inputs.kept(generation, images, caller)

    async def jobs_of(
        self, caller: str, door: str, before: float | None = None, after: float | None = None,
        limit: int = 100,
    ) -> list[Job]:  # fmt: skip
        """A caller's jobs at one door, the newest first: created before and after those times."""
        return await self.jobs.of(caller, door, before, after, limit)

    async def signer(self) -> Signer:
        """What signs webhooks."""
        return await signing_key(self.database)

    async def job(self, id: str, caller: str) -> Job:
        """Raises a Fault where there is none, or it is somebody else's."""
        job = await self.jobs.get(id)
        if job is None or job.submission.caller != caller:
            raise Fault(Kind.NOT_FOUND, "there is no such request, or no longer", "request_id")
        return job

    def watch(self, id: str) -> AsyncIterator[Item]:
        """The job as it is, all that happens to it, and every second the job again, to its end."""
        return watch(self.jobs, self.news, id)

    async def ended(self, id: str) -> Job:
        """The job, once it has ended."""
        async for item in self.watch(id):
            if isinstance(item, Job) and item.status in FINAL:
                return item
        raise Fault(Kind.NOT_FOUND, "the request was removed", "request_id")

    async def lines(self, job: Job, after: int = 0) -> list[Line]:
        return await self.jobs.lines(job.id, after)

    async def waiting(self) -> int:
        """How many jobs are queued."""
        return await self.jobs.waiting()

    async def position(self, job: Job) -> int:
        return await self.jobs.position(job)

    async def cancel(self, job: Job) -> Job:
        """The job as it is then; running work stops within two steps."""
        self.worker.stop(job.id)
        found = await self.jobs.cancel(job.id, self.now())
        if found is None:
            return job
        if found.status is Status.RUNNING:
            self.worker.stop(job.id)  # it may have been claimed since
        if found.status in FINAL:
            self.worker.tell(found)
        return found

    async def paint(self, submission: Submission, place: Place | None = None) -> Answer:
        """Raises a Fault of any kind but TOO_LARGE; cancelling hangs up. place: taken before."""
        if self.worker.closing:
            raise _closing()
        key: Hashable = uuid.uuid4()
        if submission.cacheable:
            key = key_of(submission), submission.wait_for_model
        # What is kept needs no flight, each step of which waits for all that a crowd has begun.
        if submission.repeat is None and key not in self._flights:
            submission, kept = await self.recall.find(submission)
            if kept:
                return kept
        return await self._flights.board(key, submission, lambda: self._fly(submission, place))

    async def _fly(self, submission: Submission, place: Place | None) -> Answer:
        submission, kept = await self.recall.find(submission)  # it may be painted since
        if kept:
            return kept
        self.recall.missed(submission)
        ttl = max(RAW_KEPT, REPEATED if submission.named else 0.0)
        with self._seated(submission, place):
            await self._ready(submission)
            job = await self._attend(replace(submission, ttl_seconds=ttl, public=False))
            painted = await self.painted(job)
        seed = job.generation.seed  # of the job that this call repeats, if it was drawn
        if submission.cacheable:
            await self.recall.keep(seeded(submission, seed), painted)
        return Answer(painted, seed, hit=False)

    def admit(self, person: str, wait: bool = True) -> Place:
        """A place for a call whose caller waits, for a `with`: taken before what costs much is done
        for it, as decoding a picture is. Raises a Fault where there is none. wait: for a model that
        is loading.
        """
        if self.worker.closing:
            raise _closing()
        if self.engine.state in ON_ITS_WAY and not wait:
            raise self._loading()
        return self._places.take(person)

    @contextmanager
    def _seated(self, submission: Submission, place: Place | None) -> Iterator[None]:
        """With the place that was taken for a call, or else a new one."""
        place = place or self.admit(submission.person, submission.wait_for_model)
        try:
            place.keep()
            yield
        finally:
            place.leave()

    async def _ready(self, submission: Submission) -> None:
        """Who does not wait for the model is told how long it takes, and finds it there later."""
        try:
            async with asyncio.timeout(self.wait_time):
                while self.engine.state in ON_ITS_WAY:
                    if self.engine.resting:
                        raise self._loading()
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            raise self._loading() from None
        if self.engine.state is State.DEAD:
            raise Fault(Kind.FAILED, "the engine has stopped; the operator must restart the server")
        if not submission.wait_for_model and (left := self.engine.warm(submission.source)):
            raise Fault(Kind.LOADING, LOADING, retry_after=round(left, 1))

    def _loading(self) -> Fault:
        if self.engine.state is State.DEGRADED:
            again = round(self.engine.resting + STARTING_SECONDS, 1)
            return Fault(Kind.LOADING, self.engine.trouble, retry_after=again)
        since = self.clock() - (self.clock() if self._opened is None else self._opened)
        left = max(1.0, STARTING_SECONDS - since)
        return Fault(Kind.LOADING, LOADING, retry_after=round(left, 1))

    async def wait_for(self, submission: Submission, place: Place | None = None) -> Job:
        """Submits and waits; the job has ended then. Cancelling hangs up. place: taken before."""
        if self.worker.closing:
            raise _closing()
        work = partial(self._wait, submission, place)
        return await self._flights.board(uuid.uuid4(), submission, work)

    async def share(self, submission: Submission, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What a dialect makes of a call, or made of the one that this repeats."""
        return await self._flights.board(uuid.uuid4(), submission, work)

    async def _wait(self, submission: Submission, place: Place | None) -> Job:
        with self._seated(submission, place):
            await self._ready(submission)
            return await self._attend(submission)

    async def _attend(self, submission: Submission) -> Job:
        """Its flight is shared within this server, its name with all on the same database."""
        began, new, job = self.clock(), False, None
        if not submission.named:
            submission = replace(submission, repeat=None)
        while job is None or (not new and job.status is Status.CANCELLED):
            job, new = await self.once(submission)
            try:
                job = await self.ended(job.id)
            except asyncio.CancelledError:
                if new:
                    await asyncio.shield(self.cancel(job))
                raise
        if new and job.status is not Status.SUCCEEDED:
            await self.repeats.forget(submission, job)
        self._places.learn(self.clock() - began)
        return job

    async def begin(
        self, submission: Submission, previews: bool = True, place: Place | None = None
    ) -> Job:
        """Submits a job that is watched until `leave` is called.

        previews: whether pictures on their way are wanted, of which each costs a decoding. place:
        taken before.
        """
        with place or self.admit(submission.person, submission.wait_for_model) as mine:
            await self._ready(submission)
            job, _ = await self.once(submission, previews)
            self._watched.setdefault(job.id, []).append(mine.keep())
        return job

    async def leave(self, job: Job) -> None:
        """The watcher of a job that was begun has gone, or seen its end."""
        watched = self._watched[job.id]
        watched.pop().leave()
        if watched:
            return  # somebody who sent the same call again still watches
        del self._watched[job.id]
        self.news.left(job.id)
        if job.submission.cancel_on_disconnect:
            await self.cancel(job)

    async def painted(self, job: Job) -> Painted:
        """The pictures of a job that has ended; raises its Fault if it has failed."""
        if job.fault is not None:
            raise job.fault
        assert job.result is not None
        assert job.status is Status.SUCCEEDED
        result = job.result
        pictures = [
            await outlasting(partial(self.objects.read, file.key), READ_AGAIN)
            for file in result.files
        ]
        return Painted(tuple(pictures), result.seconds, result.served_by, result.ignored)


def _closing() -> Fault:
    return Fault(Kind.BUSY, "the server is shutting down", retry_after=STARTING_SECONDS)
