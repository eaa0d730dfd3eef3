"""Too many callers, and callers who hang up: neither harms the others."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from imagemill.app import create_app
from imagemill.settings import Settings
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

HF, FLAT = "/models/a/b", "/"


@pytest.mark.parametrize("path", [HF, FLAT])
async def test_of_200_requests_at_once_each_is_painted_or_told_when_to_come_again(
    serving: Serving, path: str
) -> None:
    engine = PlainEngine()
    async with serving(engine, queue=16) as client:
        replies = await asyncio.gather(
            *(client.post(path, json={"inputs": f"cat number {n}"}) for n in range(200))
        )
        health = await client.get("/health")
        after = await client.post(path, json={"inputs": "one more cat"})
    counted = Counter(reply.status_code for reply in replies)
    assert set(counted) == {200, 429}
    assert counted[200] >= 16
    assert len(engine.submitted) == counted[200] + 1
    for reply in replies:
        if reply.status_code == 429:
            assert int(reply.headers["retry-after"]) >= 1
            assert "the queue is full, with 16 of 16" in reply.json()["error"]
    assert health.json()["ready"]
    assert after.status_code == 200


async def test_200_callers_of_one_picture_are_all_served_by_a_queue_of_one(
    serving: Serving,
) -> None:
    engine = PlainEngine()
    async with serving(engine, queue=1) as client:
        replies = await asyncio.gather(
            *(client.post(HF, json={"inputs": "a cat"}) for _ in range(200))
        )
    assert {reply.status_code for reply in replies} == {200}
    assert len(engine.submitted) == 1


class Caller:
    """One request as a server hands it to the application; `hang_up` ends it."""

    def __init__(self, path: str, body: dict[str, Any]) -> None:
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }
        self.gone = asyncio.Event()
        self.sent: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": json.dumps(body).encode()}
        ]

    async def receive(self) -> dict[str, Any]:
        if self.messages:
            return self.messages.pop()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


@pytest.mark.parametrize("path", [HF, FLAT])
async def test_a_caller_who_hangs_up_stops_the_work_within_two_steps(
    tmp_path: Path, path: str
) -> None:
    engine = PlainEngine(hold_at=3)
    app = create_app(Settings(data_dir=tmp_path), engine)
    caller = Caller(path, {"inputs": "a cat"})
    async with app.router.lifespan_context(app):
        call = asyncio.create_task(app(caller.scope, caller.receive, caller.send))
        await engine.reached("a cat", 3)
        caller.gone.set()
        engine.gate.set()
        await call
    assert engine.steps["a cat"] <= 3 + 2
    assert engine.cancelled
    assert [each["status"] for each in caller.sent if "status" in each] == [499]


@pytest.mark.parametrize("path", [HF, FLAT])
async def test_nobody_learns_from_the_cache_what_another_has_asked(
    serving: Serving, path: str
) -> None:
    engine = PlainEngine()
    body: dict[str, Any] = {"inputs": "a cat"} | ({"seed": 1} if path == FLAT else {})
    async with serving(engine) as client:
        told = []
        for key in ("a", "b", None, "a", None):
            headers = {"authorization": f"Bearer {key}"} if key else {}
            reply = await client.post(path, json=body, headers=headers)
            told.append(reply.headers["x-imagemill-cache"])
    assert told == ["miss", "miss", "miss", "hit", "hit"]
    assert len(engine.submitted) == 3


async def test_nobody_waits_for_what_another_asked_nor_is_left_when_they_go(
    tmp_path: Path,
) -> None:
    engine = PlainEngine()
    engine.gate.clear()
    app = create_app(Settings(data_dir=tmp_path), engine)
    leaving, staying = (Caller(HF, {"inputs": "a cat", "parameters": {"seed": 1}}) for _ in "ab")
    staying.scope["headers"] = [*staying.scope["headers"], (b"authorization", b"Bearer b")]
    async with app.router.lifespan_context(app):
        calls = [
            asyncio.create_task(app(each.scope, each.receive, each.send))
            for each in (leaving, staying)
        ]
        await engine.asked(2)
        leaving.gone.set()
        await calls[0]
        engine.gate.set()
        await calls[1]
    assert [each["status"] for each in staying.sent if "status" in each] == [200]


async def test_a_caller_who_hangs_up_leaves_the_work_to_another_who_waits_for_it(
    tmp_path: Path,
) -> None:
    engine = PlainEngine(hold_at=3)
    app = create_app(Settings(data_dir=tmp_path), engine)
    leaving, staying = (Caller(HF, {"inputs": "a cat"}) for _ in range(2))
    async with app.router.lifespan_context(app):
        calls = [
            asyncio.create_task(app(each.scope, each.receive, each.send))
            for each in (leaving, staying)
        ]
        await engine.reached("a cat", 3)
        leaving.gone.set()
        await calls[0]
        engine.gate.set()
        await calls[1]
    assert (len(engine.submitted), engine.cancelled) == (1, [])
    assert staying.sent[0]["status"] == 200


async def test_a_caller_who_hangs_up_before_the_body_is_there_costs_nothing(tmp_path: Path) -> None:
    engine = PlainEngine()
    app = create_app(Settings(data_dir=tmp_path), engine)
    caller = Caller(FLAT, {})
    caller.messages = [{"type": "http.request", "body": b'{"inputs"', "more_body": True}]
    caller.gone.set()
    async with app.router.lifespan_context(app):
        await app(caller.scope, caller.receive, caller.send)
    assert engine.submitted == []
    assert caller.sent[0]["status"] == 499
