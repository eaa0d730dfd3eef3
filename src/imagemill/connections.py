"""Connections: how many are open, how long each may be silent, how large a head may be.

uvicorn bounds none of these with its fast parser: a caller who connects and says nothing is never
sent away, and neither is one who does not read our reply. Here every connection has until
`head_seconds` to ask something, and where there are too many, those go first that ask nothing.
"""

import asyncio
import json
import logging
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from imagemill.budget import Budget

log = logging.getLogger(__name__)

RESERVED = 256  # descriptors for the database, files, the engine and what is fetched
PER_CONNECTION = 2  # descriptors: its socket, and the file of a large body
MOST_DESCRIPTORS = 2**16  # some systems know no hard limit
MOST_PIPELINED = 16  # requests of one connection that wait for an answer
LOOK_SECONDS = 1.0  # between looks at all connections
SMALL_MESSAGE = 2**16  # bytes of a WebSocket's message that are not counted
TRY_AGAIN_LATER = 1013  # why a WebSocket is closed (IANA's registry)


@dataclass(frozen=True)
class Limits:
    """most: connections open at a time; half of them may be WebSockets. head_bytes: of a request
    line with all headers. head_seconds: from the connection, or the last reply, until a head is
    whole. unread_seconds: that a caller may read nothing of a reply. unread_bytes: of all replies
    together that nobody has read yet; beyond, those go that have been unread for longest.
    linger_bytes: of a body that was answered before it was whole.
    """

    most: int = 1000
    head_bytes: int = 2**16
    head_seconds: float = 20.0
    unread_seconds: float = 60.0
    unread_bytes: int = 2**28
    linger_bytes: int = 2**26


@dataclass(eq=False)
class Watched:
    """One connection. since: when it was opened, or last answered. unread: bytes of a reply that
    its caller has not read, which have been so many since `stuck`, and some since `behind`.
    """

    protocol: Any
    transport: asyncio.Transport
    client: str
    since: float
    socket: bool = False
    unread: int = 0
    stuck: float = 0.0
    behind: float = 0.0

    @property
    def silent(self) -> bool:
        """Whether no request of it is being answered."""
        cycle = None if self.socket else self.protocol.cycle
        return not self.socket and (cycle is None or cycle.response_complete)

    @property
    def arriving(self) -> bool:
        """Whether a request of it has not come whole, and nothing was answered yet."""
        cycle = None if self.socket else self.protocol.cycle
        return cycle is not None and cycle.more_body and not cycle.response_started


@dataclass
class Connections:
    """All connections of one server. closed: is told of each that is closed: silent, unread, full,
    inputs.
    """

    limits: Limits = field(default_factory=Limits)
    clock: Callable[[], float] = time.monotonic
    closed: Callable[[str], None] = lambda _: None
    _open: dict[Any, Watched] = field(default_factory=dict)  # by protocol, the oldest first
    _timer: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        return len(self._open)

    @property
    def sockets(self) -> int:
        """How many of them are WebSockets."""
        return sum(each.socket for each in self._open.values())

    def opened(self, protocol: Any, transport: asyncio.Transport, client: str) -> bool:
        """Whether there is room for one more; makes some, if need be."""
        if self.count >= self.limits.most and not self._make_room():
            self.closed("full")
            return False
        self._open[protocol] = Watched(protocol, transport, client, self.clock())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._tick)
        return True

    def upgraded(self, http: Any, socket: Any) -> None:
        """A connection goes on as a WebSocket."""
        watched = self._open.pop(http, None)
        if watched is not None:
            watched.protocol, watched.socket = socket, True
            self._open[socket] = watched

    def answered(self, protocol: Any) -> None:
        if protocol in self._open:
            self._open[protocol].since = self.clock()

    def lost(self, protocol: Any) -> None:
        self._open.pop(protocol, None)

    def look(self) -> None:
        """Closes what has been silent, or unread, for too long."""
        now = self.clock()
        for each in list(self._open.values()):
            self._measure(each, now)
            if each.silent and not each.unread and now - each.since > self.limits.head_seconds:
                self._close(each, "silent")
            elif each.unread and now - each.stuck > self.limits.unread_seconds:
                self._close(each, "unread")
        self._relieve(now)

    def _measure(self, each: Watched, now: float) -> None:
        unread = each.transport.get_write_buffer_size()
        if unread != each.unread:
            # More of it was written because some had been read: writers wait for that.
            each.stuck = now
            each.behind = now if not each.unread else each.behind
            each.unread = unread

    def _relieve(self, now: float) -> None:
        """Lets go of replies that are read too slowly, where they take too much together."""
        behind = sorted((each for each in self._open.values() if each.unread), key=_behind)
        whole = sum(each.unread for each in behind)
        for each in behind:
            if whole <= self.limits.unread_bytes or now - each.behind < LOOK_SECONDS:
                return
            whole -= each.unread
            self._close(each, "unread")

    def _make_room(self) -> bool:
        """Closes one of the silent, or else one whose request is still arriving: the oldest of the
        caller who has most of them.
        """
        everyone = list(self._open.values())
        for some in ([e for e in everyone if e.silent], [e for e in everyone if e.arriving]):
            if some:
                self._close(_oldest_of_the_most(some), "full")
                return True
        return False

    def _close(self, each: Watched, why: str) -> None:
        self.closed(why)
        self.lost(each.protocol)
        each.transport.abort()

    def _tick(self) -> None:
        self._timer = None
        self.look()
        if self._open:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._tick)


