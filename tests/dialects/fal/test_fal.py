"""fal's door: run, stream, queue, errors, in a whole server without a socket."""

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from imagemill.dialects.fal.vocabulary import CODES, ERRORS, STATUSES
from imagemill.engine.events import State
from imagemill.errors import Kind
from imagemill.job import Status
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

APP = "fal-ai/flux/schnell"
SMALL: dict[str, Any] = {
    "prompt": "a cat",
    "image_size": {"width": 64, "height": 64},
    "num_inference_steps": 2,
    "seed": 7,
}
KEY = {"authorization": "Key id:secret"}


async def submit(client: httpx.AsyncClient, app: str = APP, **options: Any) -> dict[str, Any]:
    reply = await client.post(f"/fal/queue/{app}", json=SMALL, headers=KEY, **options)
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


async def ended(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    """The last status, when there will be no other."""
    async with asyncio.timeout(30):
        while True:
            reply = await client.get(body["status_url"], params={"logs": 1}, headers=KEY)
            status: dict[str, Any] = reply.json()
            assert reply.status_code == (200 if status["status"] == "COMPLETED" else 202)
            if status["status"] == "COMPLETED":
                return status
            await asyncio.sleep(0)


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def test_there_is_a_word_for_every_state_and_every_error() -> None:
    assert set(STATUSES) == set(CODES) == set(Status)
    assert set(ERRORS) == set(Kind)


async def test_run_answers_with_the_output(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"/fal/run/{APP}", json=SMALL)
        assert reply.status_code == 200
        assert reply.headers["x-fal-request-id"]
        output = reply.json()
        assert (output["seed"], output["prompt"]) == (7, "a cat")
        assert output["has_nsfw_concepts"] == [False]
        (image,) = output["images"]
        assert (image["width"], image["height"]) == (64, 64)
        file = await client.get(image["url"])
        assert file.headers["content-type"] == image["content_type"]


async def test_a_request_is_queued_told_of_and_collected(serving: Serving) -> None:
    engine = PlainEngine()
    engine.gate.clear()
    async with serving(engine) as client:
        body = await submit(client)
        assert body["status"] == "IN_QUEUE"
        assert "?" not in body["status_url"]
        await engine.asked(1)
        waiting = await client.get(body["status_url"], headers=KEY)
        assert (waiting.status_code, waiting.json()["status"]) == (202, "IN_PROGRESS")
        assert waiting.json()["logs"] is None
        early = await client.get(body["response_url"], headers=KEY)
        assert (early.status_code, early.json()["detail"]) == (400, "Request is still in progress")
        engine.gate.set()
        status = await ended(client, body)
        assert [line["message"] for line in status["logs"]][-1].startswith("painted by pico")
        assert status["metrics"]["inference_time"] == 0.25
        for url in (body["response_url"], body["response_url"] + "/response/"):
            result = await client.get(url, headers=KEY)
            assert result.headers["x-fal-request-id"] == body["request_id"]
            assert result.json()["seed"] == 7


async def test_somebody_else_s_request_is_not_there(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = await submit(client)
        await ended(client, body)
        for url in (body["status_url"], body["response_url"]):
            for headers in ({}, {"authorization": "Key other:secret"}):
                assert (await client.get(url, headers=headers)).status_code == 404
        gone = await client.put(body["cancel_url"], headers={"authorization": "Key x:y"})
        assert gone.status_code == 404


async def test_cancelling_in_every_state(serving: Serving) -> None:
    engine = PlainEngine(hold_at=1)
    async with serving(engine, running=1) as client:
        running, queued = await submit(client), await submit(client)
        await engine.reached("a cat", 1)
        replies = [
            await client.put(body["cancel_url"], headers=KEY) for body in (queued, running, queued)
        ]
        engine.gate.set()
        assert [reply.json()["status"] for reply in replies] == [
            "OK", "CANCELLATION_REQUESTED", "ALREADY_COMPLETED",
        ]  # fmt: skip
        assert [reply.status_code for reply in replies] == [200, 202, 400]
        for body in (queued, running):
            status = await ended(client, body)
            assert status["error_type"] == "client_cancelled"
            assert (await client.get(body["response_url"], headers=KEY)).status_code == 499


async def test_what_is_low_waits_for_what_is_not(serving: Serving) -> None:
    engine = PlainEngine(hold_at=1)
    async with serving(engine, running=1) as client:
        first = await submit(client)
        await engine.reached("a cat", 1)
        low = await submit(client, params={}, extensions={})
        reply = await client.post(
            f"/fal/queue/{APP}", json=SMALL, headers=KEY | {"x-fal-queue-priority": "low"}
        )
        normal = await submit(client)
        assert [body["queue_position"] for body in (low, reply.json(), normal)] == [0, 1, 1]
        engine.gate.set()
        await asyncio.gather(*(ended(client, body) for body in (first, low, normal, reply.json())))


async def test_a_request_that_is_not_begun_in_time_has_timed_out(serving: Serving) -> None:
    engine = PlainEngine(hold_at=1)
    async with serving(engine, running=1) as client:
        first = await submit(client)
        await engine.reached("a cat", 1)
        headers = KEY | {"x-fal-request-timeout": "0.2"}
        late = (await client.post(f"/fal/queue/{APP}", json=SMALL, headers=headers)).json()
        assert (await ended(client, late))["error_type"] == "request_timeout"
        result = await client.get(late["response_url"], headers=KEY)
        assert result.status_code == 504
        assert result.headers["x-fal-request-timeout-type"] == "user"
        engine.gate.set()
        await ended(client, first)


async def test_a_full_queue_refuses_who_asks_for_a_short_one(serving: Serving) -> None:
    engine = PlainEngine(hold_at=1)
    async with serving(engine, running=1) as client:
        first = await submit(client)
        await engine.reached("a cat", 1)
        others = [await submit(client) for _ in range(2)]
        refused = await client.post(
            f"/fal/queue/{APP}", json=SMALL, headers=KEY, params={"fal_max_queue_length": 1}
        )
        assert refused.status_code == 429
        engine.gate.set()
        await asyncio.gather(*(ended(client, body) for body in (first, *others)))


async def test_a_stream_of_states_ends_with_the_end(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = await submit(client)
        reply = await client.get(body["status_url"] + "/stream", params={"logs": 1}, headers=KEY)
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.text.isascii()
        seen = events(reply.text)
        assert seen[-1]["status"] == "COMPLETED"
        assert [event["status"] for event in seen].count("COMPLETED") == 1
        messages = [line["message"] for event in seen for line in event.get("logs") or []]
        assert len(messages) == len(set(messages))


async def test_a_stream_ends_with_the_output(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"/fal/run/{APP}/stream", json=SMALL)
        assert events(reply.text)[-1]["seed"] == 7


async def test_pictures_within_the_answer_when_asked_for(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"/fal/run/{APP}", json=SMALL | {"sync_mode": True})
        head, _, content = reply.json()["images"][0]["url"].partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(content, validate=True).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("changes", "loc", "type"),
    [
        ({"prompt": None}, ["prompt"], "string_type"),
        ({"num_images": 0}, ["num_images"], "greater_than_equal"),
        ({"num_images": 99}, ["num_images"], "less_than_equal"),
        ({"num_inference_steps": "four"}, ["num_inference_steps"], "int_parsing"),
        ({"seed": 2**64}, ["seed"], "less_than_equal"),
        ({"output_format": "tiff"}, ["output_format"], "one_of"),
        ({"image_size": "huge"}, ["image_size"], None),
        ({"image_size": {"width": 63, "height": 64}}, ["image_size"], None),
    ],
)
async def test_what_is_wrong_is_named(
    serving: Serving, changes: dict[str, Any], loc: list[str], type: str | None
) -> None:
    async with serving(PlainEngine()) as client:
        for place in ("run", "queue"):
            reply = await client.post(f"/fal/{place}/{APP}", json=SMALL | changes)
            assert reply.status_code == 422
            details = reply.json()["detail"]
            assert all(each["loc"][: len(loc) + 1] == ["body", *loc] for each in details)
            assert type is None or details[0]["type"] == type
            assert all(each["url"].endswith(each["type"]) for each in details)


@pytest.mark.parametrize(
    "body", [b"", b"nope", b"[1]", b'"a cat"', b"\xff\xfe", b'{"prompt": NaN}']
)
async def test_a_body_that_is_no_input_is_told(serving: Serving, body: bytes) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"/fal/queue/{APP}", content=body)
        assert reply.status_code == 422
        assert reply.json()["detail"][0]["loc"][0] == "body"


@pytest.mark.parametrize("path", ["x", "a/b/requests/c", "a b/c", "fal-ai/flux/schnell/requests"])
async def test_an_unknown_application_is_not_there(serving: Serving, path: str) -> None:
    async with serving(PlainEngine()) as client:
        assert (await client.post(f"/fal/run/{path}", json=SMALL)).status_code == 404


async def test_a_key_of_another_form_is_refused(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(
            f"/fal/run/{APP}", json=SMALL, headers={"authorization": "Basic eDp5"}
        )
        assert reply.status_code == 401


async def test_work_goes_back_to_the_queue_when_the_server_stops(
    serving: Serving,
) -> None:
    engine = PlainEngine(hold_at=1)
    async with serving(engine, shutdown_time=0) as client:
        body = await submit(client)
        await engine.reached("a cat", 1)
    async with serving(PlainEngine()) as client:
        status = await ended(client, body)
        assert "error" not in status


async def test_a_dead_engine_leaves_the_queue_as_it_is(serving: Serving) -> None:
    async with serving(PlainEngine(State.DEAD)) as client:
        body = await submit(client)
        reply = await client.get(body["status_url"], headers=KEY)
        assert reply.json()["status"] == "IN_QUEUE"
