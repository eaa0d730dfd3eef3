"""The only door for dialects: every call becomes a Job, which is told of, waited for or cancelled.

A raw call (`paint`) waits for its job on an open connection: identical ones of a caller share one
piece of work, with one look-up, one job, one file. When the last one who waits hangs up, the job is
cancelled, unless the submission says otherwise.
"""

import asyncio
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
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from imagemill.engine.events import Engine
from imagemill.errors import Fault, Kind
from imagemill.fetch import Fetcher
from imagemill.files.objects import Objects
from imagemill.generation import Answer, GeneratedImages, Generation
from imagemill.job import FINAL, File, Job, Line, Status, Submission
from imagemill.jobs.input_files import Caller, Inline, InputFiles
from imagemill.jobs.job_events import Item, JobEvents
from imagemill.jobs.lifecycle import Health, Lifecycle
from imagemill.jobs.places import Place, Places
from imagemill.jobs.readiness import STARTING_SECONDS, Readiness
from imagemill.jobs.recall import Recall, key_of, seeded
from imagemill.jobs.repeats import REPEATED, Repeats
from imagemill.jobs.safety_policy import SafetyPolicy
from imagemill.jobs.singleflight import SingleFlight
from imagemill.jobs.watching import watch
from imagemill.jobs.worker import Worker
from imagemill.retries import outlasting
from imagemill.store import Database, Jobs
from imagemill.value_checks import LONGEST_URL, check_length
from imagemill.webhooks import Signer, signing_key

RAW_KEPT = 60.0  # seconds that the files of a raw call live: they are read at once
NO_IMAGES: Mapping[str, Inline] = {}
READ_AGAIN = 30.0  # seconds in which the file of a picture is read again that could not be read

T = TypeVar("T")


