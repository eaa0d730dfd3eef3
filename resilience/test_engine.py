"""The engine dies, hangs, or does not start; by itself, by a job, or by somebody's hand."""

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from resilience.calls import CALLS, JOBS, caller, painting, until_async
from resilience.conftest import Watching
from resilience.launcher import SILENCE
from resilience.servers import Server, running

pytestmark = pytest.mark.anyio

NEIGHBOURS, STARTS = 15, 2
LONG: dict[str, Any] = {"num_inference_steps": 12, "image_size": {"width": 256, "height": 256}}
ALL = f"All {JOBS} jobs of the queue and {CALLS} calls that waited were painted."


@pytest.fixture(scope="module")
def dying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose engine, a process, dies as it is told."""
    with running(Server(tmp_path_factory.mktemp("dying"), options=("--engine", "dying"))) as server:
        yield server


async def replaced(server: Server, pid: int) -> float:
    """Seconds until another engine is ready."""
    began = time.monotonic()
    await until_async(lambda: server.engine not in (0, pid) and server.health()["ready"])
    return time.monotonic() - began


@pytest.mark.fault("The engine (pico) is killed while it paints")
async def test_killed(pico: Server, watched: Watching) -> None:
    async with caller(pico, **LONG) as someone:
        ids, calls = await painting(pico, someone)
        with watched(pico) as watch:
            first = pico.signal_engine(signal.SIGKILL)
            seconds = await replaced(pico, first)
            await someone.all_answered(ids, calls)
            watch.happened = f"Another was ready after {seconds:.0f} s. {ALL}"


@pytest.mark.fault("The engine (pico) hangs: it is stopped while it paints")
async def test_hangs(pico: Server, watched: Watching) -> None:
    async with caller(pico, **LONG) as someone:
        ids, calls = await painting(pico, someone)
        with watched(pico) as watch:
            first = pico.signal_engine(signal.SIGSTOP)
            seconds = await replaced(pico, first)
            await someone.all_answered(ids, calls)
            watch.happened = (
                f"Noticed after {SILENCE:.0f} s without a sign of life (here; a minute by "
                f"default), and killed; another was ready after {seconds:.0f} s. {ALL}"
            )


@pytest.mark.fault(f"The engine is killed, and dies {STARTS} times as it is started again")
async def test_dies_as_it_starts(dying: Server, watched: Watching) -> None:
    async with caller(dying) as someone:
        with watched(dying) as watch:
            (dying.folder / "deaths").write_text(str(STARTS), "ascii")
            first = dying.signal_engine(signal.SIGKILL)
            await until_async(lambda: dying.health()["model"] == "degraded")
            impatient = await someone.wait_for(0)
            assert impatient.status_code == 503, impatient.text
            assert "retry-after" in impatient.headers
            ids = await someone.submit(JOBS)
            assert {await someone.status(id) for id in ids} == {"IN_QUEUE"}
            seconds = await replaced(dying, first)
            assert await someone.all_painted(ids) == JOBS
            watch.happened = (
                "`/health` said `degraded`; who waited was told when to come again; "
                f"the third start, after {seconds:.0f} s, painted the {JOBS} jobs sent meanwhile."
            )


@pytest.mark.fault(f"A job that kills the engine, among {NEIGHBOURS} others")
async def test_killed_by_a_job(dying: Server, watched: Watching) -> None:
    async with caller(dying) as someone:
        with watched(dying) as watch:
            (dying.folder / "gate").unlink()
            before = await someone.submit(7)
            killer = await someone.submit_one(prompt="kills")
            after = await someone.submit(8)
            await someone.all_begun([*before, killer, *after])
            (dying.folder / "gate").touch()
            assert await someone.all_painted(before + after) == NEIGHBOURS
            failed = await someone.result(killer)
            assert failed.status_code == 500, failed.text
            assert "the engine stopped whenever it painted this" in failed.text
            again = await someone.wait_for(0, prompt="kills")
            assert "so it is not tried again" in again.text
            watch.happened = (
                f"It alone failed; all {NEIGHBOURS} others were painted. The same again was "
                "refused at once."
            )
