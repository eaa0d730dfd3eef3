"""fal's realtime: one WebSocket, an input in each frame, an output for each input that was begun.

Inputs wait in a small buffer, where the newest drive out the oldest: who draws while we paint wants
the last stroke answered, not every one. A browser has no way to send a credential with a socket,
so it brings a token of a short life instead.
"""

import asyncio
import json
import logging
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sized
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import msgpack
from fastapi import APIRouter, WebSocket
from starlette.datastructures import Headers, QueryParams
from starlette.websockets import WebSocketDisconnect

from imagemill.budget import Budget, Share
from imagemill.dialects.fal.lifecycle import check_form
from imagemill.dialects.fal.tokens import Tokens
from imagemill.dialects.fal.tokens import routes as token_routes
from imagemill.errors import Fault, Kind, invalid
from imagemill.http import json_body, operation
from imagemill.http.identity import caller_of, is_local
from imagemill.http.request_body import IN_MEMORY, bodies_of
from imagemill.http.routing import join_routes
from imagemill.threads import BODIES

__all__ = ["Tokens", "routes"]

log = logging.getLogger(__name__)

Run = Callable[[str, dict[str, Any], str, bool], Awaitable[dict[str, Any]]]
Frame = bytes | str
RealtimeError = Literal["INVALID_PAYLOAD", "INTERNAL_ERROR", "TIMEOUT", "Unauthorized"]

# TIMEOUT is not among them: the JavaScript client passes over it, as it tells of silence only.
ERRORS: dict[Kind, RealtimeError] = {
    Kind.INVALID: "INVALID_PAYLOAD",
    Kind.NOT_FOUND: "INVALID_PAYLOAD",
    Kind.TOO_LARGE: "INVALID_PAYLOAD",
    Kind.ENCODED: "INVALID_PAYLOAD",
    Kind.SLOW: "INVALID_PAYLOAD",
    Kind.BUSY: "INTERNAL_ERROR",
    Kind.LOADING: "INTERNAL_ERROR",
    Kind.CANCELLED: "INTERNAL_ERROR",
    Kind.DENIED: "Unauthorized",
    Kind.UNPAID: "Unauthorized",
    Kind.CONFLICT: "INVALID_PAYLOAD",
    Kind.EARLY: "INTERNAL_ERROR",
    Kind.TIMEOUT: "INTERNAL_ERROR",
    Kind.NO_PATH: "INVALID_PAYLOAD",
    Kind.NO_VERB: "INVALID_PAYLOAD",
    Kind.MALFORMED: "INVALID_PAYLOAD",
    Kind.MISDIRECTED: "Unauthorized",
    Kind.FOREIGN: "Unauthorized",
    Kind.FORBIDDEN: "INVALID_PAYLOAD",
    Kind.UNREACHABLE: "INVALID_PAYLOAD",
    Kind.UNREADABLE: "INVALID_PAYLOAD",
    Kind.UNSUPPORTED: "INVALID_PAYLOAD",
    Kind.UNAVAILABLE: "INTERNAL_ERROR",
    Kind.FULL: "INTERNAL_ERROR",
    Kind.UNSAFE: "INVALID_PAYLOAD",
    Kind.FAILED: "INTERNAL_ERROR",
}
DONE, REFUSED, BROKEN = 1000, 1008, 1011  # why a socket is closed (RFC 6455, 7.4.1)

MOST_WAITING = 60  # inputs, as fal's clients allow
ROOMS = {str(room): room for room in range(1, MOST_WAITING + 1)}
FRAME_BYTES = 16_000_000  # below uvicorn's own limit, which closes the socket without a word
HELD_BYTES = 64_000_000  # of waiting inputs, of one socket
VALUES = 20_000  # in one input: an empty list is a byte on the wire and 56 in memory
LENGTH = 4096  # of one list: msgpack makes room for the length that is announced
ID_LENGTH = 200
SILENCE = 60.0  # seconds without an input
NO_ROOM = "the inputs of other calls fill the memory that is kept for them; send it again"


class InputBuffer:
    """Inputs that wait: the newest `room` of them, within the memory that all inputs share."""

    def __init__(self, room: int, memory: Budget) -> None:
        self._room, self._memory = room, memory
        self._frames, self._size = deque[tuple[Frame, Share]](), 0
        self._filled = asyncio.Event()

    def put(self, frame: Frame) -> bool:
        """Whether there was memory for it, be it that of older inputs of its own."""
        size = sys.getsizeof(frame)
        while self._frames and (len(self._frames) >= self._room or self._size + size > HELD_BYTES):
            self._drop()
        while not (room := self._memory.try_take(size)) and self._frames:
            self._drop()
        if room:
            self._frames.append((frame, Share(self._memory, size)))
            self._size += size
        self._filled.set() if self._frames else self._filled.clear()
        return room

    async def take(self) -> tuple[Frame, Share]:
        """The oldest, and its share of the memory, which the taker gives back."""
        await self._filled.wait()
        frame, share = self._frames.popleft()
        self._size -= share.size
        if not self._frames:
            self._filled.clear()
        return frame, share

    def clear(self) -> None:
        while self._frames:
            self._drop()

    def _drop(self) -> None:
        _, share = self._frames.popleft()
        self._size -= share.size
        share.release()


