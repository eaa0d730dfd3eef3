"""Several engines as one: where generations go, and what one engine's death is to the others. Real
processes, which paint nothing (`tests.stub_engines`)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from imagemill.engine.engines import Engines
from imagemill.engine.events import Begun, Event, Finished, State
from imagemill.engine.ipc import Options
from imagemill.engine.link import Entry
from imagemill.engine.placing import LOADING, Candidate, best
from imagemill.engine.process import EngineProcess, set_aside
from imagemill.engine.watchdog import Timeouts
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.model_spec import ModelSpec
from tests.engine.test_supervision import Naps, deaths, fault, until
from tests.stub_engines import gated_each, lost, stub

pytestmark = pytest.mark.anyio

DEVICES = ("cuda:0", "cuda:1")


class Rests(Naps):
    """Whatever has to rest does so for good."""

    async def sleep(self, seconds: float) -> None:
        if seconds:
            await asyncio.Event().wait()


@asynccontextmanager
async def running(
    entry: Entry = stub, preload: tuple[str, ...] = (), ready: tuple[str, ...] = DEVICES
) -> AsyncIterator[Engines]:
    """ready: devices whose engines are waited for."""
    killers = set_aside()
    timeouts = Timeouts(beat=0.05)
    engines = Engines(
        {
            device: EngineProcess(
                Options(preload=preload, device=device),
                timeouts,
                entry,
                rests.clock,
                rests.sleep,
                killers,
            )
            for device, rests in ((device, Rests()) for device in DEVICES)
        },
        look=0.01,
    )
    await engines.start()
    try:
        async with asyncio.timeout(60):
            await until(lambda: all(engines.engines[each].state is State.READY for each in ready))
            yield engines
    finally:
        await engines.close()


async def events(engines: Engines, id: str, what: Generation, source: str) -> list[Event]:
    return [event async for event in engines.submit(id, what, source)]


def paint(
    engines: Engines, prompt: str = "a cat", id: str = "x", source: str = "good", side: int = 64
) -> asyncio.Task[list[Event]]:
    what = Generation(prompt, "a/b", side, side, 3, 1.0, 0)
    return asyncio.create_task(events(engines, id, what, source))


def gpu(told: list[Event]) -> str:
    """By which it was painted, as CUDA numbers them."""
    last = told[-1]
    assert isinstance(last, Finished), last
    return last.painted.served_by


def works(engines: Engines) -> list[int]:
    """How many generations each engine has."""
    return [len(each._in_flight) for each in engines.engines.values()]


def test_a_model_that_is_there_is_worth_waiting_for() -> None:
    far = Candidate(work=LOADING - 1, has=True)
    assert best({"away": Candidate(), "there": far}) == "there"


def test_a_model_is_loaded_once_more_where_its_engine_has_too_much_to_do() -> None:
    assert best({"there": Candidate(work=LOADING + 1, has=True), "away": Candidate()}) == "away"


def test_of_two_that_have_the_model_the_idler_one_paints() -> None:
    assert best({"a": Candidate(work=2, has=True), "b": Candidate(work=1, has=True)}) == "b"


def test_a_new_model_goes_where_fewer_models_are() -> None:
    assert best({"a": Candidate(models=2), "b": Candidate(models=1)}) == "b"


def test_an_engine_that_cannot_paint_it_is_the_last_choice() -> None:
    assert best({"a": Candidate(refuses=True), "b": Candidate(work=9 * LOADING)}) == "b"
    assert best({"a": Candidate(ready=False), "b": Candidate(work=9 * LOADING)}) == "b"
    assert best({"a": Candidate(ready=False, resting=9), "b": Candidate(ready=False)}) == "b"


async def test_a_job_goes_where_its_model_is_and_each_process_sees_its_device_alone() -> None:
    async with running() as engines:
        assert gpu(await paint(engines, source="one")) == "0"
        assert gpu(await paint(engines, source="two")) == "1"  # where fewer models are
        assert gpu(await paint(engines, source="two")) == "1"
        assert gpu(await paint(engines, source="one")) == "0"


async def test_a_model_that_both_have_is_painted_by_both(tmp_path: Path) -> None:
    async with running(partial(gated_each, tmp_path), preload=("good",)) as engines:
        tasks = [paint(engines, id=f"{n}") for n in range(6)]
        await until(lambda: sum(works(engines)) == 6)
        assert works(engines) == [3, 3]
        for device in DEVICES:
            (tmp_path / device).touch()
        assert sorted(map(gpu, await asyncio.gather(*tasks))) == ["0"] * 3 + ["1"] * 3


async def test_a_model_of_which_much_is_wanted_is_loaded_on_the_second_device(
    tmp_path: Path,
) -> None:
    async with running(partial(gated_each, tmp_path)) as engines:
        tasks = [paint(engines, id=f"{n}", side=2048) for n in range(20)]  # 12 megapixels each
        await until(lambda: sum(works(engines)) == 20)
        assert works(engines) == [17, 3]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert works(engines) == [0, 0]


async def test_the_table_of_a_model_says_where_it_is() -> None:
    async with running() as engines:
        source = ModelSpec("one", device="cuda:1").address
        assert engines.warm(source) > 0
        assert gpu(await paint(engines, source=source)) == "1"
        assert engines.warm(source) == 0
        assert gpu(await paint(engines, source="one")) == "1"  # the same weights
        told = fault(await paint(engines, source=ModelSpec("one", device="cuda:7").address))
        assert told.kind is Kind.UNSUPPORTED


async def test_the_death_of_an_engine_is_none_of_the_others_business(tmp_path: Path) -> None:
    async with running(partial(gated_each, tmp_path), preload=("good",)) as engines:
        first, second = paint(engines, "kills", "a"), paint(engines, "a cat", "b")
        await until(lambda: works(engines) == [1, 1])
        (tmp_path / "cuda:0").touch()
        told = await first
        assert (fault(told).kind, deaths(told)) == (Kind.FAILED, 2)
        again = fault(
            await paint(engines, "kills", "c", ModelSpec("good", device="cuda:1").address)
        )
        assert "not tried again" in again.message  # nor by the other
        (tmp_path / "cuda:1").touch()
        assert (gpu(await second), deaths(await second)) == ("1", 0)


async def test_a_device_that_is_gone_is_named_and_the_other_paints(tmp_path: Path) -> None:
    (tmp_path / "no-cuda:1").touch()
    (tmp_path / "cuda:0").touch()
    async with running(partial(lost, tmp_path), ready=("cuda:0",)) as engines:
        gone = engines.engines["cuda:1"]
        await until(lambda: gone.state is State.DEGRADED)
        assert (engines.state, engines.resting) == (State.READY, 0.0)
        assert engines.trouble.startswith("cuda:1: the engine stopped: it does not see its device;")
        assert {gpu(await paint(engines)) for _ in range(3)} == {"0"}


async def test_what_waits_for_a_device_that_does_not_come_back_moves(tmp_path: Path) -> None:
    (tmp_path / "cuda:0").touch()
    async with running(partial(lost, tmp_path), preload=("good",)) as engines:
        busy, moved = paint(engines, id="a"), paint(engines, id="b")
        assert gpu(await busy) == "0"
        await until(lambda: works(engines) == [0, 1])
        (tmp_path / "no-cuda:1").touch()
        link = engines.engines["cuda:1"]._link
        assert link is not None
        link.kill()
        told = await moved
        assert gpu(told) == "0"
        assert sum(isinstance(event, Begun) for event in told) == 2


async def test_what_is_cancelled_stops_at_its_engine(tmp_path: Path) -> None:
    async with running(partial(gated_each, tmp_path), preload=("good",)) as engines:
        tasks = [paint(engines, id=f"{n}") for n in range(2)]
        await until(lambda: works(engines) == [1, 1])
        engines.cancel("1")
        assert fault(await tasks[1]).kind is Kind.CANCELLED
        assert works(engines) == [1, 0]
        for device in DEVICES:
            (tmp_path / device).touch()
        assert gpu(await tasks[0]) == "0"


def test_a_model_is_refused_that_has_room_nowhere() -> None:
    engines = Engines({device: EngineProcess(Options(device=device)) for device in DEVICES})
    first, second = (each.models for each in engines.engines.values())
    fault = Fault(Kind.UNSUPPORTED, "no room")
    first.refused = {"large": fault, "huge": fault}
    second.refused = {"huge": fault}
    assert engines.refusal("large") is None
    assert engines.refusal("huge") is fault
    assert engines.refusal(ModelSpec("large", device="cuda:0").address) is fault
    assert "none of the server's" in str(engines.refusal(ModelSpec("x", device="cuda:9").address))


def test_together_they_are_as_ready_as_the_readiest() -> None:
    engines = Engines({device: EngineProcess(Options(device=device)) for device in DEVICES})
    first, second = engines.engines.values()
    for states, together in {
        (State.READY, State.DEGRADED): State.READY,
        (State.STARTING, State.READY): State.READY,
        (State.STARTING, State.DEGRADED): State.STARTING,
        (State.DEGRADED, State.DEAD): State.DEGRADED,
        (State.DEAD, State.DEAD): State.DEAD,
    }.items():
        first._state, second._state = states
        assert engines.state is together
