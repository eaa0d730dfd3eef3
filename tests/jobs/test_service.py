"""The service: one flight for identical requests, a bounded queue, hang-ups that stop the work."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagemill.assembly import Backend
from imagemill.catalog import Catalog
from imagemill.engine.events import State
from imagemill.errors import Fault, Kind
from imagemill.generation import Draft
from imagemill.job import Repeat, Submission
from imagemill.jobs.service import Service
from tests.engines import PlainEngine
from tests.houses import opened_backend

pytestmark = pytest.mark.anyio
Make = Callable[..., Awaitable[Service]]
MakeBackend = Callable[..., Awaitable[Backend]]


class Clock:
    """Time that passes only when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def make_backend(tmp_path: Path) -> AsyncIterator[MakeBackend]:
    """`await make_backend(engine, queue=1)`: open, on the same folder each time; the one before is
    closed.
    """
    async with AsyncExitStack() as stack:

        async def make(engine: PlainEngine, **options: Any) -> Backend:
            await stack.aclose()
            return await stack.enter_async_context(opened_backend(tmp_path, engine, **options))

        yield make


@pytest.fixture
def make_service(make_backend: MakeBackend) -> Make:
    """The same, for who needs no more than the service."""

    async def make(engine: PlainEngine, **options: Any) -> Service:
        return (await make_backend(engine, **options)).service

    return make


def make_submission(
    prompt: str = "a cat",
    seed: int | None = 1,
    steps: int = 4,
    version: str = "1",
    cacheable: bool = True,
    wait: bool = False,
) -> Submission:
    endpoint = Catalog({}, True, lambda _: version).find("a/b")
    generation = endpoint.generation(Draft(prompt, width=64, height=64, steps=steps, seed=seed))
    return Submission(
        generation,
        endpoint.source,
        cancel_on_disconnect=True,
        version=version,
        cacheable=cacheable,
        seed_drawn=seed is None,
        wait_for_model=wait,
    )


def metric(backend: Backend, name: str, **labels: str) -> float:
    return backend.telemetry.registry.get_sample_value(f"imagemill_{name}", labels) or 0.0


async def hold(
    engine: PlainEngine, service: Service, submission: Submission
) -> asyncio.Task[object]:
    """A caller whose picture has had its first step and gets no further."""
    engine.hold_at = 1
    task: asyncio.Task[object] = asyncio.create_task(service.paint(submission))
    await engine.reached(submission.generation.prompt, 1)
    return task


async def test_a_picture_is_painted_by_the_endpoint_s_weights(make_service: Make) -> None:
    engine = PlainEngine()
    answer = await (await make_service(engine)).paint(make_submission(seed=7))
    assert (answer.seed, answer.hit, answer.painted.served_by) == (7, False, "pico")
    assert engine.sources == ["pico"]


