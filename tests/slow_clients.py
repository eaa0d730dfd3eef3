"""Callers who take their time or never end: what a server on loopback has to bear.

Each is a few lines over a plain socket, so that a test says exactly what is sent and when.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Self

import uvicorn

GET = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
BLOCK = 2**16  # bytes that an endless sender writes at a time


@asynccontextmanager
async def listening(config: uvicorn.Config) -> AsyncIterator[int]:
    """A real server on loopback; gives its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as bound:
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            while not server.started and not task.done():
                await asyncio.sleep(0)
            yield bound.getsockname()[1]
        finally:
            server.should_exit = True
            await task


@dataclass
class Connection:
    """One caller's connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def to(cls, port: int, receives: int | None = None) -> Self:
        """receives: bytes that the system keeps for one who does not read."""
        loop, client = asyncio.get_running_loop(), socket.socket()
        client.setblocking(False)
        if receives is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        await loop.sock_connect(client, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=client, limit=BLOCK))

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def reply(self) -> tuple[int, bytes]:
        """Status and body of one reply that tells its length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        lengths = [line.partition(b":")[2] for line in lines if line.startswith(b"content-length:")]
        return int(head.split()[1]), await self.reader.readexactly(int(lengths[0]))

    async def closed(self) -> bytes:
        """What still came, once the server has closed the connection."""
        found = bytearray()
        with contextlib.suppress(ConnectionError):
            while piece := await self.reader.read(BLOCK):
                found += piece
        return bytes(found)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@asynccontextmanager
async def connection(port: int, receives: int | None = None) -> AsyncIterator[Connection]:
    opened = await Connection.to(port, receives)
    try:
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def silent(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """Connections that never say anything."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connection(port)) for _ in range(count)]


def post(path: str, length: int | None = None, kind: str = "application/json") -> bytes:
    """The head of a POST; a body of unknown length comes in chunks."""
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n{framing}\r\n\r\n"
    return head.encode()


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


async def endless_head(caller: Connection, most: int) -> int:
    """Sends headers without an end; how many bytes the server took, at most `most`."""
    return await _endless(
        caller, b"GET / HTTP/1.1\r\n", b"x: " + b"y" * (BLOCK // 64) + b"\r\n", most
    )


async def endless_body(caller: Connection, path: str, most: int) -> int:
    """Sends a body without an end; how many bytes the server took, at most `most`."""
    return await _endless(caller, post(path), chunk(b" " * BLOCK), most)


async def endless_trailer(caller: Connection, path: str, most: int) -> int:
    """Ends a body with headers without an end; how many bytes the server took, at most `most`."""
    return await _endless(caller, post(path) + b"0\r\n", b"x: " + b"y" * 1000 + b"\r\n", most)


async def _endless(caller: Connection, head: bytes, block: bytes, most: int) -> int:
    sent = 0
    with contextlib.suppress(ConnectionError):
        await caller.send(head)
        while sent < most and not caller.reader.at_eof():
            await caller.send(block)
            sent += len(block)
            await asyncio.sleep(0)
    return sent