class Service:
    """What a dialect may ask of the server. What stands behind it is nobody else's."""

    def __init__(
        self,
        *,
        engine: Engine,
        recall: Recall,
        database: Database,
        jobs: Jobs,
        objects: Objects,
        inputs: InputFiles,
        events: JobEvents,
        fetcher: Fetcher,
        worker: Worker,
        lifecycle: Lifecycle,
        repeats: Repeats,
        policy: SafetyPolicy,
        secret: Callable[[], Awaitable[bytes]],
        queue: int,
        wait_time: float,
        now: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """queue: how many raw calls are accepted at a time. wait_time: seconds for which one waits
        for the engine. secret: gives what signs for this server, on whatever machine.
        """
        self._engine, self._worker, self._lifecycle = engine, worker, lifecycle
        self._database, self._jobs, self._repeats = database, jobs, repeats
        self._objects, self._inputs, self._recall = objects, inputs, recall
        self._events, self._fetcher, self._policy = events, fetcher, policy
        self._learn_secret, self._secret = secret, b""
        self._now, self._monotonic = now, monotonic
        self._in_flight, self._places = SingleFlight(), Places(queue)
        self._readiness = Readiness(engine, wait_time, monotonic)
        self._watched = dict[str, list[Place]]()  # by job

    def now(self) -> float:
        """The time that jobs are dated by, in seconds since 1970."""
        return self._now()

    def monotonic(self) -> float:
        """Seconds by a clock that nobody sets."""
        return self._monotonic()

    async def open(self, wait: float = 0.0) -> None:
        """Begins to work on what the database holds, as `Lifecycle.open` does."""
        self._readiness.opened()
        await self._lifecycle.open(self._learn, wait)

    async def _learn(self) -> None:
        self._secret = await self._learn_secret()

    def drain(self, seconds: float) -> None:
        """Takes nothing new from now on, as `Lifecycle.drain` does."""
        self._lifecycle.drain(seconds)

    def seconds_left(self) -> float:
        """Seconds for which work may go on since `drain`."""
        return self._lifecycle.left

    async def turn_away(self) -> None:
        """Tells those whose work is not begun that the server ends, as `Worker.turn_away` does."""
        await self._worker.turn_away()

    async def close(self, patience: float) -> None:
        """Lets running work finish for `patience` seconds, or for what is left since `drain`."""
        await self._lifecycle.close(patience, self._in_flight.tasks)

    def health(self) -> Health:
        """Whether the engine and the stores work."""
        return self._lifecycle.health()

    def signing_secret(self) -> bytes:
        """What signs addresses and tokens of this server, on whatever machine it runs."""
        return self._secret

    def subscribe(self, id: str) -> AbstractContextManager[asyncio.Queue[Item]]:
        """All that happens to a job from now on, in a queue, for as long as the `with` lasts."""
        return self._events.subscribe(id)

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], seconds: float,
        local: bool = False, caller: str = "",
    ) -> int:  # fmt: skip
        """The status with which a receiver of webhooks replies, as `Fetcher.post` gives it."""
        return await self._fetcher.post(url, body, headers, seconds, local, caller)

    async def read_file(self, key: str) -> bytes:
        """The content of a stored file; a Fault where there is none, or no longer."""
        return await self._objects.read(key)

    async def store_variant(self, job: Job, file: File, content: bytes, name: str) -> str:
        """The key of another form of a job's file, which is public and kept for as long. It is the
        same for the same name, and that of the file itself where that is gone.
        """
        stored = await self._objects.get(file.key)
        if stored is None:
            return file.key
        stem, _, suffix = file.key.rpartition(".")
        key, ends = f"{stem}_{name}.{suffix}", stored.expires
        await self._objects.put(
            content,
            file.content_type,
            job=job.id,
            caller=job.submission.caller,
            keep=None if ends is None else ends - self._objects.clock(),
            public=True,
            key=key,
        )
        return key

    async def submit(self, submission: Submission, previews: bool = False) -> Job:
        """The job, once it cannot be lost any more. Raises a Fault where its webhook may not be.

        previews: whether images on their way are wanted.
        """
        return (await self.once(submission, previews))[0]

    async def once(self, submission: Submission, previews: bool = False) -> tuple[Job, bool]:
        """The same; whether the job is new, and not that of the call that this one repeats."""
        self._check_open()
        submission = self._policy.applied(submission)
        if (url := submission.webhook_url) is not None:
            await self.check_receiver(url, submission.local, submission.caller)
        return await self._repeats.once(submission, partial(self._submit, submission, previews))

    async def _submit(self, submission: Submission, previews: bool, id: str) -> Job:
        if refusal := self._engine.refusal(submission.source):
            raise refusal  # which it would hear when it has waited, else
        now, attended = self._now(), submission.cancel_on_disconnect
        generation = await self.keep_inputs(submission.generation, submission.caller)
        submission = replace(submission, generation=generation)
        job = Job(id, submission, now, self._worker.name if attended else None)
        if previews:
            self._events.want_previews(job.id)
        try:
            await self._jobs.add(job)
        except BaseException as error:
            self._events.drop_previews(job.id)
            if attended and isinstance(error, asyncio.CancelledError):  # it may be written
                await asyncio.shield(self._give_up(job))
            raise
        self._worker.wake(job)
        return job

    async def _give_up(self, job: Job) -> None:
        """Of a caller who hung up while their job was being written."""
        await self._jobs.settled()
        await self.cancel(job)

    async def check_receiver(self, url: str, local: bool, caller: str) -> None:
        """Refuses a place that may not be told; one that is away may be back in time."""
        check_length("webhook", url, LONGEST_URL)
        try:
            await self._fetcher.check(url, local, caller)
        except Fault as fault:
            if fault.kind is not Kind.UNREACHABLE:
                raise Fault(fault.kind, fault.message, "webhook") from None

    def read_input(
        self, reference: str, field: str, caller: Caller
    ) -> AbstractAsyncContextManager[bytes]:
        """An image that a caller names who waits for it, as `InputFiles.read` does."""
        return self._inputs.read(reference, field, caller)

    async def store_input(self, image: Inline, field: str, caller: str) -> str:
        """The reference to an image that came within a request, or was made of one."""
        return await self._inputs.keep(image, field, caller)

    async def keep_inputs(
        self, generation: Generation, caller: str, images: Mapping[str, Inline] = NO_IMAGES
    ) -> Generation:
        """The generation with what came within the request as files of our own. images: by field,
        those that are bytes already.
        """
        return await self._inputs.kept(generation, images, caller)

    async def jobs_of(
        self, caller: str, door: str, before: float | None = None, after: float | None = None,
        limit: int = 100,
    ) -> list[Job]:  # fmt: skip
        """A caller's jobs at one door, the newest first: created before and after those times."""
        return await self._jobs.of(caller, door, before, after, limit)

    async def signer(self) -> Signer:
        """What signs webhooks."""
        return await signing_key(self._database)

    async def job(self, id: str, caller: str) -> Job:
        """Raises a Fault where there is none, or it is somebody else's."""
        job = await self._jobs.get(id)
        if job is None or job.submission.caller != caller:
            raise Fault(Kind.NOT_FOUND, "there is no such request, or no longer", "request_id")
        return job

    def watch(self, id: str) -> AsyncIterator[Item]:
        """The job as it is, all that happens to it, and every second the job again, to its end."""
        return watch(self._jobs, self._events, id)

    async def ended(self, id: str) -> Job:
        """The job, once it has ended."""
        async for item in self.watch(id):
            if isinstance(item, Job) and item.status in FINAL:
                return item
        raise Fault(Kind.NOT_FOUND, "the request was removed", "request_id")

    async def lines(self, job: Job, after: int = 0) -> list[Line]:
        return await self._jobs.lines(job.id, after)

    async def waiting(self) -> int:
        """How many jobs are queued."""
        return await self._jobs.waiting()

    async def position(self, job: Job) -> int:
        return await self._jobs.position(job)

    async def cancel(self, job: Job) -> Job:
        """The job as it is then; running work stops within two steps."""
        self._worker.stop(job.id)
        after = await self._jobs.cancel(job.id, self._now())
        if after is None:
            return job
        if after.status is Status.RUNNING:
            self._worker.stop(job.id)  # it may have been claimed since
        if after.status in FINAL:
            self._worker.publish_end(after)
        return after

    async def paint(self, submission: Submission, place: Place | None = None) -> Answer:
        """Raises a Fault of any kind but TOO_LARGE; cancelling hangs up. place: taken before."""
        self._check_open()
        submission = self._policy.applied(submission)
        key: Hashable = uuid.uuid4()
        if submission.cacheable:
            key = key_of(submission), submission.wait_for_model
        # What is kept need not be shared, each step of which waits for all that a crowd has begun.
        if submission.repeat is None and key not in self._in_flight:
            submission, kept = await self._recall.find(submission)
            if kept:
                return kept
        return await self._in_flight.run(key, submission, lambda: self._paint(submission, place))

    async def _paint(self, submission: Submission, place: Place | None) -> Answer:
        submission, kept = await self._recall.find(submission)  # it may be painted since
        if kept:
            return kept
        self._recall.missed(submission)
        ttl = max(RAW_KEPT, REPEATED if submission.named else 0.0)
        with self._seated(submission, place):
            await self._readiness.wait(submission)
            job = await self._attend(replace(submission, ttl_seconds=ttl, public=False))
            painted = await self.painted(job)
        seed = job.generation.seed  # of the job that this call repeats, if it was drawn
        if submission.cacheable:
            await self._recall.keep(seeded(submission, seed), painted)
        return job.answer(painted)

    def admit(self, person: str, wait: bool = True) -> Place:
        """A place for a call whose caller waits, for a `with`: taken before what costs much is done
        for it, as decoding a picture is. Raises a Fault where there is none. wait: for a model that
        is loading.
        """
        self._check_open()
        if not wait:
            self._readiness.check()
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

    async def wait_for(self, submission: Submission, place: Place | None = None) -> Job:
        """Submits and waits; the job has ended then. Cancelling hangs up. place: taken before."""
        self._check_open()
        work = partial(self._wait, submission, place)
        return await self._in_flight.run(uuid.uuid4(), submission, work)

    async def share(self, submission: Submission, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What a dialect makes of a call, or made of the one that this repeats."""
        return await self._in_flight.run(uuid.uuid4(), submission, work)

    async def _wait(self, submission: Submission, place: Place | None) -> Job:
        with self._seated(submission, place):
            await self._readiness.wait(submission)
            return await self._attend(submission)

    async def _attend(self, submission: Submission) -> Job:
        """Its work is shared within this server, its name with all on the same database."""
        began, new, job = self._monotonic(), False, None
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
            await self._repeats.forget(submission, job)
        self._places.learn(self._monotonic() - began)
        return job

    async def begin(
        self, submission: Submission, previews: bool = True, place: Place | None = None
    ) -> Job:
        """Submits a job that is watched until `leave` is called.

        previews: whether pictures on their way are wanted, of which each costs a decoding. place:
        taken before.
        """
        with place or self.admit(submission.person, submission.wait_for_model) as mine:
            await self._readiness.wait(submission)
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
        self._events.drop_previews(job.id)
        if job.submission.cancel_on_disconnect:
            await self.cancel(job)

    async def painted(self, job: Job) -> GeneratedImages:
        """The pictures of a job that has ended; raises its Fault if it has failed."""
        if job.fault is not None:
            raise job.fault
        assert job.result is not None
        assert job.status is Status.SUCCEEDED
        reads = [partial(self._objects.read, file.key) for file in job.result.files]
        return job.result.images([await outlasting(each, READ_AGAIN) for each in reads])

    def _check_open(self) -> None:
        if self._worker.closing:
            raise Fault(Kind.BUSY, "the server is shutting down", retry_after=STARTING_SECONDS)