async def test_previews_are_made_for_those_alone_who_will_look_at_them(make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    await service.paint(make_submission())
    for previews in (True, False):
        job = await service.begin(make_submission(seed=7), previews)
        await service.ended(job.id)
        await service.leave(job)
    assert engine.previewed == [False, True, False]


async def test_the_same_again_is_a_hit_after_a_restart_too(make_service: Make) -> None:
    engine = PlainEngine()
    first = await (await make_service(engine)).paint(make_submission())
    again = await (await make_service(engine)).paint(make_submission())
    assert (first.hit, again.hit) == (False, True)
    assert again.painted == first.painted
    assert len(engine.submitted) == 1


async def test_without_a_seed_the_one_drawn_first_is_told_again(make_service: Make) -> None:
    service = await make_service(PlainEngine())
    first = await service.paint(make_submission(seed=None))
    again = await service.paint(make_submission(seed=None))
    asked = await service.paint(make_submission(seed=first.seed))
    assert again.seed == first.seed
    assert (again.hit, asked.hit) == (True, True)


async def test_a_call_that_wants_no_cache_neither_reads_nor_fills_it(make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    for _ in range(2):
        assert not (await service.paint(make_submission(cacheable=False))).hit
    assert not (await service.paint(make_submission())).hit
    assert len(engine.submitted) == 3


@pytest.mark.parametrize(
    "other",
    [
        make_submission("a dog"),
        make_submission(seed=2),
        make_submission(steps=5),
        make_submission(version="2"),
    ],
)
async def test_what_decides_the_bytes_decides_the_hit(
    make_service: Make, other: Submission
) -> None:
    service = await make_service(PlainEngine())
    await service.paint(make_submission())
    assert not (await service.paint(other)).hit


@pytest.mark.parametrize("seed", [1, None])
async def test_identical_requests_at_once_are_painted_once(
    make_service: Make, seed: int | None
) -> None:
    engine = PlainEngine()
    service = await make_service(engine, queue=1)
    answers = await asyncio.gather(*(service.paint(make_submission(seed=seed)) for _ in range(10)))
    assert len(engine.submitted) == 1
    assert len({answer.seed for answer in answers}) == 1


async def test_a_fault_reaches_everybody_who_waits_and_is_not_kept(make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    callers = [await hold(engine, service, make_submission())]
    callers.append(asyncio.create_task(service.paint(make_submission())))
    await asyncio.sleep(0)
    engine.state = State.DEAD
    engine.gate.set()
    faults = await asyncio.gather(*callers, return_exceptions=True)
    assert [isinstance(fault, Fault) and fault.kind for fault in faults] == [Kind.FAILED] * 2
    engine.state = State.READY
    assert not (await service.paint(make_submission())).hit


async def test_a_full_queue_says_when_to_come_again(make_service: Make) -> None:
    engine, clock = PlainEngine(), Clock()
    service = await make_service(engine, queue=1, clock=clock)
    asked = []
    for now, prompt in enumerate("abc"):
        held = await hold(engine, service, make_submission(prompt))
        with pytest.raises(Fault, match="the queue is full, with 1 of 1") as raised:
            await service.paint(make_submission("one more"))
        assert raised.value.kind is Kind.BUSY
        asked.append(raised.value.retry_after or 0)
        clock.now += 100 * now  # pictures take longer and longer
        engine.gate.set()
        await held
    assert asked[0] >= asked[1] >= 1
    assert asked[2] > asked[1]


async def test_a_cached_picture_is_given_when_the_queue_is_full(make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine, queue=1)
    await service.paint(make_submission("kept"))
    held = await hold(engine, service, make_submission("held"))
    assert (await service.paint(make_submission("kept"))).hit
    engine.gate.set()
    await held


async def test_a_hang_up_stops_the_work_within_two_steps(make_backend: MakeBackend) -> None:
    engine = PlainEngine()
    backend = await make_backend(engine)
    service = backend.service
    caller = await hold(engine, service, make_submission(steps=100))
    before = engine.steps["a cat"]
    caller.cancel()
    engine.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await service.close(patience=60)
    assert engine.cancelled
    assert engine.steps["a cat"] <= before + 2
    assert metric(backend, "running") == 0


async def test_work_goes_on_while_somebody_waits_for_it(make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    leaving = await hold(engine, service, make_submission())
    staying = asyncio.create_task(service.paint(make_submission()))
    await asyncio.sleep(0)
    leaving.cancel()
    engine.gate.set()
    assert not (await staying).hit
    assert (len(engine.submitted), engine.cancelled) == (1, [])


async def test_whoever_comes_after_a_hang_up_starts_anew(make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    leaving = await hold(engine, service, make_submission())
    leaving.cancel()
    engine.gate.set()
    coming = asyncio.create_task(service.paint(make_submission()))
    await asyncio.gather(leaving, coming, return_exceptions=True)
    assert not coming.result().hit
    assert len(engine.submitted) == 2


async def test_while_the_model_loads_the_estimate_falls_but_never_to_nothing(
    make_service: Make,
) -> None:
    clock = Clock()
    service = await make_service(PlainEngine(State.STARTING), clock=clock)
    estimates = []
    for clock.now in (0.0, 4.0, 1000.0):
        with pytest.raises(Fault) as raised:
            await service.paint(make_submission())
        assert raised.value.kind is Kind.LOADING
        estimates.append(raised.value.retry_after)
    assert estimates == [10.0, 6.0, 1.0]


async def test_who_waits_for_the_model_is_answered_when_it_is_there(make_service: Make) -> None:
    engine = PlainEngine(State.STARTING)
    service = await make_service(engine)
    waiting = asyncio.create_task(service.paint(make_submission(wait=True)))
    with pytest.raises(Fault, match="currently loading"):
        await service.paint(make_submission())
    engine.state = State.READY
    assert not (await waiting).hit


async def test_who_waits_for_the_model_waits_in_bounds(make_service: Make) -> None:
    service = await make_service(PlainEngine(State.STARTING), wait_time=0.001)
    with pytest.raises(Fault) as raised:
        await service.paint(make_submission(wait=True))
    assert raised.value.kind is Kind.LOADING


async def test_a_dead_engine_is_our_fault(make_service: Make) -> None:
    with pytest.raises(Fault, match="the engine has stopped") as raised:
        await (await make_service(PlainEngine(State.DEAD))).paint(make_submission())
    assert raised.value.kind is Kind.FAILED


async def test_at_shutdown_running_work_finishes_and_nothing_new_is_taken(
    make_service: Make,
) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    running = await hold(engine, service, make_submission())
    closing = asyncio.create_task(service.close(patience=60))
    await asyncio.sleep(0)
    with pytest.raises(Fault, match="shutting down"):
        await service.paint(make_submission("late"))
    engine.gate.set()
    await closing
    assert running.done()
    assert not running.cancelled()
    assert engine.closed


async def test_at_shutdown_work_that_takes_too_long_is_stopped_and_told(make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    running = await hold(engine, service, make_submission())
    await service.close(patience=0)
    with pytest.raises(Fault, match="the server stopped this work") as raised:
        await running
    assert raised.value.kind is Kind.CANCELLED
    assert engine.cancelled


async def test_a_broken_cache_entry_is_painted_again(tmp_path: Path, make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    first = await service.paint(make_submission(seed=None))
    for path in (tmp_path / "pictures").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1])
    assert not (await service.paint(make_submission(seed=first.seed))).hit


async def test_metrics_tell_what_happened(make_backend: MakeBackend) -> None:
    engine = PlainEngine()
    backend = await make_backend(engine)
    service = backend.service
    held = await hold(engine, service, make_submission())
    waiting = asyncio.create_task(service.paint(make_submission("a dog")))
    await engine.asked(2)
    assert (metric(backend, "running"), metric(backend, "queue_depth")) == (1, 1)
    engine.gate.set()
    await asyncio.gather(held, waiting)
    await service.paint(make_submission())
    assert (metric(backend, "running"), metric(backend, "queue_depth")) == (0, 0)
    assert metric(backend, "pictures_total", model="pico") == 2
    assert metric(backend, "cache_lookups_total", outcome="hit") == 1
    assert metric(backend, "cache_lookups_total", outcome="miss") == 2
    assert metric(backend, "engine_seconds_count") == 2


async def test_a_call_that_is_sent_again_after_a_time_out_is_painted_once(
    make_service: Make,
) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    first = replace(make_submission(seed=None, cacheable=False), repeat=Repeat("call"))
    waiting = await hold(engine, service, first)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    again = asyncio.create_task(service.paint(replace(first, repeat=Repeat("call", resent=True))))
    engine.gate.set()
    await again
    assert len(engine.submitted) == 1


async def test_the_same_twice_is_two_where_neither_was_sent_again(make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    engine.gate.set()
    submission = replace(make_submission(cacheable=False), repeat=Repeat("call"))
    await asyncio.gather(service.paint(submission), service.paint(submission))
    assert len(engine.submitted) == 2


async def test_calls_of_one_name_are_one(make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    engine.gate.set()
    submission = replace(make_submission(cacheable=False), repeat=Repeat("call", named=True))
    assert (await service.paint(submission)) is (await service.paint(submission))
    other = replace(submission, caller="somebody else")
    await service.paint(other)
    assert len(engine.submitted) == 2


async def test_work_may_be_wanted_though_its_caller_hangs_up(make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine)
    waiting = await hold(
        engine, service, replace(make_submission(cacheable=False), cancel_on_disconnect=False)
    )
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not engine.cancelled


async def test_who_hangs_up_while_the_job_is_written_leaves_nothing(make_service: Make) -> None:
    engine = PlainEngine()
    service = await make_service(engine, queue=1)
    begun = asyncio.create_task(service.begin(make_submission(cacheable=False)))
    await asyncio.sleep(0)
    begun.cancel()
    with pytest.raises(asyncio.CancelledError):
        await begun
    await service.paint(make_submission("a dog"))  # in the only place
    left = [each for each in engine.submitted if each.prompt != "a dog"]
    assert len(left) == len(engine.cancelled)  # it may have been claimed before it was given up


@pytest.mark.parametrize("image", ["http://a/" + "b" * 9000, "x" * 9000])
async def test_a_reference_of_no_sane_length_is_refused(image: str) -> None:
    with pytest.raises(Fault, match="at most 8192 are read"):
        replace(make_submission().generation, image=image)