def _behind(each: Watched) -> float:
    return each.behind


def _oldest_of_the_most(some: Iterable[Watched]) -> Watched:
    counted = Counter(each.client for each in some)
    return min(some, key=lambda each: (-counted[each.client], each.since))


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's protocol, within the limits of `watch`, which a subclass has."""

    watch: Connections
    _barren: int = 0  # bytes that brought neither a whole head nor anything of a body
    _fruitful = False
    _lingered: int = 0  # bytes of a body that nobody reads any more

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self.watch.opened(self, transport, self.client[0] if self.client else ""):
            self._refuse(503, "there are too many connections; come again in a second")

    def connection_lost(self, exc: Exception | None) -> None:
        self.watch.lost(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._fruitful = False
        super().data_received(data)
        self._barren = 0 if self._fruitful else self._barren + len(data)
        if self._lingered > self.watch.limits.linger_bytes:
            self.transport.abort()
        elif self._barren > self.watch.limits.head_bytes:
            self._refuse(431, self._too_large())

    def on_message_begin(self) -> None:
        self._lingered = 0
        if len(self.pipeline) >= MOST_PIPELINED:
            raise ValueError("too many requests before an answer")  # which makes it a bad request
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._fruitful = True
        if self._head_size() <= self.watch.limits.head_bytes:
            super().on_headers_complete()
            return
        self.app, usual = _refusing(431, self._too_large()), self.app
        super().on_headers_complete()
        self.app = usual

    def on_body(self, body: bytes) -> None:
        self._fruitful = True
        self._lingered += len(body) if self.cycle and self.cycle.response_complete else 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._fruitful = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.watch.answered(self)
        super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, _unchunked(app, cycle) if _is_old(cycle) else app)

    def handle_websocket_upgrade(self) -> None:
        if self._head_size() > self.watch.limits.head_bytes:
            self._refuse(431, self._too_large())
        elif self.watch.sockets >= self.watch.limits.most // 2:
            self._refuse(503, "there are too many WebSockets; come again in a second")
        else:
            super().handle_websocket_upgrade()
            self.watch.upgraded(self, self.transport.get_protocol())

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _too_large(self) -> str:
        most = self.watch.limits.head_bytes
        return f"the headers are larger than {most} bytes; send what is large in the body"

    def _refuse(self, status: int, message: str) -> None:
        """Closes the connection, with a reply unless there is one under way."""
        if self.cycle is None or self.cycle.response_complete:
            body = _error(message)
            head = b"content-type: application/json\r\nconnection: close\r\nretry-after: 1\r\n"
            length = b"content-length: %d\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + length + body)
            self.transport.close()
        else:
            self.transport.abort()


class BoundedSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSockets; a message draws from `inputs` until it is whole, unless it is small."""

    watch: Connections
    inputs: Budget
    _arrived: int = 0  # bytes of a message that is not whole
    _drawn: int = 0

    def connection_lost(self, exc: Exception | None) -> None:
        self.watch.lost(self)
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._arrived += len(data)
        wanted = max(0, self._arrived - SMALL_MESSAGE) - self._drawn
        if wanted > 0 and not self.inputs.try_take(wanted):
            self.watch.closed("inputs")
            self.conn.fail(TRY_AGAIN_LATER, "too many inputs at a time; come again")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
            return
        self._drawn += max(0, wanted)
        super().data_received(data)
        if not self.frames and not self.conn.reader.buffer:
            self._forget()

    def send_receive_event_to_app(self) -> None:
        super().send_receive_event_to_app()
        self._forget()

    def _forget(self) -> None:
        """What arrived is the application's now, or nobody's."""
        self.inputs.give(self._drawn)
        self._arrived = self._drawn = 0


def protocols(
    watch: Connections, inputs: Budget
) -> tuple[type[asyncio.Protocol], type[asyncio.Protocol]]:
    """For HTTP and for WebSockets, as uvicorn takes them."""
    http = type("Http", (BoundedHttp,), {"watch": watch})
    socket = type("Socket", (BoundedSocket,), {"watch": watch, "inputs": inputs})
    return http, socket


def most_connections(wanted: int) -> int:
    """As many of `wanted` as this process has descriptors for, having raised its limit to what the
    system allows.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    fit = max(16, (highest - RESERVED) // PER_CONNECTION)
    if fit < wanted:
        log.warning("only %d connections are held: %d descriptors may be open", fit, highest)
    return min(wanted, fit)


def _is_old(cycle: RequestResponseCycle) -> bool:
    return cycle.scope["http_version"] == "1.0"


def _unchunked(app: Any, cycle: RequestResponseCycle) -> Any:
    """An application whose replies of unknown length are told as HTTP/1.0 reads them: as they are,
    until the connection ends, which uvicorn sees to.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        measured = True

        async def written(message: Message) -> None:
            nonlocal measured
            if message["type"] == "http.response.start":
                measured = any(name.lower() == b"content-length" for name, _ in message["headers"])
                cycle.chunked_encoding = None if measured else False
            elif not measured:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, written)

    return answer


def _refusing(status: int, message: str) -> Any:
    body = _error(message)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return refuse


def _error(message: str) -> bytes:
    return json.dumps({"error": message}).encode()
