"""The worker: what it claims it ends, in whatever order the database's answers come."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ColumnElement, Double, literal

from imagemill.assembly import Backend, assemble
from imagemill.catalog import Catalog
from imagemill.engine.events import State
from imagemill.errors import Fault
from imagemill.generation import Draft
from imagemill.job import FINAL, Job, Line, Repeat, Result, Status, Submission
from imagemill.settings import Settings
from imagemill.store import Database, Jobs
from imagemill.store.jobs import Claims
from imagemill.telemetry import Telemetry
from imagemill.turns import flow
from tests.databases import database_url, postgres
from tests.engines import PlainEngine

__all__ = ["database_url", "postgres"]
pytestmark = pytest.mark.anyio

Make = Callable[[PlainEngine], Awaitable[Backend]]
LEASE = 300.0  # seconds of the tests' own time; the renewals between them are the tests' too


@dataclass
class Clock:
    """One for the database and for all who use it."""

    now: float = 1e9

    def __call__(self) -> float:
        return self.now

    def sql(self, _: float) -> ColumnElement[float]:
        return literal(self.now, Double)


@asynccontextmanager
async def gateway(
    folder: Path, url: str, engine: PlainEngine, clock: Clock
) -> AsyncIterator[Backend]:
    """A server that is one of several on a database and a folder of files."""
    settings = Settings(data_dir=folder, database=url, files=str(folder / "files"), running=2)
    catalog = Catalog({}, True, lambda _: "1")
    backend = assemble(settings, catalog, Telemetry(), engine, jobs=SlowJobs, now=clock)
    backend.worker.lease, backend.worker.monotonic = LEASE, clock
    backend.worker.clock, backend.database.clock = clock, clock.sql
    await backend.service.open()
    try:
        yield backend
    finally:
        await backend.service.close(patience=0)


@pytest.fixture
async def make_backend(database_url: str, tmp_path: Path) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def make(engine: PlainEngine) -> Backend:
            return await stack.enter_async_context(gateway(tmp_path, database_url, engine, Clock()))

        yield make


class SlowJobs(Jobs):
    """A database whose answers are held back on their way, by the name of the question."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.held: dict[str, asyncio.Event] = {}
        self.on_the_way = asyncio.Semaphore(0)
        self.soon: Callable[[str], None] | None = None  # called between a claim and its work

    def hold(self, question: str) -> asyncio.Event:
        """The next answer comes once the event is set."""
        self.held[question] = event = asyncio.Event()
        return event

    async def _way(self, question: str) -> None:
        if event := self.held.pop(question, None):
            self.on_the_way.release()
            await event.wait()

    async def claim(
        self, worker: str, limit: int, now: float, lease: float, full: Collection[str] = (),
        upstream: str = "",
    ) -> list[Job]:  # fmt: skip
        found = await super().claim(worker, limit, now, lease, full, upstream)
        await self._way("claim" if found else "")
        if self.soon:
            for job in found:
                asyncio.get_running_loop().call_soon(self.soon, job.id)
        return found

    async def renew(self, worker: str, known: Collection[str], now: float, lease: float) -> Claims:
        found = await super().renew(worker, known, now, lease)
        await self._way("renew")
        return found

    async def finish(
        self, id: str, worker: str, status: Status, now: float,
        result: Result | None = None, fault: Fault | None = None, lines: Sequence[Line] = (),
    ) -> Job | None:  # fmt: skip
        found = await super().finish(id, worker, status, now, result, fault, lines)
        await self._way("finish")
        return found


def slow(backend: Backend) -> SlowJobs:
    assert isinstance(backend.jobs, SlowJobs)
    return backend.jobs


SMALL: Mapping[str, Any] = {"width": 64, "height": 64, "steps": 4}


def make_submission(prompt: str, size: Mapping[str, Any] = SMALL, **changes: Any) -> Submission:
    endpoint = Catalog({}, True, lambda _: "1").find("a/b")
    generation = endpoint.generation(Draft(prompt, **{"seed": 1, **size}))
    return Submission(generation, endpoint.source, "fal", **changes)


def make_waiting(prompt: str, size: Mapping[str, Any] = SMALL, **changes: Any) -> Submission:
    """Of a caller who waits on a connection, and wants nothing once that is gone."""
    return make_submission(prompt, size, cancel_on_disconnect=True, **changes)


