"""Many ask at once: each of the others has their turn, and what was kept is given at once."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from resilience.calls import Caller, caller
from resilience.conftest import Watching
from resilience.peers import picture
from resilience.servers import Server

pytestmark = pytest.mark.anyio

FLOOD, SIDE = 40, 1024
SMALL = {"width": 64, "height": 64}
JOBS = 300
WAITING = 48


@pytest.mark.fault(f"{FLOOD} pictures of {SIDE} px sent to AUTOMATIC1111's API at once")
async def test_flood(plain: Server, watched: Watching) -> None:
    image = base64.b64encode(picture(SIDE)).decode()
    async with caller(plain, None) as someone:
        with watched(plain) as watch:
            body = {"init_images": [image], "prompt": "a cat", "steps": 2} | {
                "width": 64,
                "height": 64,
            }
            calls = [
                someone.client.post("/sdapi/v1/img2img", json=body | {"seed": seed})
                for seed in range(FLOOD)
            ]
            replies = await asyncio.gather(*calls)
            painted = sum(reply.status_code == 200 for reply in replies)
            refused = [reply for reply in replies if reply.status_code in (429, 503)]
            assert painted + len(refused) == FLOOD, [each.text for each in replies]
            assert painted > 0
            assert all("retry-after" in reply.headers for reply in refused)
            watch.happened = f"{painted} were painted, {len(refused)} told to come again."


@pytest.mark.fault(f"One caller's {JOBS} jobs, and then another's one")
async def test_many_jobs(plain: Server, watched: Watching) -> None:
    async with (
        caller(plain, "many", num_inference_steps=50) as many,
        caller(plain, "one", num_inference_steps=30) as one,
    ):
        with watched(plain) as watch:
            ids = await many.submit(JOBS)
            assert await one.all_painted(await one.submit(1)) == 1
            waiting = int(plain.metric("imagemill_queue_depth"))
            assert waiting > 0
            watch.happened = f"It was painted while {waiting} of the {JOBS} still waited."
            await many.cancel(ids)


@asynccontextmanager
async def crowd(someone: Caller) -> AsyncIterator[list[int]]:
    """Callers who wait, and ask again as soon as they are answered; the statuses of answers."""
    statuses = list[int]()

    async def again(number: int) -> None:
        while True:
            reply = await someone.wait_for(number)
            statuses.append(reply.status_code)
            number += WAITING

    tasks = [asyncio.create_task(again(number)) for number in range(WAITING)]
    try:
        yield statuses
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.fault(f"{WAITING} callers who wait and ask again without end, and a job of the queue")
async def test_waiting_callers(plain: Server, watched: Watching) -> None:
    async with (
        caller(plain, "crowd", num_inference_steps=10) as many,
        caller(plain, "one", num_inference_steps=10) as one,
        crowd(many) as statuses,
    ):
        with watched(plain) as watch:
            assert await one.all_painted(await one.submit(4)) == 4
            assert set(statuses) == {200}
            watch.happened = f"It was painted after {len(statuses)} of their pictures."
