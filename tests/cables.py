"""A cable to a PostgreSQL server, that can be cut and mended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from sqlalchemy.engine import URL, make_url


@dataclass
class Cable:
    """What lies between a client, who sees a port of 127.0.0.1, and the socket of a server."""

    socket: str
    port: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    server: asyncio.Server | None = None

    async def mend(self) -> None:
        self.server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Breaks all connections; who connects anew is refused."""
        assert self.server is not None
        self.server.close()
        self.breaks()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def breaks(self) -> None:
        """Breaks all connections that are there."""
        for writer in list(self.writers):
            writer.transport.abort()

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self.socket)
        self.writers |= {writer, back}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, back))
                group.create_task(_pump(there, writer))
        finally:
            self.writers -= {writer, back}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    writer.transport.abort()


@asynccontextmanager
async def cabled(url: str) -> AsyncIterator[tuple[Cable, str]]:
    """A cable to the database at a URL, and the URL of it that leads through the cable."""
    whole: URL = make_url(url)
    cable = Cable(f"{whole.query['host']}/.s.PGSQL.5432")
    await cable.mend()
    through = whole.set(query={}, host="127.0.0.1", port=cable.port)
    try:
        yield cable, through.render_as_string(hide_password=False)
    finally:
        await cable.cut()
