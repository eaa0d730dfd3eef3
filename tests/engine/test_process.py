"""The engine process: it answers, survives, and takes nobody with it."""

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from imagemill.engine.events import Begun, Event, Failed, Finished, HeldBack, Progress, State
from imagemill.engine.inline import paint
from imagemill.engine.ipc import Options
from imagemill.engine.process import EngineProcess
from imagemill.errors import Kind
from imagemill.generation import Generation

pytestmark = pytest.mark.anyio
ASKED = Generation("a red cat", "imagemill/pico", 128, 128, 4, 4.0, seed=1)
LONG = replace(ASKED, width=256, height=256, steps=150)
OPTIONS = Options(threads=1, preload=("pico",))


@asynccontextmanager
async def running(options: Options = OPTIONS) -> AsyncIterator[EngineProcess]:
    engine = EngineProcess(options)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def last(engine: EngineProcess, id: str, asked: Generation, source: str = "pico") -> Event:
    """How a generation ended."""
    async with aclosing(engine.submit(id, asked, source)) as events:  # type: ignore[type-var]
        async for event in events:
            if not isinstance(event, Begun | HeldBack | Progress):
                return event
    raise AssertionError("the iterator ended without a result")


async def stepping(engine: EngineProcess, id: str, asked: Generation) -> AsyncIterator[Event]:
    """The events of a generation that has begun to be painted."""
    events = engine.submit(id, asked, "pico")
    assert isinstance(await anext(events), Begun)
    assert isinstance(await anext(events), Progress)
    return events


def worker() -> psutil.Process:
    """The engine's process: the child that has torch open."""
    children = psutil.Process().children(recursive=True)
    return max(children, key=lambda child: child.memory_info().rss)


def picture(event: Event) -> str:
    assert isinstance(event, Finished), event
    return hashlib.sha256(event.painted.pictures[0]).hexdigest()


def fault(event: Event) -> Kind:
    assert isinstance(event, Failed), event
    return event.fault.kind


async def test_a_process_paints_what_the_command_line_paints() -> None:
    async with running() as engine:
        states = [engine.state]
        event = await last(engine, "a", ASKED)
        assert [*states, engine.state] == [State.STARTING, State.READY]
    here = paint(ASKED, "pico", lambda done, steps: None, threads=1)
    assert picture(event) == hashlib.sha256(here.pictures[0]).hexdigest()


async def test_work_of_a_process_that_was_killed_is_done_by_its_successor() -> None:
    async with running() as engine:
        wanted = picture(await last(engine, "before", ASKED))
        long = await stepping(engine, "long", LONG)
        waiting = asyncio.create_task(last(engine, "short", ASKED))
        os.kill(worker().pid, signal.SIGKILL)
        assert picture(await waiting) == wanted
        assert [event async for event in long][-1].__class__ is Finished


async def test_a_model_that_cannot_be_loaded_stops_no_other(tmp_path: Path) -> None:
    absent = str(tmp_path / "nothing")
    async with running(Options(threads=1, preload=(absent, "pico"))) as engine:
        assert picture(await last(engine, "a", ASKED))
        assert (engine.state, engine.trouble) == (
            State.READY, "1 of 2 models could not be loaded; there is no folder or file nothing "
            "where the configuration says; correct `source`",
        )  # fmt: skip
        assert fault(await last(engine, "b", ASKED, absent)) is Kind.FAILED
        assert picture(await last(engine, "c", ASKED))


async def test_a_model_that_is_not_there_fails_alone_and_names_no_path(tmp_path: Path) -> None:
    async with running() as engine:
        bad, good = await asyncio.gather(
            last(engine, "bad", ASKED, str(tmp_path)), last(engine, "good", ASKED)
        )
        assert fault(bad) is Kind.FAILED
        assert str(tmp_path) not in str(bad)
        assert picture(good)


async def test_cancelled_work_ends_as_cancelled_and_the_next_is_painted() -> None:
    async with running() as engine:
        long = await stepping(engine, "long", LONG)
        engine.cancel("long")
        events = [event async for event in long]
        assert fault(events[-1]) is Kind.CANCELLED
        assert len(events) < 40  # the messages under way
        assert picture(await last(engine, "next", ASKED))


async def test_work_cancelled_right_after_it_was_submitted_is_not_painted() -> None:
    async with running() as engine:
        busy = await stepping(engine, "busy", LONG)  # so that both messages wait for a forward
        for i in range(5):
            waiting = asyncio.create_task(last(engine, f"gone{i}", replace(LONG, seed=i)))
            await asyncio.sleep(0)
            engine.cancel(f"gone{i}")
            assert fault(await waiting) is Kind.CANCELLED
        await busy.aclose()  # type: ignore[attr-defined]


async def test_closing_the_iterator_cancels() -> None:
    async with running() as engine:
        longs = [await stepping(engine, f"long{i}", replace(LONG, seed=i)) for i in range(3)]
        for long in longs:
            await long.aclose()  # type: ignore[attr-defined]
        assert picture(await last(engine, "next", ASKED))
        assert not engine._in_flight


async def test_cancelling_before_the_process_is_ready_ends_the_work() -> None:
    async with running() as engine:
        waiting = asyncio.create_task(last(engine, "a", ASKED))
        await asyncio.sleep(0)
        engine.cancel("a")
        assert fault(await waiting) is Kind.CANCELLED


async def test_a_process_that_does_not_see_its_gpu_says_so_and_computes_nothing() -> None:
    async with running(Options(threads=1, preload=("pico",), device="cuda:63")) as engine:
        while engine.state is State.STARTING:
            await asyncio.sleep(0.01)
        assert "the engine stopped: it does not see its device" in engine.trouble


async def test_closing_the_engine_fails_what_is_in_flight_and_leaves_no_process() -> None:
    async with running() as engine:
        long = await stepping(engine, "long", LONG)
        pid = worker().pid
        if (score := Path(f"/proc/{pid}/oom_score_adj")).exists():
            assert score.read_text("ascii").strip() == "500"  # the kernel ends it before the server
    assert fault([event async for event in long][-1]) is Kind.FAILED
    assert not psutil.pid_exists(pid)
