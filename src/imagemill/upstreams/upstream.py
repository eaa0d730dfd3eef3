"""One upstream at work: a job becomes a request there, is followed to its end, and comes back as
images. What is known of a request is kept with the job, so that whoever takes the job over after
the end of a server goes on with the same request.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from imagemill import finishing
from imagemill.conditions import Swatch
from imagemill.engine.events import Event, Failed, Finished, Remark
from imagemill.errors import Fault, Kind
from imagemill.generation import Defaults, GeneratedImages, Generation, Input
from imagemill.job import RemoteRequest, Status
from imagemill.retries import outlasting
from imagemill.telemetry import Telemetry
from imagemill.threads import ENCODING
from imagemill.upstream_spec import PREFIX, UpstreamSpec
from imagemill.upstreams.api import Api, MaybeTaken, garbled, lost
from imagemill.upstreams.dialect import UpstreamDialect
from imagemill.upstreams.journal import Journal
from imagemill.upstreams.outcome import RemoteImages, RemoteState
from imagemill.upstreams.results import Results
from imagemill.upstreams.wire import Outgoing, Table, WireBody, body, takes_image

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_LOOK, LONGEST_LOOK, FACTOR = 0.05, 1.0, 1.4  # seconds between looks at a request
HELD_SECONDS = 3600.0  # for which it is tried to write down what was sent
REPLY_ROOM = 2**20  # bytes of a reply with images, beside these

_ID = re.compile(r"[A-Za-z0-9][\w.~-]{0,199}", re.ASCII)  # what leads to no other path


class Requests(Protocol):
    """What is kept of requests, as `store.remote_requests` does it."""

    async def get(self, job: str) -> RemoteRequest | None: ...

    async def put(self, request: RemoteRequest) -> None: ...

    async def forget(self, job: str) -> None: ...

    async def over(self) -> list[tuple[RemoteRequest, Status]]: ...


@dataclass(frozen=True)
class Sending:
    """A job as it goes to an upstream."""

    #: The id of the job.
    job: str
    #: As it is sent: without what is done here.
    generation: Generation
    #: As the upstream calls it.
    model: str
    #: By which it is written.
    table: Table
    #: What is sent.
    body: WireBody
    #: Colours that are brought closer here.
    palette: tuple[Swatch, ...]
    #: When it came, and by when it has to have ended; on the monotonic clock.
    began: float
    until: float

    @property
    def most(self) -> int:
        """Images that are wanted."""
        return self.generation.num_images


@dataclass
class Upstream:
    """One other server, with what is needed to have it paint."""

    #: In the settings.
    name: str
    #: What the operator says of it.
    spec: UpstreamSpec
    #: The API that it speaks.
    dialect: UpstreamDialect
    #: Its HTTP client.
    api: Api
    #: Makes images of what comes back.
    results: Results
    #: What is kept of requests.
    requests: Requests
    #: Counts jobs and costs.
    telemetry: Telemetry
    #: By a model's id, what it is painted with where its caller leaves it open.
    usual: Callable[[str], Defaults]
    #: Unix seconds.
    clock: Callable[[], float] = time.time
    #: Submissions that are on their way, by job: they are not broken off, so that their ids are
    #: known.
    submitting: dict[str, "asyncio.Task[str | RemoteImages]"] = field(default_factory=dict)

    def takes(self, model: str, field: str) -> bool:
        """Whether a model does by itself what a field of a generation asks for."""
        return field in self.dialect.table(model)

    async def paint(
        self, id: str, generation: Generation, model: str, inputs: Mapping[str, Input]
    ) -> AsyncIterator[Event]:
        """As `engine.events.Engine.submit`. Closing it breaks nothing off that has an id there."""
        outcome = "gone"
        try:
            sending = await self._sending(id, generation, model, inputs)
            if sending.body.ignored:
                log.info("upstream %s passes over %s", self.name, "; ".join(sending.body.ignored))
            images = await self._begun(sending)
            if isinstance(images, str):
                standing, journal = RemoteState(), Journal(self.name, self.api.cleared)
                async for standing in self._looks(sending, images):
                    for event in journal.news(standing.lines):
                        yield event
                assert standing.images is not None
                images = standing.images
            yield Remark(self._paid(images))
            painted = await self._finished(sending, images)
            outcome = "ok"
            yield Finished(painted)
        except Fault as fault:
            outcome = fault.kind.value
            yield Failed(fault)
        finally:
            self.telemetry.upstream_requests.labels(self.name, outcome).inc()

    async def cancel(self, request: RemoteRequest, model: str, seconds: float) -> None:
        """Stops what is painted for nobody; raises a Fault where the upstream is not to be had."""
        call = replace(self.dialect.cancellation(model, request.id), seconds=seconds)
        reply = await self.api.send(call, time.monotonic() + seconds)
        log.info("upstream %s: %s was cancelled (status %d)", self.name, request.id, reply.status)

    async def close(self) -> None:
        """Ends what is on its way."""
        tasks = list(self.submitting.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.results.fetcher.close()
        await self.api.close()

    async def _sending(
        self, id: str, generation: Generation, model: str, inputs: Mapping[str, Input]
    ) -> Sending:
        table, palette = self.dialect.table(model), generation.palette
        if "style" not in table and generation.style:
            words = finishing.words(generation.style)
            prompt = f"{generation.prompt}, {words}" if words else generation.prompt
            generation = replace(generation, prompt=prompt, style=None)
        if "palette" in table:
            palette = ()
        else:
            generation = replace(generation, palette=())
        images = {
            name: await ENCODING.run(self.dialect.image, _content(inputs, reference), name, model)
            for name, reference in generation.images.items()
            if takes_image(table, name)
        }
        outgoing = Outgoing(generation, images, model)
        written = body(table, outgoing, self.usual(generation.model))
        now = time.monotonic()
        return Sending(id, generation, model, table, written, palette, now, now + self.spec.timeout)

    async def _begun(self, sending: Sending) -> str | RemoteImages:
        """The id of the request, or its images where the upstream answers with these at once."""
        known = await self._kept(lambda: self.requests.get(sending.job))
        if known is not None and known.id:
            log.info("upstream %s: job %s goes on as %s", self.name, sending.job, known.id)
            return known.id
        if known is not None and not self.spec.idempotent:
            raise lost(self.name)
        task = asyncio.create_task(self._submitted(sending))
        self.submitting[sending.job] = task
        task.add_done_callback(lambda done: self._left(sending.job, done))
        # What is answered with images is stopped by hanging up, as far as it can be.
        return await (asyncio.shield(task) if self.dialect.queues else task)

    def _left(self, job: str, task: "asyncio.Task[str | RemoteImages]") -> None:
        self.submitting.pop(job, None)
        if not task.cancelled():
            task.exception()  # which is told to who waits, if anybody does

    async def _submitted(self, sending: Sending) -> str | RemoteImages:
        source = f"{PREFIX}{self.name}/{sending.model}"
        request = RemoteRequest(sending.job, source, "", self.clock())
        await self._kept(lambda: self.requests.put(request))
        call = self.dialect.submission(sending.generation, sending.model, sending.body)
        if not self.dialect.queues:
            room = REPLY_ROOM + sending.most * self.spec.max_bytes * 4 // 3
            call = replace(call, seconds=self.spec.timeout, most=room)
        try:
            reply = await self.api.send(replace(call, key=sending.job), sending.until)
            begun = self.dialect.accepted(self.api, reply, sending.table)
        except MaybeTaken:
            raise
        except Fault:  # nothing was begun, so that it may be sent once more
            await self._kept(lambda: self.requests.forget(sending.job))
            raise
        if isinstance(begun, str):
            if not _ID.fullmatch(begun):
                raise garbled(self.name, "the id of a request is none")
            await self._kept(lambda: self.requests.put(replace(request, id=begun)))
        return begun

    async def _looks(self, sending: Sending, id: str) -> AsyncIterator[RemoteState]:
        """How far a request is, again and again, at last with its images."""
        pause = FIRST_LOOK
        while True:
            standing = await self.dialect.look(
                self.api, sending.model, id, sending.table, sending.until
            )
            yield standing
            if standing.images is not None:
                return
            if time.monotonic() + pause > sending.until:
                message = f"the upstream {self.name} did not end within {self.spec.timeout:g} s"
                raise Fault(Kind.UNAVAILABLE, f"{message}; try again later")
            await asyncio.sleep(pause)
            pause = min(FACTOR * pause, LONGEST_LOOK)

    async def _finished(self, sending: Sending, images: RemoteImages) -> GeneratedImages:
        painted = await self.results.images(
            images, sending.generation, sending.palette, sending.began
        )
        theirs = map(self.api.cleared, painted.ignored)
        return replace(painted, ignored=(*sending.body.ignored, *theirs))

    def _paid(self, images: RemoteImages) -> str:
        """Counts what the images cost; the line that tells of it."""
        for unit, count in images.cost.items():
            self.telemetry.upstream_cost.labels(self.name, unit).inc(max(0.0, count))
        cost = ", ".join(f"{count:g} {unit}" for unit, count in images.cost.items())
        return f"{self.name}: painted; cost: {cost or 'not told'}"

    async def _kept(self, work: Callable[[], Awaitable[T]]) -> T:
        """What work with the database gives, for which what is under way is held."""
        return await outlasting(work, HELD_SECONDS)


def _content(inputs: Mapping[str, Input], reference: str) -> bytes:
    content = inputs[reference]
    assert isinstance(content, bytes), "weights are not gathered for upstreams"
    return content
