"""The server itself is killed, stands still, or is joined by another."""

import asyncio
import time
from typing import Any

import pytest

from resilience.calls import caller, painting
from resilience.conftest import Watching
from resilience.peers import Receiver, listening
from resilience.servers import Server

pytestmark = pytest.mark.anyio

JOBS = 8
LONG: dict[str, Any] = {"num_inference_steps": 12, "image_size": {"width": 256, "height": 256}}
PAUSE = 12.0  # seconds; a claim counts for 10
PAUSED = f"The server is stopped for {PAUSE:.0f} s while it paints, and goes on"
ON = {"plain": f"{PAUSED} (SQLite)", "on_postgres": f"{PAUSED} (PostgreSQL)"}


@pytest.mark.fault("The server (with pico) is killed while it paints, and started again")
async def test_killed(pico: Server, watched: Watching) -> None:
    receiver = Receiver()
    async with listening(receiver) as url, caller(pico, **LONG) as someone:
        ids = [await someone.submit_one(f"{url}/{n}", seed=n) for n in range(JOBS)]
        await someone.all_begun(ids[:1])
        pico.kill()
        began = time.monotonic()
        pico.start()
        pico.live()
        seconds = time.monotonic() - began
        with watched(pico) as watch:
            assert await someone.all_painted(ids) == JOBS
            await receiver.all_told(JOBS)
            assert receiver.told == {f"/{n}": {id} for n, id in enumerate(ids)}
            watch.happened = (
                f"It answered again after {seconds:.1f} s; all {JOBS} jobs of the queue were "
                "painted, and their webhooks told, each by its own id."
            )


@pytest.mark.fault(*ON.values())
async def test_paused(plain: Server, on_postgres: Server, watched: Watching) -> None:
    with (
        watched(plain, ON["plain"]) as here,
        watched(on_postgres, ON["on_postgres"]) as there,
    ):
        async with (
            caller(plain, num_inference_steps=50) as one,
            caller(on_postgres, num_inference_steps=50) as other,
        ):
            work = [await painting(plain, one), await painting(on_postgres, other)]
            with here.kept_away(), there.kept_away(), plain.stopped(), on_postgres.stopped():
                await asyncio.sleep(PAUSE)  # this is the fault
            for someone, (ids, calls) in zip((one, other), work, strict=True):
                await someone.all_answered(ids, calls)
        here.happened = there.happened = (
            "All jobs being painted and all calls that waited were finished; none was cancelled."
        )
