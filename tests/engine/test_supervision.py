"""The engine's supervisor never gives up, and fails nobody for what others did: real processes,
which paint nothing (`tests.stub_engines`)."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from imagemill.engine.events import Begun, Event, Failed, Finished, HeldBack, State
from imagemill.engine.ipc import Options
from imagemill.engine.link import Entry
from imagemill.engine.process import EngineProcess
from imagemill.engine.watchdog import Timeouts
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from tests.stub_engines import failing, gated, silent, stub

pytestmark = pytest.mark.anyio


class Naps:
    """Sleeps at once, and remembers for how long."""

    def __init__(self) -> None:
        self.now, self.taken = 0.0, list[float]()

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@asynccontextmanager
async def running(
    entry: Entry = stub,
    timeouts: Timeouts = Timeouts(beat=0.05),  # noqa: B008 frozen
    preload: tuple[str, ...] = ("good",),
    naps: Naps | None = None,
) -> AsyncIterator[EngineProcess]:
    naps = naps or Naps()
    engine = EngineProcess(Options(preload=preload), timeouts, entry, naps.clock, naps.sleep)
    await engine.start()
    try:
        async with asyncio.timeout(60):
            yield engine
    finally:
        await engine.close()


def asked(prompt: str, seed: int = 0, steps: int = 3) -> Generation:
    return Generation(prompt, "a/b", 64, 64, steps, 1.0, seed)


async def events(engine: EngineProcess, id: str, what: Generation, source: str) -> list[Event]:
    return [event async for event in engine.submit(id, what, source)]


def paint(
    engine: EngineProcess, prompt: str, id: str = "x", source: str = "good", steps: int = 3
) -> asyncio.Task[list[Event]]:
    return asyncio.create_task(events(engine, id, asked(prompt, steps=steps), source))


def fault(events: list[Event]) -> Fault:
    last = events[-1]
    assert isinstance(last, Failed), last
    return last.fault


def finished(events: list[Event]) -> bool:
    return isinstance(events[-1], Finished)


def deaths(events: list[Event]) -> int:
    """That the work saw: it was begun once more after each."""
    return sum(isinstance(event, Begun) for event in events) - 1


async def until(holds: Callable[[], bool]) -> None:
    """Between looks at another process."""
    while not holds():
        await asyncio.sleep(0.01)


def child() -> psutil.Process | None:
    """The engine that was started last: a suite beside this one may have its own."""
    children = sorted(psutil.Process().children(), key=psutil.Process.create_time, reverse=True)
    return next((each for each in children if "spawn_main" in " ".join(each.cmdline())), None)


async def test_what_kills_the_engine_fails_alone_and_all_its_neighbours_finish() -> None:
    async with running() as engine:
        neighbours = [paint(engine, "a cat", f"cat{n}") for n in range(31)]
        killer = paint(engine, "kills", "killer")
        told = fault(await killer)
        assert all(map(finished, await asyncio.gather(*neighbours)))
        assert told.kind is Kind.FAILED
        assert "the engine stopped whenever it painted this" in told.message
        assert deaths(await killer) <= 6  # of 32, by halves
        again = fault(await paint(engine, "kills", "again"))
        assert "not tried again" in again.message
        assert again.retry_after
        assert finished(await paint(engine, "a dog"))


async def test_who_kills_alone_is_failed_at_the_third_death() -> None:
    async with running() as engine:
        told = await paint(engine, "kills")
        assert (deaths(told), fault(told).kind) == (2, Kind.FAILED)


async def test_two_starts_that_die_and_one_that_works(tmp_path: Path) -> None:
    naps = Naps()
    async with running(partial(failing, tmp_path / "starts", 4), naps=naps) as engine:
        assert finished(await paint(engine, "a cat"))
        assert engine.state is State.READY
    assert naps.taken == [0.0, 1.0, 2.0, 4.0]


async def test_while_it_rests_the_engine_says_when_it_is_started_again(tmp_path: Path) -> None:
    naps, resting = Naps(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        if seconds:
            resting.set()
            await asyncio.Event().wait()

    engine = EngineProcess(
        Options(), Timeouts(), partial(failing, tmp_path / "starts", 9), naps.clock, sleep
    )
    await engine.start()
    await resting.wait()
    assert (engine.state, engine.resting) == (State.DEGRADED, 1.0)
    assert engine.trouble == (
        "the engine stopped: it ended with exit code 5; it is started again in 1 seconds"
    )
    waiting = paint(engine, "a cat")
    await engine.close()
    assert fault(await waiting).kind is Kind.FAILED


async def test_kills_from_outside_are_nobody_s_fault(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with running(partial(gated, gate)) as engine:
        tasks = [paint(engine, "a cat", f"cat{n}") for n in range(4)]
        for number in (signal.SIGKILL, signal.SIGTERM) * 4:
            await until(lambda: len(engine._suspects.running) == 4)
            process = child()
            assert process is not None
            os.kill(process.pid, number)
            await until(lambda: engine.state is State.DEGRADED)
        gate.touch()
        ends = await asyncio.gather(*tasks)
        assert all(map(finished, ends))
        assert [deaths(end) for end in ends] == [8] * 4


async def test_work_is_held_back_from_a_death_until_it_is_tried_again(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with running(partial(gated, gate)) as engine:
        tasks = [paint(engine, "a cat", f"cat{n}") for n in range(4)]
        await until(lambda: len(engine._suspects.running) == 4)
        process = child()
        assert process is not None
        os.kill(process.pid, signal.SIGSEGV)
        await until(lambda: len(engine._suspects.running) == 2)
        gate.touch()
        for told in await asyncio.gather(*tasks):
            assert told[:3] == [Begun(), HeldBack(), Begun()]
            assert finished(told)
        unaccused = await paint(engine, "a dog", "dog")
        assert HeldBack() not in unaccused


@pytest.mark.parametrize("how", ["hangs", "stops"])
async def test_an_engine_that_hangs_is_killed_and_its_neighbours_are_painted(how: str) -> None:
    timeouts = Timeouts(step=0.5, silence=0.5, beat=0.05)
    engine = EngineProcess(Options(), timeouts, stub)
    await engine.start()
    async with asyncio.timeout(60):
        hanging, neighbour = paint(engine, how, "hangs"), paint(engine, "a cat", steps=4)
        assert finished(await neighbour)
        assert fault(await hanging).kind is Kind.FAILED
    await engine.close()


async def test_an_engine_that_hangs_while_it_starts_is_started_again() -> None:
    naps = Naps()
    timeouts = Timeouts(step=0.3, silence=0.1, beat=0.05)
    engine = EngineProcess(Options(), timeouts, silent, sleep=naps.sleep)
    await engine.start()
    async with asyncio.timeout(60):
        await until(lambda: len(naps.taken) >= 2)
    assert "it gave no sign of life" in engine.trouble
    await engine.close()


async def test_a_model_that_kills_while_it_is_loaded_is_left_out() -> None:
    async with running(preload=("deadly", "good")) as engine:
        assert finished(await paint(engine, "a cat"))
        assert (engine.state, engine.trouble) == (
            State.READY, "1 of 2 models could not be loaded; the server's log tells why",
        )  # fmt: skip
        told = fault(await paint(engine, "a cat", source="deadly"))
        assert (told.kind, told.retry_after) == (Kind.LOADING, 29.0)  # a second on, which it rested
        assert "it is set aside; try again in 29 seconds" in told.message


async def test_a_model_that_kills_when_it_is_wanted_takes_nobody_with_it() -> None:
    async with running() as engine:
        bad = [paint(engine, "a cat", f"bad{n}", "deadly") for n in range(4)]
        good = [paint(engine, "a cat", f"good{n}") for n in range(4)]
        assert all(map(finished, await asyncio.gather(*good)))
        assert {fault(each).kind for each in await asyncio.gather(*bad)} == {Kind.LOADING}
        assert max(deaths(each.result()) for each in bad) <= 2


async def test_a_model_that_is_never_loaded_is_given_up_and_the_others_are_painted() -> None:
    engine = EngineProcess(Options(), Timeouts(load=0.3, beat=0.05), stub)
    await engine.start()
    async with asyncio.timeout(60):
        bad = [paint(engine, "a cat", f"bad{n}", "endless") for n in range(400)]
        good = paint(engine, "a cat", "good")
        for told in map(fault, await asyncio.gather(*bad)):
            assert told.kind is Kind.LOADING
            assert told.retry_after == pytest.approx(30.0, abs=1)
            assert told.message.startswith(
                "the model was not loaded within the 0.3 seconds that the setting load_timeout "
                "gives it, so it is set aside; try again in"
            )
        assert finished(await good)
        assert [deaths(each.result()) for each in (good, *bad)] == [1, *[0] * len(bad)]
        again = fault(await paint(engine, "a dog", "again", "endless"))
        assert "was not loaded within" in again.message
    await engine.close()


async def test_a_server_whose_only_model_is_never_loaded_says_so() -> None:
    engine = EngineProcess(Options(preload=("endless",)), Timeouts(load=0.3, beat=0.05), stub)
    await engine.start()
    async with asyncio.timeout(60):
        assert finished(await paint(engine, "a cat"))
    assert (engine.state, engine.trouble) == (
        State.READY,
        "1 of 1 models could not be loaded; the model was not loaded within the 0.3 seconds "
        "that the setting load_timeout gives it",
    )
    await engine.close()


async def test_work_that_is_submitted_again_is_not_cancelled_with_the_first(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    async with running(partial(gated, gate)) as engine:
        first = paint(engine, "a cat")
        await until(lambda: bool(engine._suspects.running))
        engine.cancel("x")
        second = paint(engine, "a cat")
        assert fault(await first).kind is Kind.CANCELLED
        gate.touch()
        assert finished(await second)
