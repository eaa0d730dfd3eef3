"""Bodies of requests: as slow as they may be, and no more room than there is for all."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.requests import ClientDisconnect
from starlette.types import Message

from imagemill.app import create_app, server_config
from imagemill.budget import Budget
from imagemill.errors import Fault, Kind
from imagemill.http.request_body import COPIES, IN_MEMORY, Arrival, Bodies, Pace, settled
from imagemill.settings import Settings
from tests.conftest import Serving
from tests.engines import PlainEngine
from tests.painting_calls import CALLS
from tests.slow_clients import chunk, connection, endless_body, listening, post

pytestmark = pytest.mark.anyio

LIMIT = 2**20
# What reads a body, besides those of tests.painting_calls.
READING = (
    *("/openai/v1/images/edits", "/openai/v1/images/variations", "/v1/images/edits"),
    *("/replicate/v1/predictions", "/replicate/v1/deployments/a/b/predictions"),
    *("/replicate/v1/files", "/fal/queue/fal-ai/flux/dev", "/fal/rest/tokens"),
    *("/sdapi/v1/img2img", "/sdapi/v1/options", "/sdapi/v1/png-info", "/models/a/b", "/"),
)
PACE = Pace(silence=30, grace=30, rate=1024)


class Sender:
    """Sends pieces, each after so many seconds of its own clock; never ends if it is to hang."""

    def __init__(self, *pieces: tuple[float, bytes], hangs: bool = False) -> None:
        self.pieces, self.hangs, self.now = list(pieces), hangs, 0.0

    def clock(self) -> float:
        return self.now

    async def __call__(self) -> Message:
        if not self.pieces and self.hangs:
            await asyncio.Event().wait()
        if not self.pieces:
            return {"type": "http.disconnect"}
        seconds, piece = self.pieces.pop(0)
        self.now += seconds
        more = bool(self.pieces) or self.hangs
        return {"type": "http.request", "body": piece, "more_body": more}


async def arrived(sender: Sender, pace: Pace = PACE) -> bytes:
    arrival = Arrival(sender, pace, sender.clock)
    return b"".join([piece async for piece in arrival.pieces()])


async def test_a_body_that_comes_steadily_may_take_as_long_as_it_needs() -> None:
    assert await arrived(Sender(*[(20.0, bytes(2**15))] * 60)) == bytes(60 * 2**15)


async def test_a_body_that_comes_by_the_byte_is_given_up() -> None:
    with pytest.raises(Fault) as caught:
        await arrived(Sender(*[(10.0, b"x")] * 60))
    assert caught.value.kind is Kind.SLOW
    assert caught.value.message == "the body comes at 0 bytes a second; send at least 1024"


async def test_a_body_that_stops_coming_is_given_up() -> None:
    with pytest.raises(Fault, match=r"nothing came of the body for 0.001 seconds") as caught:
        await arrived(Sender((0, b"x"), hangs=True), Pace(silence=0.001))
    assert caught.value.kind is Kind.SLOW


async def test_time_in_which_this_process_was_stopped_is_not_the_sender_s() -> None:
    sender = Sender((0, b"x"), (0, b"y"))
    calls = 0

    async def receive() -> Message:
        nonlocal calls
        calls += 1
        if calls == 2:
            sender.now += 1000.0
            await asyncio.Event().wait()
        return await sender()

    arrival = Arrival(receive, Pace(silence=0.001), sender.clock)
    assert [piece async for piece in arrival.pieces()] == [b"x", b"y"]
    assert arrival.waited == 0


async def test_a_hang_up_is_no_end_of_a_body() -> None:
    left: list[Message] = [{"type": "http.request", "body": b"x", "more_body": True}]

    async def receive() -> Message:
        return left.pop() if left else {"type": "http.disconnect"}

    for _ in range(2):
        with pytest.raises(ClientDisconnect):
            await Bodies().read({"headers": []}, receive, LIMIT)


def make_bodies(tmp_path: Path, clock: Callable[[], float], **given: Any) -> Bodies:
    budgets = {"memory": Budget(2**24, wait=0.001), "disk": Budget(2**24)} | given
    return Bodies(folder=tmp_path, clock=clock, **budgets)


@pytest.mark.parametrize("size", [0, 1, IN_MEMORY, IN_MEMORY + 1, 5 * IN_MEMORY + 7])
async def test_a_body_is_read_as_it_came_and_gives_back_what_it_took(
    tmp_path: Path, size: int
) -> None:
    content, scope = os.urandom(size), dict[str, Any](headers=[])
    pieces = [(0.0, content[at : at + 10_000]) for at in range(0, size, 10_000)] or [(0.0, b"")]
    sender = Sender(*pieces)
    bodies = make_bodies(tmp_path, sender.clock)
    assert await bodies.read(scope, sender, LIMIT) == content
    assert bodies.disk.taken == 0
    assert bodies.memory.taken == (size * COPIES if size > IN_MEMORY else 0)
    settled(scope)
    assert bodies.memory.taken == 0
    assert list(tmp_path.iterdir()) == []


async def test_a_body_on_its_way_takes_the_disk_and_no_memory(tmp_path: Path) -> None:
    sender = Sender((0, bytes(10 * IN_MEMORY)), hangs=True)
    bodies = make_bodies(tmp_path, sender.clock)
    scope: dict[str, Any] = {"headers": []}
    reading = asyncio.create_task(bodies.read(scope, sender, LIMIT))
    await until(lambda: bodies.disk.taken == 10 * IN_MEMORY)
    assert bodies.memory.taken == 0
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    settled(scope)
    assert bodies.disk.taken == 0


async def test_where_the_disk_is_full_the_slowest_makes_room(tmp_path: Path) -> None:
    slow, quick = Sender((0, bytes(8 * IN_MEMORY)), hangs=True), Sender((0, bytes(8 * IN_MEMORY)))
    bodies = make_bodies(tmp_path, slow.clock, disk=Budget(10 * IN_MEMORY))
    scope: dict[str, Any] = {"headers": []}
    reading = asyncio.create_task(bodies.read(scope, slow, LIMIT))
    await until(lambda: bodies.disk.taken > 0)
    with pytest.raises(
        Fault, match="no room for more bodies on their way; come again in 5"
    ) as full:
        await bodies.read({"headers": []}, Sender((0, bytes(8 * IN_MEMORY))), LIMIT)
    assert full.value.kind is Kind.BUSY
    slow.now += 31
    assert await bodies.read({"headers": []}, quick, LIMIT) == bytes(8 * IN_MEMORY)
    with pytest.raises(Fault, match="others need the room") as cut:
        await reading
    assert cut.value.kind is Kind.SLOW
    assert bodies.disk.taken == 0


async def test_a_body_that_finds_no_memory_is_told_to_come_again(tmp_path: Path) -> None:
    bodies = make_bodies(tmp_path, lambda: 0.0, memory=Budget(LIMIT, wait=0.001))
    async with bodies.memory.holding(LIMIT):
        with pytest.raises(Fault) as caught:
            await bodies.read({"headers": []}, Sender((0, bytes(2 * IN_MEMORY))), LIMIT)
    assert (caught.value.kind, caught.value.retry_after) == (Kind.BUSY, 5.0)
    assert bodies.memory.taken == bodies.disk.taken == 0


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
async def test_a_body_that_stops_coming_is_told_408_by_every_route_that_reads_one(
    serving: Serving, kind: str
) -> None:
    """Once: some routes look at a body and then read it, and waited twice."""

    async def begun() -> AsyncIterator[bytes]:
        yield b"--x"
        await asyncio.Event().wait()

    bodies = Bodies(pace=Pace(silence=0.001))
    async with serving(PlainEngine(), bodies=bodies) as client:
        for path in (*READING, *(call.path for call in CALLS.values())):
            reply = await client.post(path, content=begun(), headers={"content-type": kind})
            assert reply.status_code == 408, (path, reply.text)
            assert "nothing came of the body for 0.001 seconds" in reply.text, path


async def test_a_body_that_comes_steadily_was_cut_after_30_seconds_at_every_route(
    serving: Serving,
) -> None:
    """The clock is the test's: half a second passes with each piece."""
    now = 0.0

    async def steadily(content: bytes) -> AsyncIterator[bytes]:
        nonlocal now
        for at in range(0, len(content), 600):
            now += 0.5
            yield content[at : at + 600]

    bodies = Bodies(clock=lambda: now)
    async with serving(PlainEngine(), bodies=bodies) as client:
        for name, call in CALLS.items():
            before = now
            content = json.dumps(call.body).encode() + b" " * 100_000
            reply = await client.post(call.path, content=steadily(content))
            assert reply.status_code < 300, (name, reply.text)
            assert now - before > 60, "twice the time that was allowed"


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0)