@dataclass(frozen=True)
class Session:
    """One open socket: who talks about which application."""

    #: Accepted.
    socket: WebSocket
    #: The application's name, as the URL has it.
    app: str
    #: Whose credential or token it is.
    caller: str
    #: Answers one input.
    run: Run
    #: Seconds without an input, after which the socket is closed.
    silence: float

    async def hold(self, buffer: InputBuffer) -> None:
        """Until either side has had enough; what runs then is cancelled."""
        tasks = [asyncio.create_task(self._listen(buffer)), asyncio.create_task(self._work(buffer))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            buffer.clear()
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, WebSocketDisconnect):
                raise end

    async def _listen(self, buffer: InputBuffer) -> None:
        while (message := await self.socket.receive())["type"] == "websocket.receive":
            binary = message.get("bytes")
            if not buffer.put(message["text"] if binary is None else binary):
                await _tell(self.socket, ERRORS[Kind.BUSY], NO_ROOM)

    async def _work(self, buffer: InputBuffer) -> None:
        while True:
            try:
                frame, share = await asyncio.wait_for(buffer.take(), self.silence)
            except TimeoutError:
                reason = f"no inputs for {self.silence:g} seconds, reconnect when needed"
                return await _end(self.socket, DONE, "TIMEOUT", reason)
            try:
                await self._answer(frame)
            except WebSocketDisconnect:
                raise
            except Exception:
                log.exception("a realtime input for %.200r failed", self.app)
                reason = operation.UNEXPECTED.message
                return await _end(self.socket, BROKEN, "INTERNAL_ERROR", reason)
            finally:
                share.release()

    async def _answer(self, frame: Frame) -> None:
        echoed: dict[str, Any] = {}
        try:
            arguments = await BODIES.run(read, frame) if len(frame) > IN_MEMORY else read(frame)
            echoed = _echoed(arguments)
            local = is_local(self.socket)
            output = await self.run(self.app, arguments, self.caller, local)
        except Fault as fault:
            await _tell(self.socket, ERRORS[fault.kind], fault.message, echoed)
        else:
            await self.socket.send_bytes(msgpack.packb(output | echoed))


def read(frame: Frame) -> dict[str, Any]:
    """The input in a frame: msgpack where it is binary, JSON where it is text."""
    if len(frame) > FRAME_BYTES:
        message = f"the input is larger than {FRAME_BYTES} bytes; send at most that"
        raise Fault(Kind.TOO_LARGE, message, "body")
    value = _of_text(frame) if isinstance(frame, str) else _of_bytes(frame)
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise invalid("body", "the input is not an object with names; send one")
    return value


def _of_text(frame: str) -> Any:
    if sum(map(frame.count, "[{,")) > VALUES:
        raise _too_many()
    return json_body.parse(frame)


def _of_bytes(frame: bytes) -> Any:
    count = 0

    def counted(value: Sized) -> Sized:
        nonlocal count
        count += 1 + len(value)
        if count > VALUES:
            raise _too_many()
        return value

    try:
        return msgpack.unpackb(
            frame,
            list_hook=counted,
            object_hook=counted,
            max_array_len=LENGTH,
            max_map_len=LENGTH,
        )
    except (ValueError, msgpack.UnpackException) as error:
        why = str(error) or "it is nested too deeply, or ends too early"
        raise invalid("body", f"the input is not msgpack: {why:.200}; send that, or JSON") from None


def _too_many() -> Fault:
    return invalid("body", f"the input has more than {VALUES} values; send fewer")


def _echoed(arguments: dict[str, Any]) -> dict[str, Any]:
    """The caller's own mark, which goes back with the answer; it is no part of the input."""
    id = arguments.pop("request_id", None)
    if id is None:
        return {}
    if not isinstance(id, str) or len(id) > ID_LENGTH:
        message = f"request_id is not a string of at most {ID_LENGTH} characters; shorten it"
        raise invalid("request_id", message)
    return {"request_id": id}


async def _tell(
    socket: WebSocket, error: RealtimeError, reason: str, echoed: dict[str, Any] | None = None
) -> None:
    """An error, as both clients read it; JavaScript's looks for `status` when a token is bad."""
    body = {"type": "x-fal-error", "status": "error", "error": error, "reason": reason}
    await socket.send_text(json.dumps(body | (echoed or {})))


async def _end(socket: WebSocket, code: int, error: RealtimeError, reason: str) -> None:
    await _tell(socket, error, reason)
    await socket.close(code)


def _caller(headers: Headers, query: QueryParams, app: str, tokens: Tokens) -> str:
    check_form(headers)
    if not query.get("fal_jwt_token") and not caller_of(headers):
        way_out = "bring fal_jwt_token in the URL, or the header Authorization"
        raise Fault(Kind.DENIED, f"there is no credential; {way_out}")
    return tokens.caller(headers, query, app)


def _room(query: QueryParams) -> int:
    buffering = query.get("max_buffering", str(MOST_WAITING))
    if buffering not in ROOMS:
        message = f"max_buffering {buffering!r:.80} is out of range; give 1 to {MOST_WAITING}"
        raise invalid("max_buffering", message)
    return ROOMS[buffering]


def routes(run: Run, tokens: Tokens, silence: float = SILENCE) -> APIRouter:
    """run: application, input, caller and whether that is on this machine in; output out, its
    pictures as bytes; raises Faults.
    """
    router = APIRouter()

    async def converse(socket: WebSocket, app: str) -> None:
        with suppress(WebSocketDisconnect):
            # Nobody refuses before this: a browser does not tell its page why a socket was refused.
            query = socket.query_params
            socket.scope["query_string"] = b""  # which the HTTP server logs, the token with it
            await socket.accept()
            try:
                caller, room = _caller(socket.headers, query, app, tokens), _room(query)
            except Fault as fault:
                await _end(socket, REFUSED, ERRORS[fault.kind], fault.message)
                return
            buffer = InputBuffer(room, bodies_of(socket.scope).memory)
            await Session(socket, app, caller, run, silence).hold(buffer)

    router.add_api_websocket_route("/fal/run/{app:path}/realtime", converse)
    join_routes(router, token_routes(tokens))
    return router
