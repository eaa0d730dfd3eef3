"""What comes in over a realtime socket: read in bounds, and kept in bounds until its turn."""

import asyncio
import json
from typing import Any

import msgpack
import pytest
from starlette.types import Message, Scope

from imagemill.budget import Budget
from imagemill.dialects.fal.realtime import (
    ERRORS,
    FRAME_BYTES,
    HELD_BYTES,
    VALUES,
    Frame,
    InputBuffer,
    read,
)
from imagemill.errors import Fault
from tests.realtime_harness import (
    APP,
    make_app,
)

anyio = pytest.mark.anyio


@pytest.mark.parametrize(
    "frame",
    [
        b"\xdd\xff\xff\xff\xff",  # a list of four thousand million
        b"\xdd\x00\x00\x10\x00" * 500,  # lists of 4096 in one another
        b"\xdf\xff\xff\xff\xff",
        b"\xdc\x0f\xff" + b"\xdc\x0f\xff" + b"\x90" * 4095 * 2,
        b"\x81\xa1a\xdc\x0f\xa0" + (b"\xdc\x0f\xa0" + b"\xc0" * 4000) * 4000,
        "[" + "[]," * VALUES + "[]]",
        '{"a": ' + json.dumps([0] * (VALUES + 1)) + "}",
        b"\xc4" * (FRAME_BYTES + 1),
    ],
)
def test_a_frame_that_would_fill_the_memory_is_refused(frame: bytes | str) -> None:
    with pytest.raises(Fault) as refusal:
        read(frame)
    assert ERRORS[refusal.value.kind] == "INVALID_PAYLOAD"


def test_a_large_picture_is_no_such_frame() -> None:
    image = b"\x00" * (FRAME_BYTES - 100)
    assert read(msgpack.packb({"image": image})) == {"image": image}
    assert read('{"image": "data:image/png;base64,' + "A" * 10_000_000 + '"}').keys() == {"image"}


@anyio
async def test_inputs_that_come_while_one_is_painted_wait_and_the_oldest_make_room() -> None:
    """Straight to the application, which tells by asking for more that it has put all away."""
    prompts, sent = ["one", "two", "three", "four", "five"], list[Message]()
    left = [{"type": "websocket.connect"}, *(frame_of(prompt) for prompt in prompts)]
    all_in, began, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(_: str, arguments: dict[str, Any], *__: object) -> dict[str, Any]:
        began.set()
        await all_in.wait()
        return arguments

    async def receive() -> Message:
        if len(left) == 4:
            await began.wait()  # of the first
        if left:
            return left.pop(0)
        all_in.set()
        await done.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == 4:  # accepted, and three outputs
            done.set()

    async with asyncio.timeout(30):
        await make_app(run)(make_scope(b"max_buffering=2"), receive, send)
    outputs = [msgpack.unpackb(each["bytes"]) for each in sent if each.get("bytes")]
    assert [each["prompt"] for each in outputs] == ["one", "four", "five"]


def frame_of(prompt: str) -> Message:
    return {"type": "websocket.receive", "bytes": msgpack.packb({"prompt": prompt})}


def make_scope(query: bytes = b"") -> Scope:
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "scheme": "ws",
        "path": f"/fal/run/{APP}/realtime",
        "query_string": query,
        "root_path": "",
        "headers": [(b"authorization", b"Key k1")],
        "subprotocols": [],
    }


async def taken(buffer: InputBuffer) -> Frame:
    frame, share = await buffer.take()
    share.release()
    return frame


@anyio
async def test_a_buffer_holds_no_more_than_its_room() -> None:
    buffer = InputBuffer(2, Budget(2**20))
    for frame in (b"1", "2", b"3"):
        buffer.put(frame)
    assert [await taken(buffer), await taken(buffer)] == ["2", b"3"]
    waiting = asyncio.create_task(taken(buffer))
    buffer.put(b"4")
    assert await waiting == b"4"


@anyio
async def test_a_buffer_holds_no_more_than_its_bytes() -> None:
    buffer, large = InputBuffer(60, Budget(2**30)), bytes(HELD_BYTES // 3)
    for _ in range(5):
        buffer.put(large)
    buffer.put(b"last")
    assert [len(await taken(buffer)) for _ in range(3)] == [len(large), len(large), 4]
    buffer.put(bytes(HELD_BYTES))  # alone, however large
    assert len(await taken(buffer)) == HELD_BYTES


@anyio
async def test_buffers_share_the_memory_of_all_inputs() -> None:
    memory = Budget(10_000)
    mine, others = InputBuffer(60, memory), InputBuffer(60, memory)
    assert all(mine.put(bytes(2000)) for _ in range(3))
    assert others.put(bytes(3000))
    assert mine.put(bytes(4000))  # in the place of older ones of this box
    assert not InputBuffer(60, memory).put(bytes(5000))  # never of others
    assert len(await taken(others)) == 3000
    assert [len(await taken(mine)) for _ in range(2)] == [2000, 4000]
    assert memory.taken == 0
    assert mine.put(bytes(9000))
    mine.clear()
    assert memory.taken == 0
