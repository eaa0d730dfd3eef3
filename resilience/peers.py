"""Whom a server calls: receivers of webhooks, hosts of pictures; honest ones and such as hang."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from io import BytesIO

from PIL import Image

from resilience.servers import PATIENCE

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def picture(side: int = 64) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (side, side), "green").save(buffer, "png")
    return buffer.getvalue()


@dataclass
class Receiver:
    """Hears webhooks. told: by path, the ids of the requests that it was told of."""

    url: str = ""
    told: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def all_told(self, paths: int) -> None:
        """Returns once so many places were told."""
        async with self._changed, asyncio.timeout(PATIENCE):
            await self._changed.wait_for(lambda: len(self.told) >= paths)

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = re.search(r"content-length: (\d+)", head.lower())
            assert length is not None
            told = json.loads(await reader.readexactly(int(length[1])))
            async with self._changed:
                self.told[head.split(" ")[1]].add(told["request_id"])
                self._changed.notify_all()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()


@dataclass
class Hanging:
    """Takes connections and answers nothing.

    urls: one for every address that it listens at. held: the connections, also those whose callers
    have hung up.
    """

    urls: list[str] = field(default_factory=list)
    held: list[Streams] = field(default_factory=list)

    def waiting(self) -> list[Streams]:
        """The connections whose callers have not hung up."""
        return [(reader, writer) for reader, writer in self.held if not reader.at_eof()]

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.held.append((reader, writer))
        with suppress(ConnectionError):
            while await reader.read(2**16):
                pass
        writer.close()


class Picture:
    """A host with one picture."""

    url = ""

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            body = picture()
            head = f"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: {len(body)}"
            writer.write(head.encode() + b"\r\n\r\n" + body)
            await writer.drain()


@asynccontextmanager
async def listening(peer: Receiver | Picture) -> AsyncIterator[str]:
    """The URL under which it is reached."""
    server = await asyncio.start_server(peer.hear, "127.0.0.1", 0)
    peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield peer.url
    finally:
        server.close()


@asynccontextmanager
async def hanging(addresses: int) -> AsyncIterator[Hanging]:
    """Listens at so many, hosts of their own, and breaks off everything at the end."""
    peer, servers = Hanging(), list[asyncio.Server]()
    try:
        for number in range(addresses):
            servers.append(await asyncio.start_server(peer.hear, f"127.0.1.{number + 1}", 0))
        places = [each.sockets[0].getsockname() for each in servers]
        peer.urls = [f"http://{host}:{port}" for host, port in places]
        yield peer
    finally:
        for server in servers:
            server.close()
        for _, writer in peer.held:
            writer.transport.abort()
        await asyncio.gather(
            *(writer.wait_closed() for _, writer in peer.held), return_exceptions=True
        )
