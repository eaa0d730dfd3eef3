"""Callers send too much, too slowly, or nothing at all."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from resilience.calls import APP, caller
from resilience.conftest import Watching
from resilience.servers import Server, running
from tests.slow_clients import Connection, connection, endless_head, post, silent

pytestmark = pytest.mark.anyio

DESCRIPTORS, SILENT = 400, 500
DRIPPING, DRIPPED = 20, 3
HEADS, MOST = 8, 2**26
HOLDERS, HELD = 60, 20_000_000
RUN = f"/fal/run/{APP}"
BODIES = {
    "brackets without end": (b'{"prompt": ', b"[", b""),
    "a list of numbers": (b'{"prompt": [', b"1,", b"1]}"),
    "a picture of percent escapes": (
        b'{"prompt": "a", "image_url": "data:image/png,',
        b"%41",
        b'"}',
    ),
    "the path of a LoRA": (b'{"prompt": "a", "loras": [{"path": "http://a/', b"x", b'"}]}'),
}
SIZE, PIECE = 60_000_000, 2**20
SHARED = (
    "/v1/images/generations",
    "/fal-ai/fal-ai/flux-lora",
    "/replicate/v1/models/black-forest-labs/flux-dev/predictions",
    "/together/v1/images/generations",
    "/nebius/v1/images/generations",
)


@pytest.mark.fault(f"{SILENT} connections that say nothing, at {DESCRIPTORS} descriptors")
async def test_silent(tmp_path_factory: pytest.TempPathFactory, watched: Watching) -> None:
    options = ("--descriptors", str(DESCRIPTORS))
    with running(Server(tmp_path_factory.mktemp("few"), options=options)) as server:
        async with silent(server.port, SILENT), caller(server) as someone:
            with watched(server) as watch:
                assert await someone.all_painted(await someone.submit(1)) == 1
                open_ = int(server.metric("imagemill_connections"))
                assert open_ < DESCRIPTORS
                watch.happened = (
                    f"The oldest were closed, {open_} left; another caller's job was painted."
                )


@pytest.mark.fault(f"{DRIPPING} callers who send a body at a byte a second")
async def test_dripping(plain: Server, watched: Watching) -> None:
    async with AsyncExitStack() as stack, caller(plain) as someone:
        callers = [await stack.enter_async_context(connection(plain.port)) for _ in range(DRIPPING)]
        with watched(plain) as watch:
            for each in callers:
                await each.send(post(RUN, 1000))
            for _ in range(DRIPPED):
                for each in callers:
                    await each.send(b" ")
                await asyncio.sleep(1)  # this is the fault
            assert await someone.all_painted(await someone.submit(1)) == 1
            watch.happened = "Another caller's job was painted meanwhile."


@pytest.mark.fault(f"{HEADS} callers whose headers have no end")
async def test_endless_heads(plain: Server, watched: Watching) -> None:
    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(connection(plain.port)) for _ in range(HEADS)]
        with watched(plain) as watch:
            taken = await asyncio.gather(*(endless_head(each, MOST) for each in callers))
            assert max(taken) < MOST
            watch.happened = (
                f"Each was cut off, after {max(taken) / 10**6:.1f} MB at most, most of which lay "
                "in the buffers of the system."
            )


def hostile() -> list[object]:
    name = "{} MB that are {}, to every path that several APIs share"
    return [
        pytest.param(kind, marks=pytest.mark.fault(name.format(SIZE // 10**6, kind)))
        for kind in BODIES
    ]


@pytest.mark.parametrize("kind", hostile())
async def test_large_bodies(kind: str, plain: Server, watched: Watching) -> None:
    begin, middle, end = BODIES[kind]
    body = begin + middle * ((SIZE - len(begin) - len(end)) // len(middle)) + end
    with watched(plain) as watch:
        told = [await answer_to(plain, path, body) for path in SHARED]
        assert all(400 <= status < 500 for status in told), told
        codes = " or ".join(map(str, sorted(set(told))))
        watch.happened = f"All {len(SHARED)} were refused with {codes}."


async def answer_to(server: Server, path: str, body: bytes) -> int:
    """The status; the server may answer before it has read everything."""
    async with connection(server.port) as each:
        sending = asyncio.create_task(pour(each, post(path, len(body)), body))
        status, _ = await each.reply()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        each.writer.transport.abort()
        return status


async def pour(each: Connection, head: bytes, body: bytes) -> None:
    """Sends in pieces, as they are taken; there may be an answer before all of them are."""
    await each.send(head)
    for start in range(0, len(body), PIECE):
        await each.send(body[start : start + PIECE])


@pytest.mark.fault(f"{HOLDERS} callers who hold back the last byte of {HELD // 10**6} MB each")
async def test_holders(plain: Server, watched: Watching) -> None:
    body = b" " * (HELD - 1)
    async with AsyncExitStack() as stack, caller(plain) as someone:
        callers = [await stack.enter_async_context(connection(plain.port)) for _ in range(HOLDERS)]
        with watched(plain) as watch:
            await asyncio.gather(*(pour(each, post(RUN, HELD), body) for each in callers))
            assert await someone.all_painted(await someone.submit(1)) == 1
            for each in callers:
                await each.send(b" ")
            statuses = [(await each.reply())[0] for each in callers]
            assert set(statuses) <= {422, 429}, statuses
            watch.happened = (
                "Another caller's job was painted meanwhile. When the last bytes came at once, "
                f"{statuses.count(422)} were refused for what they said, and "
                f"{statuses.count(429)} told to come again."
            )
