"""Job run: one attempt at one job, from its inputs to the files that came of it."""

import asyncio
import hashlib
import hmac
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from imagemill.engine.events import Begun, Failed, Finished, HeldBack, Preview, Progress, Remark
from imagemill.errors import Fault, Kind
from imagemill.files.keys import derived_key
from imagemill.generation import GeneratedImages, Generation, Input
from imagemill.images.decode import size_of
from imagemill.images.encode import MEDIA_TYPES
from imagemill.job import File, Job, Line, Result
from imagemill.model_spec import AdapterPlace, controlled, image_prompted
from imagemill.upstream_spec import upstream_of

if TYPE_CHECKING:
    from imagemill.jobs.worker import Worker

FLAGGED = "NSFW content detected"  # as Replicate's models write it into their logs
LOG_LINES = 10  # lines of progress in a job's log, about


@dataclass
class JobRun:
    """One attempt at one job."""

    worker: "Worker"
    job: Job
    #: Nobody wants the images any more.
    unwanted: bool = False
    #: The job is another worker's by now, or has ended.
    lost: bool = False
    #: All that is left is to write how it ended.
    ending: bool = False
    #: The engine has had the job.
    in_hand: bool = False
    #: It takes no place at the engine, as it is tried again later.
    held_back: bool = False
    #: Its task has taken its first step.
    begun: bool = False
    #: The engine computes it.
    painting: bool = False
    #: Lines of its log so far.
    lines: int = 0
    #: Of `LOG_LINES`, the last that told of a step; -1 before the first.
    logged: int = -1
    task: asyncio.Task[None] = field(init=False)

    @property
    def queue(self) -> str:
        """The upstream that paints it; empty where our engine does."""
        return upstream_of(self.job.submission.source)

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
        if (gathered := worker.gathering.take(job.id)) is not None:
            generation, inputs = gathered.generation, gathered.inputs
        else:  # it needs nothing, or what was gathered went with its worker
            gather = partial(worker.inputs.gather, job)
            generation, inputs, share = await worker.outlasting(gather)
            share.release()
        if generation.prompt != job.generation.prompt:
            self.say(f"prompt expanded to: {generation.prompt}")
            worker.policy.check(generation.prompt)
        painted = await self._ask(generation, inputs)
        kept = self._kept(painted)
        files = [
            await worker.outlasting(
                partial(self._store, generation, index, painted.pictures[index])
            )
            for index in kept
        ]
        self.say(f"painted by {painted.served_by} in {painted.seconds:.2f} s")
        return Result(
            tuple(files),
            generation.prompt,
            painted.seconds,
            painted.served_by,
            painted.ignored,
            painted.flagged,
        )

    def _kept(self, painted: GeneratedImages) -> list[int]:
        """Which images are given out; raises a Fault where none is left."""
        for index, flagged in enumerate(painted.flagged):
            if flagged:
                self.say(f"{FLAGGED} in image {index}")
        everything = range(len(painted.pictures))
        if not self.job.generation.safety.drops or not any(painted.flagged):
            return list(everything)
        kept = [index for index in everything if not painted.flagged[index]]
        if not kept:
            message = "every image of this call was flagged by the safety checker"
            raise Fault(Kind.UNSAFE, f"{message}; change the prompt or the seed")
        return kept

    async def _ask(self, generation: Generation, inputs: dict[str, Input]) -> GeneratedImages:
        job, worker = self.job, self.worker
        previews = worker.events.previews_wanted(job.id)
        painted: GeneratedImages | None = None
        source = _source(job.submission.source, generation)
        try:
            async for event in worker.engine.submit(job.id, generation, source, inputs, previews):
                match event:
                    case Begun() | HeldBack():
                        await self._handed(event)
                    case Progress():
                        self.painting = True
                        self._log_progress(event)
                    case Remark(message):
                        self.say(message)
                    case Preview():
                        worker.events.publish(job.id, event)
                    case Finished(painted):
                        pass
                    case Failed(fault):
                        raise fault
        finally:
            self.painting = False
        if painted is None:
            raise Fault(Kind.FAILED, "the engine stopped before the picture was finished")
        worker.telemetry.pictures.labels(painted.served_by).inc(len(painted.pictures))
        if not upstream_of(source):
            worker.telemetry.engine_seconds.observe(painted.seconds)
        return painted

    async def _handed(self, event: Begun | HeldBack) -> None:
        self.held_back = isinstance(event, HeldBack)
        if self.held_back:
            self.worker.events.submitted.set()  # there is room for others
        elif not self.in_hand:
            await self.worker.count_begun(self)

    def _log_progress(self, progress: Progress) -> None:
        tenth = progress.step * LOG_LINES // progress.steps
        if tenth > self.logged:
            self.logged = tenth
            self.say(f"step {progress.step} of {progress.steps}", progress)

    def say(self, message: str, progress: Progress | None = None) -> None:
        # A job that is tried again continues the numbers of its first log.
        number = (self.job.attempts - 1) * 1000 + self.lines
        self.lines += 1
        self.worker.log(self.job, Line(number, self.worker.clock(), message, progress))

    async def _store(self, generation: Generation, index: int, content: bytes) -> File:
        job, submission = self.job, self.job.submission
        key = _key(await self.worker.secret(), f"{job.id}/{index}", generation.format)
        content_type = MEDIA_TYPES[generation.format]
        objects, ttl = self.worker.objects, submission.ttl_seconds
        await objects.put(
            content,
            content_type,
            key=key,
            job=job.id,
            caller=submission.caller,
            public=submission.public,
            keep=self.worker.retention if ttl is None else objects.bounded(ttl),
        )
        return File(key, content_type, len(content), *size_of(content))


def _source(source: str, generation: Generation) -> str:
    """The address of what paints, with the ControlNet and IP-Adapter that the generation names."""
    control, adapter = generation.control, generation.ip_adapter
    if upstream_of(source):
        return source
    if control is not None and control.acts:
        source = controlled(source, control.path)
    if adapter is not None and adapter.acts:
        source = image_prompted(source, AdapterPlace(adapter.path, adapter.encoder_path or ""))
    return source


def _key(secret: bytes, name: str, suffix: str) -> str:
    digest = hmac.digest(secret, name.encode(), hashlib.sha256)
    return derived_key(digest, f".{suffix}")