async def test_a_job_claimed_while_a_renewal_is_answered_is_painted(make_backend: Make) -> None:
    engine = PlainEngine(hold_at=1)
    backend = await make_backend(engine)
    service = backend.service
    first = await service.submit(make_submission("first"))
    await engine.reached("first", 1)
    answer = slow(backend).hold("renew")
    renewing = asyncio.create_task(backend.worker.renew())
    await slow(backend).on_the_way.acquire()
    second = await service.submit(make_submission("second"))
    await engine.asked(2)
    answer.set()
    await renewing
    engine.gate.set()
    for job in (first, second):
        assert (await service.ended(job.id)).status is Status.SUCCEEDED


async def test_a_job_that_ends_while_a_renewal_is_answered_is_told_at_once(
    make_backend: Make,
) -> None:
    engine = PlainEngine(hold_at=1)
    backend = await make_backend(engine)
    service = backend.service
    job = await service.submit(make_submission("a cat"))
    await engine.reached("a cat", 1)
    ended, renewed = slow(backend).hold("finish"), slow(backend).hold("renew")
    with backend.events.subscribe(job.id) as queue:
        engine.gate.set()
        await slow(backend).on_the_way.acquire()
        renewing = asyncio.create_task(backend.worker.renew())
        await slow(backend).on_the_way.acquire()
        renewed.set()
        await renewing
        ended.set()
        while not isinstance(item := await queue.get(), Job) or item.status not in FINAL:
            pass
    assert item.status is Status.SUCCEEDED
    assert engine.cancelled == []


async def test_a_job_cancelled_while_its_claim_is_answered_is_not_painted(
    make_backend: Make,
) -> None:
    engine = PlainEngine()
    backend = await make_backend(engine)
    service = backend.service
    answer = slow(backend).hold("claim")
    job = await service.submit(make_submission("a cat"))
    await slow(backend).on_the_way.acquire()
    assert (await service.cancel(job)).status is Status.RUNNING
    answer.set()
    assert (await service.ended(job.id)).status is Status.CANCELLED
    assert engine.submitted == []


async def test_a_job_cancelled_before_the_first_step_of_its_work_ends(make_backend: Make) -> None:
    """A task that is cancelled before it ran would have left it claimed for ever."""
    engine = PlainEngine()
    backend = await make_backend(engine)
    service = backend.service
    slow(backend).soon = backend.worker.stop
    job = await service.submit(make_submission("a cat"))
    assert (await service.ended(job.id)).status is Status.CANCELLED


async def test_a_claim_whose_answer_was_lost_goes_back_to_the_queue(make_backend: Make) -> None:
    engine = PlainEngine(State.STARTING)  # so that nothing is claimed by itself
    backend = await make_backend(engine)
    service = backend.service
    job = await service.submit(make_submission("a cat"))
    lost = await Jobs(backend.database).claim(backend.worker.name, 1, service.now(), LEASE)
    assert [each.id for each in lost] == [job.id]
    for _ in range(2):
        await backend.worker.renew()
    engine.state = State.READY
    backend.events.submitted.set()
    assert (await service.ended(job.id)).status is Status.SUCCEEDED


async def test_work_is_counted_as_begun_when_the_engine_has_it_and_not_when_it_is_given_back(
    make_backend: Make,
) -> None:
    engine = PlainEngine(hold_at=1)
    backend = await make_backend(engine)
    service = backend.service
    job = await service.submit(make_submission("a cat"))
    await engine.reached("a cat", 1)

    async def begun() -> int:
        found = await backend.jobs.get(job.id)
        assert found is not None
        return found.begun

    while not await begun():
        await asyncio.sleep(0.01)  # it is written with the next lines of the log
    assert await begun() == 1
    await backend.worker._release()
    assert await begun() == 0


