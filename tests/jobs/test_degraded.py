"""While the engine is away and comes again: what each dialect tells, and what waits."""

import asyncio
from typing import Any

import pytest

from imagemill.engine.events import State
from imagemill.errors import Fault, Kind
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

WHY = "the engine stopped: it ended with exit code 5; it is started again in 8 seconds"
KEY = {"authorization": "Bearer key"}
SCHNELL = {"prompt": "a cat", "model": "black-forest-labs/FLUX.1-schnell"}
CALLS: dict[str, dict[str, Any]] = {
    "/hf-inference/models/a/b": {"inputs": "a cat"},
    "/flat/a/b": {"inputs": "a cat"},
    "/fal/run/fal-ai/flux/schnell": {"prompt": "a cat"},
    "/openai/v1/images/generations": {"prompt": "a cat", "model": "gpt-image-1"},
    "/together/v1/images/generations": SCHNELL,
    "/nebius/v1/images/generations": SCHNELL | {"model": "black-forest-labs/flux-schnell"},
    "/nebula/api/v1/images/generation": {"prompt": "a cat", "model_name": SCHNELL["model"]},
    "/sdapi/v1/txt2img": {"prompt": "a cat"},
}


def away() -> PlainEngine:
    return PlainEngine(State.DEGRADED, trouble=WHY, resting=8.0)


@pytest.mark.parametrize("path", CALLS)
async def test_who_waits_on_a_connection_is_told_why_and_when_to_come_again(
    serving: Serving, path: str
) -> None:
    headers = {} if path.startswith("/sdapi") else KEY
    async with serving(away()) as client:
        reply = await client.post(path, json=CALLS[path], headers=headers)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "18")
    assert WHY in reply.text


async def test_health_says_that_the_engine_is_away_and_why(serving: Serving) -> None:
    async with serving(away()) as client:
        reply = await client.get("/health")
    assert (reply.status_code, reply.json()["ready"]) == (503, False)
    assert (reply.json()["model"], reply.json()["why"]) == ("degraded", WHY)


async def test_health_says_what_a_ready_engine_lacks(serving: Serving) -> None:
    async with serving(PlainEngine(trouble="1 of 2 models could not be loaded")) as client:
        reply = await client.get("/health")
    assert (reply.status_code, reply.json()["why"]) == (200, "1 of 2 models could not be loaded")


async def test_jobs_wait_in_the_queue_until_the_engine_is_back(serving: Serving) -> None:
    engine = away()
    async with serving(engine) as client, asyncio.timeout(30):
        queue = "/fal/queue/fal-ai/flux/schnell"
        sent = (await client.post(queue, json={"prompt": "a cat"}, headers=KEY)).json()
        status = f"{queue.rsplit('/', 1)[0]}/requests/{sent['request_id']}/status"
        assert (await client.get(status, headers=KEY)).json()["status"] == "IN_QUEUE"
        assert engine.submitted == []
        engine.state = State.READY
        await engine.asked(1)


async def test_who_waits_while_the_engine_is_started_again_is_answered(serving: Serving) -> None:
    engine = PlainEngine(State.DEGRADED, trouble=WHY)
    async with serving(engine) as client, asyncio.timeout(30):
        body = {"inputs": "a cat", "options": {"wait_for_model": True}}
        call = asyncio.create_task(client.post("/models/a/b", json=body))
        impatient = await client.post("/models/a/b", json={"inputs": "a dog"})
        assert impatient.status_code == 503
        engine.state = State.READY
        assert (await call).status_code == 200


@pytest.mark.parametrize("path", CALLS)
async def test_who_wants_a_model_that_never_fits_is_told_and_does_not_wait(
    serving: Serving, path: str
) -> None:
    why = "this model takes 24.00 GB, and the server has 8.00 GB for models on cuda"
    engine = PlainEngine(refused={"pico": Fault(Kind.UNSUPPORTED, why)})
    engine.gate.clear()  # nobody would be painted for
    async with serving(engine) as client:
        reply = await client.post(
            path, json=CALLS[path], headers={} if path.startswith("/sdapi") else KEY
        )
    assert reply.status_code in (400, 422)
    assert why in reply.text
    assert engine.submitted == []


async def test_a_model_that_never_fits_makes_no_job(serving: Serving) -> None:
    engine = PlainEngine(refused={"pico": Fault(Kind.UNSUPPORTED, "no room")})
    async with serving(engine) as client:
        reply = await client.post(
            "/fal/queue/fal-ai/flux/schnell", json={"prompt": "a"}, headers=KEY
        )
    assert (reply.status_code, reply.json()["detail"][0]["msg"]) == (422, "no room")