def noise() -> bytes:
    """A picture that is no smaller as a PNG."""
    buffer = BytesIO()
    Image.frombytes("RGB", (256, 256), os.urandom(256 * 256 * 3)).save(buffer, "png")
    return buffer.getvalue()


NOISE = base64.b64encode(noise()).decode()
URI = f"data:image/png;base64,{NOISE}"
SD3 = "stabilityai/stable-diffusion-3.5-large"
# Every dialect that takes a picture within a body, and how.
WITH_PICTURE: dict[str, tuple[str, dict[str, Any]]] = {
    "hf": ("/models/a/b", {"inputs": NOISE, "parameters": {"num_inference_steps": 4}}),
    "router": (
        "/together/v1/images/generations",
        {"inputs": NOISE, "model": SD3, "parameters": {"num_inference_steps": 4}},
    ),
    "fal": (
        "/fal/run/fal-ai/ideogram/v3/edit",
        {"prompt": "a cat", "image_url": URI, "mask_url": URI},
    ),
    "replicate": (
        "/replicate/v1/models/black-forest-labs/flux-dev/predictions",
        {"input": {"prompt": "a cat", "image": URI}},
    ),
    "together": (
        "/together/v1/images/generations",
        {"model": SD3, "prompt": "a cat", "steps": 4, "image_base64": NOISE},
    ),
    "shared": (
        "/v1/images/generations",
        {"model": SD3, "prompt": "a cat", "steps": 4, "image_base64": NOISE},
    ),
    "openai": ("/openai/v1/images/edits", {"prompt": "a cat", "images": [{"image_url": URI}]}),
    "nebula": ("/nebula/api/v1/images/generation", {"model": SD3, "prompt": "a", "image": NOISE}),
    "sdapi": ("/sdapi/v1/img2img", {"prompt": "a cat", "init_images": [NOISE], "steps": 4}),
}