@pytest.mark.parametrize("step", [10 * LEASE, -10 * LEASE])
async def test_no_pause_and_no_step_of_the_clock_ends_the_work_of_who_is_alone(
    database_url: str, tmp_path: Path, step: float
) -> None:
    clock, engine = Clock(), PlainEngine(hold_at=1)
    async with gateway(tmp_path, database_url, engine, clock) as backend:
        service = backend.service
        waiting = asyncio.create_task(service.wait_for(make_waiting("a cat")))
        await engine.reached("a cat", 1)
        clock.now += step
        for _ in range(3):
            await backend.worker.renew()
            clock.now += LEASE / 2
        engine.gate.set()
        assert (await waiting).status is Status.SUCCEEDED
        assert engine.cancelled == []


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_gateway_that_was_stopped_takes_its_work_up_again(
    database_url: str, tmp_path: Path
) -> None:
    """And leaves what another has begun meanwhile to it."""
    clock, engine, busy = Clock(), PlainEngine(hold_at=1), PlainEngine(State.DEAD)
    async with (
        gateway(tmp_path, database_url, engine, clock) as stopped,
        gateway(tmp_path, database_url, busy, clock) as other,
    ):
        waiting = asyncio.create_task(stopped.service.wait_for(make_waiting("a cat")))
        queued = await stopped.service.submit(make_submission("a dog"))
        await engine.asked(2)
        for _ in range(3):
            await other.worker.renew()
            clock.now += LEASE / 2
        await other.worker.renew()
        busy.state = State.READY
        assert (await other.service.ended(queued.id)).status is Status.SUCCEEDED
        assert [each.prompt for each in busy.submitted] == ["a dog"]
        await stopped.worker.renew()
        engine.gate.set()
        assert (await waiting).status is Status.SUCCEEDED
        assert engine.cancelled == [queued.id]


async def test_long_jobs_that_fill_all_places_keep_out_neither_others_nor_short_ones(
    make_backend: Make,
) -> None:
    engine = PlainEngine(hold_at=1)
    service = (await make_backend(engine)).service  # with two places
    long = {"width": 1024, "height": 1024, "steps": 100}
    jobs = [
        await service.submit(make_submission(f"long {number}", caller="a", size=long))
        for number in range(3)
    ]
    await engine.asked(2)
    jobs.append(await service.submit(make_submission("short", caller="a")))
    await engine.asked(3)
    assert [each.prompt for each in engine.submitted] == ["long 0", "long 1", "short"]
    jobs.append(await service.submit(make_submission("of another", caller="b")))
    engine.gate.set()
    for job in jobs:
        assert (await service.ended(job.id)).status is Status.SUCCEEDED


async def test_what_the_engine_holds_back_takes_no_place_from_others_of_the_same_caller(
    make_backend: Make,
) -> None:
    suspects = frozenset({"suspect 0", "suspect 1", "suspect 2"})
    engine = PlainEngine(suspects=suspects)
    engine.gate.clear()
    backend = await make_backend(engine)  # with two places
    service = backend.service
    prompts = [*sorted(suspects), "a cat", "a dog"]
    jobs = [await service.submit(make_submission(each, caller="a")) for each in prompts]
    await engine.asked(4)
    everybody = frozenset({flow(jobs[0])})
    assert backend.worker._room() == (1, everybody), "twice as many as there are places"
    assert [each.prompt for each in engine.submitted] == prompts[:4]
    engine.gate.set()
    for job in jobs:
        assert (await service.ended(job.id)).status is Status.SUCCEEDED


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_waiting_call_that_is_sent_again_to_another_gateway_is_painted_once(
    database_url: str, tmp_path: Path
) -> None:
    clock, engine, other_engine = Clock(), PlainEngine(hold_at=1), PlainEngine()
    named = Repeat("name", "content", named=True)
    async with (
        gateway(tmp_path, database_url, engine, clock) as first,
        gateway(tmp_path, database_url, other_engine, clock) as second,
    ):
        other_engine.state = State.DEAD  # so that the first claims
        waiting = asyncio.create_task(first.service.wait_for(make_waiting("a cat", repeat=named)))
        await engine.reached("a cat", 1)
        other_engine.state = State.READY
        repeated = asyncio.create_task(second.service.wait_for(make_waiting("a cat", repeat=named)))
        engine.gate.set()
        jobs = [await waiting, await repeated]
        assert jobs[0].id == jobs[1].id
        assert jobs[1].status is Status.SUCCEEDED
        again, drawn = replace(named, key="another"), {**SMALL, "seed": 2}
        for backend, size in ((first, SMALL), (second, drawn)):
            answer = await backend.service.paint(make_waiting("a cat", size, repeat=again))
            assert answer.seed == 1
        other = replace(named, content="other")
        with pytest.raises(Fault, match="Idempotency-Key"):
            await second.service.wait_for(make_waiting("a dog", repeat=other))
    assert len(engine.submitted) + len(other_engine.submitted) == 2
