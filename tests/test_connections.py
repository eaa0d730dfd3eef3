"""Connections: who says nothing, too much or reads nothing keeps nobody else out."""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import websockets
from starlette.types import Receive, Scope, Send

from imagemill.app import create_app, server_config
from imagemill.budget import Budget
from imagemill.connections import (
    MOST_PIPELINED,
    Connections,
    Limits,
    Watched,
    most_connections,
    protocols,
)
from imagemill.settings import Settings
from tests.engines import PlainEngine
from tests.slow_clients import (
    GET,
    Connection,
    chunk,
    connection,
    endless_body,
    endless_head,
    endless_trailer,
    listening,
    post,
    silent,
)

pytestmark = pytest.mark.anyio

LONG = 2**23  # bytes of a reply that no socket's buffer holds
CALL = b"GET /%s HTTP/1.1\r\nhost: localhost\r\n\r\n"


@dataclass
class Application:
    """Answers at once, but waits for `gate` where it is asked to, and reads bodies."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    gone: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                await send({"type": "websocket.send", "text": "heard"})
            return
        self.asked += 1
        early = scope["path"] == "/early"  # does not wait for the body
        while not early and (message := await receive())["type"] == "http.request":
            if not message.get("more_body"):
                break
        else:
            self.gone += not early
        if scope["path"] == "/wait":
            await self.gate.wait()
        body = b"x" * LONG if scope["path"] == "/long" else b"ok"
        length = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})


@dataclass
class Served:
    port: int
    watch: Connections
    app: Application
    inputs: Budget
    closed: list[str]
    now: float = 0.0

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.watch.look()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not true():
                await asyncio.sleep(0)

    async def health(self) -> int:
        async with connection(self.port) as caller:
            await caller.send(GET)
            return (await caller.reply())[0]


@asynccontextmanager
async def served(**limits: Any) -> AsyncIterator[Served]:
    app, closed, inputs = Application(), list[str](), Budget(2**20)
    watch = Connections(Limits(**limits), closed=closed.append)
    http, socket = protocols(watch, inputs)
    config = uvicorn.Config(app, http=http, ws=socket, log_config=None, lifespan="off")
    async with listening(config) as port:
        found = Served(port, watch, app, inputs, closed)
        watch.clock = lambda: found.now
        try:
            yield found
        finally:
            app.gate.set()  # nobody is waited for at the end


async def test_a_connection_that_asks_nothing_is_closed() -> None:
    async with served(head_seconds=20) as server, connection(server.port) as caller:
        await server.until(lambda: server.watch.count == 1)
        server.later(19)
        assert server.watch.count == 1
        server.later(2)
        assert await caller.closed() == b""
    assert server.closed == ["silent"]


async def test_a_head_that_never_ends_in_time_is_cut_off_however_often_a_byte_comes() -> None:
    async with served(head_seconds=20) as server, connection(server.port) as caller:
        await server.until(lambda: server.watch.count == 1)
        for byte in b"GET / HTTP/1.1\r\nx":
            await caller.send(bytes([byte]))
            server.later(1)
        server.later(5)
        assert await caller.closed() == b""
    assert server.closed == ["silent"]


async def test_a_second_request_has_as_long_as_the_first() -> None:
    async with served(head_seconds=20) as server, connection(server.port) as caller:
        await server.until(lambda: server.watch.count == 1)
        server.later(15)
        await caller.send(GET)
        assert await caller.reply() == (200, b"ok")
        server.later(15)
        await caller.send(GET)
        assert await caller.reply() == (200, b"ok")
        server.later(21)
        assert await caller.closed() == b""


async def test_who_waits_for_an_answer_may_be_silent() -> None:
    async with served(head_seconds=20) as server, connection(server.port) as caller:
        await caller.send(CALL % b"wait")
        await server.until(lambda: server.app.asked == 1)
        server.later(3600)
        server.app.gate.set()
        assert await caller.reply() == (200, b"ok")
    assert server.closed == []


@pytest.mark.parametrize("ends", [b"\r\n\r\n", b""])
async def test_headers_beyond_the_limit_are_refused(ends: bytes) -> None:
    async with served(head_bytes=1000) as server, connection(server.port) as caller:
        await caller.send(b"GET / HTTP/1.1\r\nx: " + b"y" * 1000 + ends)
        status, body = await caller.reply()
        assert (status, server.app.asked) == (431, 0)
        assert b"larger than 1000 bytes; send what is large in the body" in body
        await caller.closed()
        assert await server.health() == 200


async def test_headers_without_end_are_not_taken_without_end() -> None:
    async with served() as server, connection(server.port) as caller:
        taken = await endless_head(caller, 2**26)
    assert taken < 2**26


async def test_what_follows_the_last_chunk_is_bounded_as_headers_are() -> None:
    async with served(head_bytes=1000) as server, connection(server.port) as caller:
        assert await endless_trailer(caller, "/", 2**26) < 2**26
        assert await server.health() == 200


async def test_a_body_is_no_head() -> None:
    async with served(head_bytes=1000) as server, connection(server.port) as caller:
        await caller.send(post("/", 100_000) + b"x" * 50_000)
        for _ in range(50):
            await caller.send(b"x" * 1000)
        assert await caller.reply() == (200, b"ok")


async def test_a_body_that_was_answered_already_is_taken_only_so_far() -> None:
    async with served(linger_bytes=2**20) as server, connection(server.port) as caller:
        await caller.send(post("/early"))
        assert await caller.reply() == (200, b"ok")
        await caller.send(chunk(b"x" * 2**19) + b"0\r\n\r\n" + GET)
        assert await caller.reply() == (200, b"ok")
        assert await endless_body(caller, "/early", 2**26) < 2**26
        assert await server.health() == 200


async def test_requests_before_an_answer_are_bounded() -> None:
    async with served() as server, connection(server.port) as caller:
        await caller.send(CALL % b"wait" * (MOST_PIPELINED + 2))
        assert b"400 Bad Request" in await caller.closed()
        assert await server.health() == 200


async def test_requests_sent_ahead_are_answered_in_turn() -> None:
    async with served() as server, connection(server.port) as caller:
        await caller.send(GET * MOST_PIPELINED)
        for _ in range(MOST_PIPELINED):
            assert await caller.reply() == (200, b"ok")


async def test_too_many_silent_ones_keep_nobody_out() -> None:
    async with served(most=8) as server, silent(server.port, 20) as callers:
        assert await server.health() == 200
        assert server.watch.count <= 8
        assert await callers[0].closed() == b""  # the oldest
    assert set(server.closed) == {"full"}


async def test_one_whose_request_is_arriving_goes_before_one_that_is_answered() -> None:
    async with served(most=2) as server, connection(server.port) as waits:
        await waits.send(CALL % b"wait")
        await server.until(lambda: server.app.asked == 1)
        async with connection(server.port) as arrives:
            await arrives.send(post("/", 100) + b"x")
            await server.until(lambda: server.app.asked == 2)
            assert await server.health() == 200
            assert await arrives.closed() == b""
        server.app.gate.set()
        assert await waits.reply() == (200, b"ok")
        assert server.app.gone == 1


async def test_where_all_are_answered_another_is_told_to_come_again() -> None:
    async with served(most=1) as server, connection(server.port) as waits:
        await waits.send(CALL % b"wait")
        await server.until(lambda: server.app.asked == 1)
        async with connection(server.port) as late:
            told = await late.closed()
        assert told.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in told
        server.app.gate.set()
        assert await waits.reply() == (200, b"ok")


def test_of_many_the_oldest_of_the_one_who_has_most_goes() -> None:
    watch, gone = Connections(Limits(most=4), clock=lambda: 0.0), list[str]()
    for name, client in (("a", "1.1.1.1"), ("b", "2.2.2.2"), ("c", "2.2.2.2"), ("d", "3.3.3.3")):
        idle = type("Idle", (), {"cycle": None})()
        transport = type("Transport", (), {"abort": lambda _, name=name: gone.append(name)})()
        watch._open[name] = Watched(idle, transport, client, 0.0)
    assert watch._make_room()
    assert gone == ["b"]


async def test_who_reads_nothing_of_a_reply_is_let_go() -> None:
    async with served(unread_seconds=60) as server, connection(server.port, 4096) as caller:
        await caller.send(CALL % b"long")
        await server.until(lambda: unread(server) > 0)
        server.later(1)
        server.later(59)
        assert server.watch.count == 1
        server.later(2)
        assert len(await caller.closed()) < LONG
    assert server.closed == ["unread"]


async def test_who_reads_slowly_is_waited_for() -> None:
    async with served(unread_seconds=60) as server, connection(server.port, 4096) as caller:
        await caller.send(CALL % b"long")
        await server.until(lambda: unread(server) > 0)
        for _ in range(3):
            server.later(59)
            before = unread(server)
            while unread(server) == before:
                await caller.reader.readexactly(2**16)
        assert server.watch.count == 1
        assert server.closed == []


async def test_replies_that_nobody_reads_take_only_so_much_together() -> None:
    async with served(unread_bytes=LONG) as server:
        callers = [await Connection.to(server.port, 4096) for _ in range(3)]
        for number, caller in enumerate(callers, 1):
            await caller.send(CALL % b"long")
            await server.until(lambda number=number: server.app.asked == number)  # type: ignore[misc]
        await server.until(lambda: unread(server) > LONG)
        server.later(0)
        assert server.watch.count == len(callers)
        server.later(2)
        assert unread(server) <= LONG
        assert server.watch.count == 1
        for caller in callers:
            await caller.close()


def unread(server: Served) -> int:
    return sum(each.transport.get_write_buffer_size() for each in server.watch._open.values())


async def test_web_sockets_take_at_most_half_of_the_room() -> None:
    async with served(most=4) as server:
        url = f"ws://127.0.0.1:{server.port}/"
        async with (
            websockets.connect(url, proxy=None) as one,
            websockets.connect(url, proxy=None),
        ):
            with pytest.raises(websockets.InvalidStatus, match="503"):
                await websockets.connect(url, proxy=None)
            server.later(3600)
            await one.send("still here")
            assert await one.recv() == "heard"
            assert (server.watch.sockets, await server.health()) == (2, 200)
        await server.until(lambda: server.watch.count == 0)


async def test_a_message_that_is_not_whole_draws_from_the_inputs() -> None:
    async with served() as server:
        url = f"ws://127.0.0.1:{server.port}/"
        frame = b"\x82\xff" + (10**6).to_bytes(8) + bytes(4)  # the head of a million bytes
        talks = [await websockets.connect(url, proxy=None) for _ in range(2)]
        for talk in talks:
            talk.transport.write(frame + b"x" * 900_000)
        await server.until(lambda: "inputs" in server.closed)
        assert server.inputs.taken <= server.inputs.total
        for talk in talks:
            talk.transport.abort()
        await server.until(lambda: server.watch.count == 0)
    assert server.inputs.taken == 0


async def test_a_server_is_served_within_these_limits(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, connections=8)
    config = server_config(settings, create_app(settings, PlainEngine()))
    async with listening(config) as port, silent(port, 12), connection(port) as caller:
        await caller.send(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
        status, body = await caller.reply()
    assert status == 200
    assert b"imagemill_connections 8.0" in body
    assert b'imagemill_connections_closed_total{why="full"} 5.0' in body
    assert b'imagemill_input_bytes{where="memory"} 0.0' in body


def test_descriptors_are_there_for_as_many_as_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"now": (256, 1024)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.update(now=wanted))
    assert most_connections(1000) == (1024 - 256) // 2
    assert limits["now"] == (1024, 1024)
    limits["now"] = (1024, resource.RLIM_INFINITY)
    assert most_connections(1000) == 1000
    assert limits["now"][0] > 2000


async def test_a_stream_to_http_1_0_was_sent_in_chunks_that_it_cannot_read(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    app = create_app(settings, PlainEngine())
    small = b'"width": 64, "height": 64, "stream": true'
    body = b'{"model": "gpt-image-1", "prompt": "a red cat", %s}' % small
    head = b"POST /v1/images/generations HTTP/1.0\r\ncontent-length: %d\r\n" % len(body)
    async with app.router.lifespan_context(app), listening(server_config(settings, app)) as port:
        async with connection(port) as caller:
            await caller.send(head + b"host: localhost\r\nconnection: keep-alive\r\n\r\n" + body)
            reply = await caller.closed()
        async with connection(port) as caller:
            await caller.send(b"GET /health HTTP/1.0\r\n\r\n")
            measured = await caller.closed()
    told, _, content = reply.partition(b"\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 200")
    assert b"transfer-encoding" not in told
    assert b"connection: close" in told
    assert content.startswith(b"event: image_generation")
    assert content.endswith(b"\n\n")
    told, _, content = measured.partition(b"\r\n\r\n")
    assert f"content-length: {len(content)}".encode() in told
