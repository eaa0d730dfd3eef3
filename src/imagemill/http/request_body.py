"""Request bodies: how fast they must come, where they wait until they are whole, what they take.

A body that is on its way takes next to no memory: what is longer than a few kilobytes lies in a
file until all of it is there. Only then it is read, drawing on the memory that the inputs of all
callers have together, which is given back when the request has been dealt with, however that ends.
"""

import asyncio
import errno
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from imagemill.budget import RETRY_SECONDS, Budget, Share
from imagemill.errors import Fault, Kind
from imagemill.folders import make_private
from imagemill.http import content_coding
from imagemill.http.content_coding import MOST_PACKED, Gzip, Plain
from imagemill.threads import DISK

log = logging.getLogger(__name__)

IN_MEMORY = 2**16  # bytes of a body on its way that lie in no file
COPIES = 4  # of a body that there are while it is read: as bytes, text, strings, content
OVERSLEPT = 5.0  # seconds after the end of a wait, which only a process that was stopped takes
NOT_READ = (Kind.ENCODED, Kind.INVALID)  # what cannot be unpacked
DRAINED = 16  # times the limit, read and thrown away so that the caller can hear our answer
FULL_SECONDS = 60.0  # after which a disk that is full may have room again
MEMORY, ON_DISK = 2**29, 2**33  # bytes, where nobody has set them

BODIES, HELD, WHOLE = "imagemill.bodies", "imagemill.held", "imagemill.body"  # in a scope


@dataclass(frozen=True)
class Pace:
    """silence: seconds in which something must come. grace: seconds that a body may take whatever
    it is; then `rate` bytes a second must have come. Only waiting for the caller counts.
    """

    silence: float = 30.0
    grace: float = 30.0
    rate: int = 1024


USUAL = Pace()


