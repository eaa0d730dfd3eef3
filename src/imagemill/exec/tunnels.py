"""Two connections joined into one: what is read from either is written to the other.

No task stands between them, so none can be left behind; whoever reads slowly is waited for.
"""

import asyncio
import base64
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import SplitResult, unquote

HEAD_LIMIT = 64 * 1024  # bytes until the blank line
HEAD_SECONDS = 30.0
HANDSHAKE_SECONDS = 30.0
END = b"\r\n\r\n"
PORTS = {"http": 80, "https": 443}
AGREED = b"HTTP/1.1 200 Connection established" + END


@dataclass(frozen=True)
class Destination:
    """Where to connect to; `tls` where TLS is spoken there."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True)
class Above:
    """The proxy that this machine itself needs to reach others."""

    destination: Destination
    credential: str  # for Proxy-Authorization; empty where there is none

    @classmethod
    def at(cls, url: SplitResult) -> "Above":
        user, password = unquote(url.username or ""), unquote(url.password or "")
        tls = ssl.create_default_context() if url.scheme == "https" else None
        destination = Destination(url.hostname or "", url.port or PORTS[url.scheme], tls)
        return cls(destination, basic(user, password) if user else "")


def basic(user: str, password: str) -> str:
    """Both, as headers carry them."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


class Head(asyncio.Protocol):
    """Waits for the first lines of the other side; who is given to `heard` takes it from there."""

    def __init__(
        self,
        heard: Callable[[asyncio.Transport, bytes], None],
        failed: Callable[[asyncio.Transport], None],
    ) -> None:
        self.heard, self.failed = heard, failed
        self.held, self.done = bytearray(), False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.patience = asyncio.get_running_loop().call_later(HEAD_SECONDS, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.held += data
        if END in self.held:
            self._end()
            self.transport.pause_reading()
            self.heard(self.transport, bytes(self.held))
        elif len(self.held) > HEAD_LIMIT:
            self._end()
            self.failed(self.transport)

    def connection_lost(self, _: Exception | None) -> None:
        assert self.transport is not None
        if not self.done:
            self._end()
            self.failed(self.transport)

    def _end(self) -> None:
        self.done = True
        self.patience.cancel()


class Landing(asyncio.Protocol):
    """Reads nothing: TLS begins with the first byte, for which somebody has to be there."""

    def __init__(self, come: Callable[[asyncio.Transport], None]) -> None:
        self.come = come

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).pause_reading()
        self.come(cast(asyncio.Transport, transport))


class Pipe(asyncio.Protocol):
    """One of two sides. Who has said all may still listen, where the connection can do that."""

    other: "Pipe"

    def __init__(self, live: set["Pipe"]) -> None:
        self.live = live
        self.transport: asyncio.Transport | None = None
        self.ended = self.choked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Not read before it is joined: a server may speak before there is who listens."""
        self.take(cast(asyncio.Transport, transport))
        cast(asyncio.Transport, transport).pause_reading()

    def take(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.live.add(self)

    def data_received(self, data: bytes) -> None:
        if self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Whether the connection stays open for what the other side still has to say."""
        self.ended, there = True, self.other.transport
        if there is not None and not there.is_closing():
            if self.other.ended or not there.can_write_eof():
                there.close()
            else:
                there.write_eof()
        half = self.transport is not None and self.transport.can_write_eof()
        return half and not self.other.ended

    def pause_writing(self) -> None:
        self.other.choke(True)

    def resume_writing(self) -> None:
        self.other.choke(False)

    def choke(self, choked: bool) -> None:
        self.choked = choked
        if self.transport is not None and not self.transport.is_closing():
            (self.transport.pause_reading if choked else self.transport.resume_reading)()

    def connection_lost(self, _: Exception | None) -> None:
        self.live.discard(self)
        if self.other.transport is not None:
            self.other.transport.close()  # once it was sent what it was given


def pair(live: set[Pipe]) -> tuple[Pipe, Pipe]:
    """Two sides of one tunnel; those that are open are in `live`."""
    near, far = Pipe(live), Pipe(live)
    near.other, far.other = far, near
    return near, far


def join(near: Pipe, far: Pipe, first: bytes = b"") -> None:
    """Lets both sides speak, the near one with what it has said already."""
    if far.transport is not None and first:
        far.transport.write(first)
    for each in (near, far):
        assert each.transport is not None
        if each.transport.is_closing():
            each.connection_lost(None)  # it went while nobody read it
        each.choke(each.choked)


async def reach(far: Pipe, destination: Destination, above: Above | None) -> bytes:
    """Connects `far` there, by the proxy above where there is one; gives what came early."""
    if above is None:
        await _connect(far, destination)
        return b""
    transport, early = await _climb(above, destination)
    transport.set_protocol(far)
    far.connection_made(transport)
    if destination.tls is not None:
        far.take(await shake(transport, far, destination.tls, destination.host))
    return early


async def shake(
    transport: asyncio.Transport, pipe: Pipe, tls: ssl.SSLContext, host: str | None = None
) -> asyncio.Transport:
    """The connection with TLS on it, as the server of the two where no `host` is given."""
    secured = await asyncio.get_running_loop().start_tls(
        transport,
        pipe,
        tls,
        server_side=host is None,
        server_hostname=host,
        ssl_handshake_timeout=HANDSHAKE_SECONDS,
    )
    assert secured is not None
    return secured


async def _connect(protocol: asyncio.BaseProtocol, destination: Destination) -> None:
    await asyncio.get_running_loop().create_connection(
        lambda: protocol,
        destination.host,
        destination.port,
        ssl=destination.tls,
        server_hostname=destination.host if destination.tls else None,
    )


async def _climb(above: Above, destination: Destination) -> tuple[asyncio.Transport, bytes]:
    """A connection to `destination` that the proxy above has made."""
    answer = asyncio.get_running_loop().create_future()

    def heard(transport: asyncio.Transport, held: bytes) -> None:
        if not answer.done():
            answer.set_result(held)

    def failed(transport: asyncio.Transport) -> None:
        transport.abort()
        if not answer.done():
            answer.set_exception(ConnectionError("the proxy above hung up"))

    head = Head(heard, failed)
    await _connect(head, above.destination)
    assert head.transport is not None
    try:
        head.transport.write(_connect_head(above, destination))
        said, _, early = (await answer).partition(END)
        if said.split(b" ")[1:2] != [b"200"]:
            raise ConnectionError("the proxy above refused")
    except BaseException:
        head.transport.abort()
        raise
    return head.transport, early


def _connect_head(above: Above, destination: Destination) -> bytes:
    host = f"[{destination.host}]" if ":" in destination.host else destination.host
    lines = [f"CONNECT {host}:{destination.port} HTTP/1.1", f"host: {host}:{destination.port}"]
    if above.credential:
        lines.append(f"proxy-authorization: {above.credential}")
    return "\r\n".join(lines).encode("latin-1") + END