@pytest.mark.parametrize("dialect", WITH_PICTURE)
async def test_the_memory_of_a_body_is_free_again_while_its_picture_is_painted(
    serving: Serving, dialect: str
) -> None:
    engine, bodies = PlainEngine(), Bodies()
    engine.gate.clear()
    path, body = WITH_PICTURE[dialect]
    async with serving(engine, bodies) as client:
        call = asyncio.create_task(client.post(path, json=body, headers={"prefer": "wait"}))
        async with asyncio.timeout(60):
            await engine.asked(1)
        assert (bodies.memory.taken, bodies.disk.taken) == (0, 0)
        engine.gate.set()
        reply = await call
    assert reply.status_code in (200, 201), reply.text


async def test_what_is_refused_gives_back_what_it_took(serving: Serving) -> None:
    bodies = Bodies()
    async with serving(PlainEngine(), bodies) as client:
        for path, body in WITH_PICTURE.values():
            wrong = json.dumps(body).replace(NOISE, "A" * len(NOISE)).encode()
            for content in (wrong, wrong[:-1], wrong * 3):
                reply = await client.post(path, content=content, headers={"prefer": "wait"})
                failed = reply.status_code == 201 and reply.json()["status"] == "failed"
                assert failed or 400 <= reply.status_code < 500, reply.text
                assert (bodies.memory.taken, bodies.disk.taken) == (0, 0)


async def test_where_there_is_no_memory_each_dialect_says_when_to_come_again(
    serving: Serving,
) -> None:
    bodies = Bodies(Budget(LIMIT, wait=0.001))
    async with serving(PlainEngine(), bodies) as client, bodies.memory.holding(LIMIT):
        for path, body in WITH_PICTURE.values():
            reply = await client.post(path, json=body)
            assert (reply.status_code, reply.headers["retry-after"]) == (429, "5"), reply.text
            assert "come again in 5 seconds" in reply.text
    assert bodies.memory.taken == 0


async def test_each_dialect_says_408_of_a_body_that_stops_coming(serving: Serving) -> None:
    async def stopping() -> AsyncIterator[bytes]:
        yield b'{"prompt": "a'
        await asyncio.Event().wait()

    async with serving(PlainEngine(), Bodies(pace=Pace(silence=0.01))) as client:
        for path, _ in WITH_PICTURE.values():
            reply = await client.post(path, content=stopping())
            assert reply.status_code == 408
            assert "nothing came of the body for 0.01 seconds; send it without" in reply.text


async def test_who_hangs_up_or_never_ends_leaves_nothing_behind(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, input_limit=2**20)
    app = create_app(settings, PlainEngine())
    bodies: Bodies = app.state.inputs
    async with listening(server_config(settings, app)) as port:
        for path, _ in WITH_PICTURE.values():
            async with connection(port) as caller:
                await caller.send(post(path) + chunk(b" " * 2**19))
                await until(lambda: bodies.disk.taken > 0)
        await until(lambda: bodies.disk.taken == 0)
        async with connection(port) as caller:
            assert await endless_body(caller, "/fal/run/fal-ai/flux/dev", 2**28) < 2**28
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            metrics = (await client.get("/metrics")).text
    assert 'imagemill_input_bytes{where="disk"} 0.0' in metrics
    assert 'imagemill_input_bytes{where="memory"} 0.0' in metrics
