"""The dialect openai: streams with partial images, callers who hang up, and calls sent again."""

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from PIL import Image

from imagemill.app import create_app
from imagemill.engine.events import State
from imagemill.settings import Settings
from tests.conftest import Serving
from tests.dialects.openai.test_openai import PATH, SMALL
from tests.dialects.openai.test_openai_edits import EDITS, made, png, uri
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

STREAM = SMALL | {"stream": True, "num_inference_steps": 4}
REUSED = "a red cat"  # the prompt of all of them


def events(reply: httpx.Response) -> list[dict[str, Any]]:
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/event-stream")
    fields = [dict(line.split(": ", 1) for line in each.splitlines())
             for each in reply.text.strip().split("\n\n")]  # fmt: skip
    bodies = [json.loads(each["data"]) for each in fields]
    assert [each["event"] for each in fields] == [each["type"] for each in bodies]
    return bodies


def format_of(event: dict[str, Any]) -> str | None:
    return Image.open(io.BytesIO(base64.b64decode(event["b64_json"]))).format


@pytest.mark.parametrize("partials", [None, 0, 1, 2, 3])
async def test_as_many_partial_pictures_come_as_are_wanted(
    serving: Serving, partials: int | None
) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        sent = events(await client.post(PATH, json=STREAM | {"partial_images": partials}))
    assert [each["type"] for each in sent] == [
        *["image_generation.partial_image"] * (partials or 0),
        "image_generation.completed",
    ]
    assert [each.get("partial_image_index") for each in sent[:-1]] == list(range(partials or 0))
    assert sent[-1]["usage"]["output_tokens"] == 2 * 3 + 100 * (partials or 0)
    assert engine.previewed == [bool(partials)]


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
async def test_partial_pictures_have_the_format_of_the_last(serving: Serving, format: str) -> None:
    async with serving(PlainEngine()) as client:
        body = STREAM | {"partial_images": 1, "output_format": format, "user": "u"}
        first, last = events(await client.post(PATH, json=body))
    assert format_of(first) == format_of(last) == format.upper()
    for each in (first, last):
        assert (each["size"], each["quality"], each["background"]) == ("64x64", "medium", "opaque")
        assert (each["output_format"], each["safety_identifier"]) == (format, "u")
        assert each["created_at"] > 1_700_000_000


async def test_with_few_steps_fewer_partial_pictures_come(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = STREAM | {"partial_images": 3, "num_inference_steps": 2}
        assert len(events(await client.post(PATH, json=body))) == 2


async def test_several_pictures_are_completed_one_by_one(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        sent = events(await client.post(PATH, json=STREAM | {"n": 2}))
    assert [each["usage"]["input_tokens"] for each in sent] == [3, 0]
    assert sent[0]["b64_json"] != sent[1]["b64_json"]


async def test_an_edit_is_streamed_under_its_own_name(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        form = made(("image", png()), stream="true", partial_images="1")
        sent = events(await client.post(EDITS, files=form))
        body = {"prompt": "a", "stream": True, "images": [{"image_url": uri(png())}]}
        (last,) = events(await client.post(EDITS, json=body))
    assert [each["type"] for each in sent] == ["image_edit.partial_image", "image_edit.completed"]
    assert [each["size"] for each in sent] == ["auto", "64x64"]
    assert last["usage"]["input_tokens_details"] == {"text_tokens": 1, "image_tokens": 194}


async def test_a_fault_on_the_way_is_an_event(serving: Serving) -> None:
    engine = PlainEngine(hold_at=1)
    async with serving(engine) as client:
        call = asyncio.create_task(client.post(PATH, json=STREAM))
        await engine.reached(REUSED, 1)
        engine.state = State.DEAD
        engine.gate.set()
        (sent,) = events(await call)
    assert sent["type"] == "error"
    assert sent["error"]["type"] == "server_error"
    assert "engine stopped" in sent["error"]["message"]


class Caller:
    """One call as a server hands it to the application; it hangs up when `gone` is set."""

    def __init__(self, app: Any, request: httpx.Request, send: Any = None) -> None:
        self.gone, self.sent = asyncio.Event(), list[Any]()
        self.messages = [{"type": "http.request", "body": request.read()}]
        scope = {
            "type": "http",
            "method": "POST",
            "path": request.url.path,
            "query_string": b"",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
        }
        self.call = asyncio.create_task(app(scope, self.receive, send or self.send))

    async def receive(self) -> dict[str, Any]:
        if self.messages:
            return self.messages.pop()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


def request(count: int | None, **content: Any) -> httpx.Request:
    path = EDITS if "files" in content else PATH
    headers = {} if count is None else {"x-stainless-retry-count": str(count)}
    return httpx.Request("POST", f"http://localhost{path}", headers=headers, **content)


@pytest.mark.parametrize("content", [{"json": SMALL}, {"files": made(("image", png()))}])
async def test_what_a_client_sends_again_after_its_timeout_is_painted_once(
    tmp_path: Path, content: Any
) -> None:
    engine = PlainEngine(hold_at=1)
    app = create_app(Settings(data_dir=tmp_path), engine)
    async with app.router.lifespan_context(app):
        first = Caller(app, request(0, **content))
        await engine.reached(REUSED, 1)
        first.gone.set()
        await first.call
        again = Caller(app, request(1, **content))  # a form has another boundary now
        engine.gate.set()
        await again.call
    assert [each.sent[0]["status"] for each in (first, again)] == [499, 200]
    assert (len(engine.submitted), engine.cancelled) == (1, [])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("policy", "cancelled"), [("cancel", 1), ("finish", 0)])
async def test_who_hangs_up_cancels_unless_the_operator_says_otherwise(
    tmp_path: Path, stream: bool, policy: Literal["cancel", "finish"], cancelled: int
) -> None:
    engine = PlainEngine(hold_at=1)
    app = create_app(Settings(data_dir=tmp_path, on_hang_up={"openai": policy}), engine)
    async with app.router.lifespan_context(app):
        caller = Caller(app, request(None, json=STREAM | {"stream": stream}))
        await engine.reached(REUSED, 1)
        caller.gone.set()
        await caller.call
        engine.gate.set()
        if not cancelled:
            await engine.reached(REUSED, 4)
    assert len(engine.cancelled) == cancelled


async def test_who_hangs_up_before_the_first_event_leaves_room_for_the_next(
    tmp_path: Path,
) -> None:
    engine = PlainEngine()
    app = create_app(Settings(data_dir=tmp_path, queue=1), engine)

    async def never(message: Any) -> None:
        raise BrokenPipeError

    async with app.router.lifespan_context(app):
        for _ in range(2):
            caller = Caller(app, request(None, json=STREAM), never)
            with pytest.raises(BrokenPipeError):
                await caller.call
        last = Caller(app, request(None, json=SMALL))
        await last.call
    assert last.sent[0]["status"] == 200