@dataclass(eq=False)
class Arrival:
    """A body on its way. size: bytes that have come. waited: seconds for them."""

    receive: Receive
    pace: Pace = USUAL
    clock: Callable[[], float] = time.monotonic
    size: int = 0
    waited: float = 0.0
    cut_off: bool = False
    ended: bool = False  # all has come
    _waiting: asyncio.Timeout | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes; raises a Fault of kind SLOW where it does not."""
        while not self.ended:
            message = await self._next()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            piece, self.ended = message.get("body", b""), not message.get("more_body", False)
            self.size += len(piece)
            if not self.ended and self.waited >= self._allowed:
                raise self._too_slow()
            if piece:
                yield piece

    def cut(self) -> None:
        """Ends it, so that others may come."""
        self.cut_off = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    @property
    def _allowed(self) -> float:
        return max(self.pace.grace, self.size / self.pace.rate)

    async def _next(self) -> Any:
        while not self.cut_off:
            began, limit = self.clock(), min(self.pace.silence, self._allowed - self.waited)
            try:
                async with asyncio.timeout(limit) as self._waiting:
                    message = await self.receive()
                self.waited += self.clock() - began
                return message
            except TimeoutError:
                silent = self.clock() - began
                if silent > limit + OVERSLEPT:
                    continue  # this process did not run; what came meanwhile is to be read first
                self.waited += silent
                fault = self._silent() if limit >= self.pace.silence else self._too_slow()
                raise fault from None
            finally:
                self._waiting = None
        raise self._too_slow()

    def _silent(self) -> Fault:
        message = f"nothing came of the body for {self.pace.silence:g} seconds"
        return Fault(Kind.SLOW, f"{message}; send it without pauses", "body")

    def _too_slow(self) -> Fault:
        if self.cut_off:
            message = "others need the room that this body takes, which comes too slowly"
            return Fault(Kind.SLOW, f"{message}; send it again", "body")
        rate = self.size / max(self.waited, 1e-9)
        message = f"the body comes at {rate:.0f} bytes a second"
        return Fault(Kind.SLOW, f"{message}; send at least {self.pace.rate}", "body")


@dataclass
class Whole:
    """A body that has come, or why it has not. size: bytes as unpacked, of one that is too large as
    far as it was read.
    """

    size: int = 0
    fault: Fault | ClientDisconnect | None = None
    open: bool = True
    head: bytearray = field(default_factory=bytearray)
    share: Share | None = None  # of the disk
    file: IO[bytes] | None = None

    @property
    def memory(self) -> int:
        """Bytes that reading it takes, beyond what every connection has."""
        return self.size * COPIES if self.size > IN_MEMORY else 0

    async def content(self) -> bytes:
        if self.file is None:
            return bytes(self.head)
        return await DISK.run(self._read)

    async def replace(self, content: bytes) -> None:
        """Other content in its place, which is no longer."""
        self.size = len(content)
        if self.file is None:
            self.head[:] = content
        else:
            await DISK.run(self._write, content)

    def close(self) -> None:
        self.open = False
        self.leave()
        self.head.clear()
        if self.file is not None:
            self.file.close()
            self.file = None

    def leave(self) -> None:
        """Gives back its part of the disk."""
        if self.share is not None:
            self.share.release()

    def _write(self, content: bytes) -> None:
        assert self.file is not None
        self.file.seek(0)
        self.file.truncate()
        self.file.write(content)

    def _read(self) -> bytes:
        assert self.file is not None
        self.file.seek(0)
        return self.file.read()


@dataclass
class Bodies:
    """Where the bodies of all callers are. memory, disk: what they may take together. folder: for
    those on their way, None for the system's own.
    """

    memory: Budget = field(default_factory=lambda: Budget(MEMORY))
    disk: Budget = field(default_factory=lambda: Budget(ON_DISK))
    folder: Path | None = None
    pace: Pace = USUAL
    clock: Callable[[], float] = time.monotonic
    _arriving: dict[Arrival, tuple[float, Whole]] = field(default_factory=dict)  # the oldest first

    async def read(self, scope: Scope, receive: Receive, limit: int) -> bytes:
        """The whole body, which is read but once; a Fault where it is larger than `limit` bytes.

        The memory that it takes is held until the request has been dealt with, or `settled`.
        """
        if "expect" in Headers(scope=scope) and announced(scope) > limit:
            raise too_large(limit)  # the caller has sent nothing yet, and asks whether to
        whole = await self.whole(scope, receive, limit)
        try:
            if whole.fault is not None:
                raise whole.fault
            if whole.size > limit:
                raise too_large(limit)
            _held(scope).append(await self.memory.take(whole.memory))
            return await whole.content()
        finally:
            whole.close()

    async def whole(self, scope: Scope, receive: Receive, limit: int) -> Whole:
        """The body, for `read` to be read again. One larger than `limit` bytes is not kept."""
        known = scope.get(WHOLE)
        if isinstance(known, Whole):
            return known
        scope[WHOLE] = whole = Whole()
        _held(scope).append(whole)
        arrival = Arrival(receive, self.pace, self.clock)
        self._arriving[arrival] = self.clock(), whole
        try:
            await self._arrive(arrival, whole, limit, Headers(scope=scope))
        except (Fault, ClientDisconnect) as why:
            whole.fault = why
        finally:
            del self._arriving[arrival]
            if whole.fault is not None or whole.size > limit:
                whole.close()
        return whole

    async def _arrive(self, arrival: Arrival, whole: Whole, limit: int, headers: Headers) -> None:
        pieces = arrival.pieces()
        try:
            unpacker = content_coding.unpacker(headers)
            fits = await self._keep(arrival, pieces, whole, limit, unpacker)
        except Fault as fault:
            if fault.kind in NOT_READ:
                whole.close()
                await self._drain(arrival, pieces, limit)
            raise
        if not fits:
            whole.close()
            await self._drain(arrival, pieces, limit)

    async def _keep(
        self,
        arrival: Arrival,
        pieces: AsyncIterator[bytes],
        whole: Whole,
        limit: int,
        unpacker: Plain | Gzip,
    ) -> bool:
        """Whether the body is within the limit, beyond which none of it is unpacked."""
        async for packed in pieces:
            for piece in unpacker.pieces(packed):
                whole.size += len(piece)
                if whole.size > limit:
                    return False
                whole.head += piece
                if len(whole.head) > IN_MEMORY:
                    await self._write(arrival, whole)
            if arrival.size > limit * MOST_PACKED:
                whole.size = arrival.size
                return False
        unpacker.end()
        if whole.file is not None and whole.head:
            await self._write(arrival, whole)
        return True

    async def _drain(self, arrival: Arrival, pieces: AsyncIterator[bytes], limit: int) -> None:
        """Reads the rest of a body that is refused."""
        since = arrival.waited
        async for _ in pieces:
            late = arrival.waited - since > self.pace.grace
            if late or arrival.size > limit * DRAINED:
                return

    async def _write(self, arrival: Arrival, whole: Whole) -> None:
        """Puts into the file what came since the last time."""
        piece = bytes(whole.head)
        self._make_room(arrival, len(piece))
        whole.share = whole.share or Share(self.disk, 0)
        whole.share.size += len(piece)
        whole.head.clear()
        try:
            if whole.file is None:
                whole.file = self._open()
            await DISK.run(whole.file.write, piece)
        except OSError as error:
            log.warning("a body on its way could not be put on disk: %s", error)
            raise _unwritten(error) from None

    def _make_room(self, arrival: Arrival, size: int) -> None:
        """Takes what a file needs more; where there is no room, those go that take their time."""
        slow = (
            (each, whole)
            for each, (since, whole) in list(self._arriving.items())
            if each is not arrival and self.clock() - since > self.pace.grace
        )
        while not self.disk.try_take(size):
            slowest = next(slow, None)
            if slowest is None:
                raise _no_room()
            slowest[0].cut()
            slowest[1].leave()

    def _open(self) -> IO[bytes]:
        if self.folder is not None:
            make_private(self.folder)
        return tempfile.TemporaryFile(dir=self.folder, buffering=0)


class Bounded:
    """Gives every request its part of `bodies`, and takes back what it held when it has ended."""

    def __init__(self, app: ASGIApp, bodies: Bodies) -> None:
        self.app, self.bodies = app, bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, BODIES: self.bodies, HELD: []}
        try:
            await self.app(scope, receive, send)
        finally:
            settled(scope)


def bodies_of(scope: Scope) -> Bodies:
    """Those of the server; for an application without `Bounded`, some of its own."""
    bodies = scope.get(BODIES)
    return bodies if isinstance(bodies, Bodies) else Bodies()


def settled(scope: Scope) -> None:
    """Gives back what a request holds, of which nothing is needed any more."""
    held = _held(scope)
    for each in held:
        each.close() if isinstance(each, Whole) else each.release()
    held.clear()


async def hold(scope: Scope, size: int) -> None:
    """Draws memory that a request holds until it has been dealt with."""
    if size > IN_MEMORY:
        _held(scope).append(await bodies_of(scope).memory.take(size))


def announced(scope: Scope) -> int:
    """Bytes that the caller says it will send."""
    length = Headers(scope=scope).get("content-length", "")[:18]
    return int(length) if length.isascii() and length.isdigit() else 0


def too_large(limit: int) -> Fault:
    message = f"the body is larger than {limit} bytes; send at most that"
    return Fault(Kind.TOO_LARGE, message, "body")


def _held(scope: Scope) -> list[Whole | Share]:
    held: list[Whole | Share] = scope.setdefault(HELD, [])
    return held


def _unwritten(error: OSError) -> Fault:
    kind = Kind.FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else Kind.UNAVAILABLE
    message = "bodies on their way cannot be put on disk just now"
    return Fault(kind, f"{message}; come again in {FULL_SECONDS:.0f} seconds", "body", FULL_SECONDS)


def _no_room() -> Fault:
    message = "there is no room for more bodies on their way"
    retry = f"come again in {RETRY_SECONDS:.0f} seconds"
    return Fault(Kind.BUSY, f"{message}; {retry}", "body", RETRY_SECONDS)
