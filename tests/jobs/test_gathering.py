"""Inputs are gathered before a place is taken: slow hosts hold up nobody but who names them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from imagemill.assembly import Backend
from imagemill.catalog import Catalog
from imagemill.errors import Kind
from imagemill.generation import Draft, Lora
from imagemill.job import Job, Status, Submission
from imagemill.jobs.gathering import CALLER_READY
from imagemill.jobs.input_files import IMAGE_BYTES
from imagemill.jobs.job_inputs import LEAST_BYTES
from imagemill.jobs.service import Service
from imagemill.slots import Slots
from imagemill.store import records
from imagemill.store.schema import JOBS
from tests.engines import PlainEngine
from tests.houses import opened, opened_backend
from tests.jobs.test_input_files import png, web

pytestmark = pytest.mark.anyio

Make = Callable[..., Awaitable[Service]]
MakeBackend = Callable[..., Awaitable[Backend]]
PATIENT = 60.0  # seconds until a test that waits for nothing is given up


@dataclass
class Host:
    """Answers with a picture once it is told to."""

    url: str = ""
    asked: int = 0
    left: int = 0  # callers who hung up before they were answered
    free: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await self._count("asked")
            answering = asyncio.create_task(self.free.wait())
            leaving = asyncio.create_task(reader.read(1))
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            for task in (answering, leaving):
                task.cancel()
            if self.free.is_set():
                picture = png(64, 64)
                head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(picture)}\r\n\r\n"
                writer.write(head.encode() + picture)
                await writer.drain()
            else:
                await self._count("left")
        writer.close()

    async def _count(self, what: str) -> None:
        async with self.changed:
            setattr(self, what, getattr(self, what) + 1)
            self.changed.notify_all()

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENT), self.changed:
            await self.changed.wait_for(enough)


@asynccontextmanager
async def hosting(last: int = 1) -> AsyncIterator[Host]:
    """A host at an address of its own, 127.0.1.`last`."""
    host = Host()
    server = await asyncio.start_server(host.answer, f"127.0.1.{last}", 0)
    name, port = server.sockets[0].getsockname()
    host.url = f"http://{name}:{port}/picture.png"
    async with server:
        yield host
        host.free.set()


@pytest.fixture
async def make_backend(tmp_path: Path) -> AsyncIterator[MakeBackend]:
    async with AsyncExitStack() as stack:

        async def make(engine: PlainEngine, **options: Any) -> Backend:
            return await stack.enter_async_context(opened_backend(tmp_path, engine, **options))

        yield make


@pytest.fixture
def make_service(make_backend: MakeBackend) -> Make:
    async def make(engine: PlainEngine, **options: Any) -> Service:
        return (await make_backend(engine, **options)).service

    return make


def make_submission(
    prompt: str, image: str | None = None, caller: str = "", **changes: Any
) -> Submission:
    endpoint = Catalog({}, True, lambda _: "1").find("a/b")
    generation = endpoint.generation(
        Draft(prompt, width=64, height=64, steps=2, seed=1, image=image)
    )
    submission = Submission(generation, endpoint.source, "fal", caller, local=True)
    return replace(submission, **changes)


async def ended(service: Service, job: Job) -> Job:
    async with asyncio.timeout(PATIENT):
        return await service.ended(job.id)


async def status(service: Service, job: Job) -> Status:
    return (await service.job(job.id, job.submission.caller)).status


async def test_a_job_takes_a_place_once_its_picture_is_there(make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine, running=1)
    async with hosting() as host:
        slow = await service.submit(make_submission("slow", host.url))
        await host.until(lambda: host.asked == 1)
        plain = await service.submit(make_submission("plain"))
        assert (await ended(service, plain)).status is Status.SUCCEEDED
        assert await status(service, slow) is Status.QUEUED
        assert await service.position(slow) == 0
        host.free.set()
        assert (await ended(service, slow)).status is Status.SUCCEEDED
    assert [each.prompt for each in engine.submitted] == ["plain", "slow"]
    assert len(engine.inputs[-1]) == 1


async def test_a_host_that_hangs_keeps_a_share_and_others_are_asked_meanwhile(
    make_backend: MakeBackend,
) -> None:
    backend = await make_backend(PlainEngine())
    service = backend.service
    share = backend.worker.gathering.slots.host
    async with hosting(1) as hanging, hosting(2) as honest:
        honest.free.set()
        for number in range(4 * share):
            await service.submit(make_submission(f"{number}", hanging.url, caller=f"c{number}"))
        await hanging.until(lambda: hanging.asked >= share)
        job = await service.submit(make_submission("honest", honest.url, caller="c0"))
        assert (await ended(service, job)).status is Status.SUCCEEDED
        assert hanging.asked < 2 * share


async def test_a_caller_who_names_many_hosts_keeps_a_share(make_backend: MakeBackend) -> None:
    backend = await make_backend(PlainEngine())
    service = backend.service
    backend.worker.gathering.slots = Slots(8, 0, 1e6, 8, time.monotonic)
    async with AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(hosting(last)) for last in range(1, 21)]
        for number, host in enumerate(hosts[:-1]):
            await service.submit(make_submission(f"{number}", host.url, caller="greedy"))
        await hosts[3].until(lambda: hosts[3].asked == 1)
        hosts[-1].free.set()
        job = await service.submit(make_submission("other", hosts[-1].url, caller="other"))
        assert (await ended(service, job)).status is Status.SUCCEEDED


async def test_who_cancels_while_a_picture_comes_stops_that_too(make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    async with hosting() as host:
        job = await service.submit(make_submission("slow", host.url))
        await host.until(lambda: host.asked == 1)
        assert (await service.cancel(job)).status is Status.CANCELLED
        await host.until(lambda: host.left == 1)
    assert engine.submitted == []


async def test_who_hangs_up_while_a_picture_comes_stops_that_too(make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    async with hosting() as host:
        submission = make_submission(
            "slow", host.url, cacheable=False, wait_for_model=True, cancel_on_disconnect=True
        )
        waiting = asyncio.create_task(service.paint(submission))
        await host.until(lambda: host.asked == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await host.until(lambda: host.left == 1)
    assert engine.submitted == []


async def test_a_job_that_is_not_begun_in_time_is_given_up_with_its_picture(
    make_backend: MakeBackend,
) -> None:
    backend = await make_backend(PlainEngine())
    service = backend.service
    async with hosting() as host:
        job = await service.submit(make_submission("slow", host.url, begin_within=100.0))
        await host.until(lambda: host.asked == 1)
        backend.worker.clock = lambda: service.now() + 200.0
        await backend.worker.renew()
        late = await ended(service, job)
        assert late.fault is not None
        assert (late.status, late.fault.kind) == (Status.FAILED, Kind.TIMEOUT)
        await host.until(lambda: host.left == 1)


async def test_what_was_being_gathered_at_a_shutdown_is_gathered_by_the_next(
    tmp_path: Path,
) -> None:
    async with hosting() as host:
        async with opened(tmp_path, PlainEngine()) as first:
            job = await first.submit(make_submission("slow", host.url))
            await host.until(lambda: host.asked == 1)
        await host.until(lambda: host.left == 1)
        host.free.set()
        async with opened(tmp_path, PlainEngine()) as second:
            painted = await ended(second, job)
    assert (painted.status, painted.attempts) == (Status.SUCCEEDED, 1)


async def test_a_picture_that_cannot_be_had_fails_its_job_before_the_engine_is_asked(
    make_service: Make,
) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    for image in ("http://127.0.1.1:9/x.png", "file:files/b/0/none"):
        job = await service.submit(
            make_submission("a cat", image, webhook_url="http://127.0.0.1:9/")
        )
        failed = await ended(service, job)
        assert failed.fault is not None
        assert (failed.fault.kind, failed.fault.field) == (Kind.UNREACHABLE, "image")
        assert failed.started is None
    assert engine.submitted == []


async def test_what_lies_ready_is_bounded_for_each_caller(make_backend: MakeBackend) -> None:
    """The engine is busy, and pictures that come at once wait for it."""
    engine = PlainEngine()
    engine.gate.clear()
    backend = await make_backend(engine, running=1)
    service = backend.service
    gathering = backend.worker.gathering
    await service.submit(make_submission("busy"))
    await engine.asked(1)
    async with hosting() as host:
        host.free.set()
        jobs = [
            await service.submit(make_submission(f"{number}", host.url, caller="me"))
            for number in range(3 * CALLER_READY)
        ]
        async with asyncio.timeout(PATIENT):
            while gathering.lying("me") < CALLER_READY:
                await gathering.wake.wait()
                await asyncio.sleep(0)
        # Nothing is begun any more but what was begun together with the last.
        assert host.asked < CALLER_READY + 2 * gathering.slots.host
        other = await service.submit(make_submission("other", host.url, caller="other"))
        engine.gate.set()
        for job in (*jobs, other):
            assert (await ended(service, job)).status is Status.SUCCEEDED
    assert gathering.lying("me") == 0


async def test_a_job_that_is_ready_without_its_inputs_gathers_them_itself(
    make_backend: MakeBackend,
) -> None:
    """As those are that were written by an older version."""
    engine = PlainEngine()
    backend = await make_backend(engine)
    service = backend.service
    async with hosting() as host:
        host.free.set()
        job = Job("1", make_submission("old", host.url), service.now())
        async with backend.database.writing() as connection:
            place = {"flow": "", "turn": 0.0}
            await connection.execute(insert(JOBS), [records.row(job) | place | {"ready": True}])
        assert (await ended(service, job)).status is Status.SUCCEEDED
    assert len(engine.inputs[-1]) == 1


@pytest.mark.parametrize(
    ("changes", "needs", "host"),
    [
        ({}, False, ""),
        ({"expand": True}, True, ""),
        ({"image": "file:x", "mask": "http://Me:x@A.example:8/x"}, True, "a.example"),
        ({"image": "https://[2001:DB8::1]/x"}, True, "[2001:db8::1]"),
        ({"loras": (Lora("owner/name"), Lora("HTTP://b.example"))}, True, "b.example"),
        ({"image": "http://\0/"}, True, ""),
        ({"image": "http://"}, True, ""),
    ],
)
def test_a_generation_tells_whether_it_needs_inputs_and_from_where(
    changes: dict[str, Any], needs: bool, host: str
) -> None:
    generation = replace(make_submission("a cat").generation, **changes)
    assert (generation.needs_inputs, generation.host) == (needs, host)


async def test_pictures_take_memory_once_they_are_whole_and_give_it_back(
    make_backend: MakeBackend, tmp_path: Path
) -> None:
    engine = PlainEngine(hold_at=1)
    backend = await make_backend(engine, running=2)
    service = backend.service
    inputs = backend.worker.inputs
    memory, disk, incoming = inputs.memory, inputs.files.disk, tmp_path / "incoming"
    memory.total = LEAST_BYTES  # one at a time is read
    async with hosting(1) as slow, hosting(2) as quick:
        waiting = [
            await service.submit(make_submission(f"slow {n}", slow.url, caller=f"s{n}"))
            for n in range(4)
        ]
        await slow.until(lambda: slow.asked == 4)
        assert memory.taken == 0
        assert disk.taken == 4 * IMAGE_BYTES
        assert list(incoming.iterdir()) == []  # a slow host holds no file open
        quick.free.set()
        ready = [
            await service.submit(make_submission(f"quick {n}", quick.url, caller=f"q{n}"))
            for n in range(4)
        ]
        await engine.asked(2)
        engine.gate.set()
        for job in ready:
            assert (await ended(service, job)).status is Status.SUCCEEDED
        slow.free.set()
        for job in waiting:
            assert (await ended(service, job)).status is Status.SUCCEEDED
    assert (memory.taken, disk.taken, list(incoming.iterdir())) == (0, 0, [])


async def test_a_picture_that_cannot_be_read_gives_back_what_it_took(
    make_backend: MakeBackend,
) -> None:
    backend = await make_backend(PlainEngine())
    service = backend.service
    inputs = backend.worker.inputs
    async with web(b"no picture") as url:
        job = await ended(service, await service.submit(make_submission("broken", url)))
    assert job.fault is not None
    assert (job.fault.kind, job.fault.field) == (Kind.UNREADABLE, "image")
    assert (inputs.memory.taken, inputs.files.disk.taken) == (0, 0)
