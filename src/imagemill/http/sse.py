"""Server-sent events: streams that end with their caller, and that say when they are silent."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

KEEP_ALIVE = 15.0  # seconds of silence after which a stream says that it lives
ALIVE = ": alive\n\n"  # a comment, which clients pass over

_STREAM = {"cache-control": "no-store", "x-accel-buffering": "no"}


def event(body: Any, name: str | None = None, id: str | None = None) -> str:
    """One event, in ASCII: fal's JavaScript client decodes each piece of a stream by itself.

    A string goes as it is, line by line; all else as JSON.
    """
    lines = body.split("\n") if isinstance(body, str) else [json.dumps(body)]
    fields = [f"event: {name}"] if name else []
    fields += [f"id: {id}"] if id else []
    return "\n".join([*fields, *(f"data: {line}" for line in lines)]) + "\n\n"


class Events(StreamingResponse):
    """A stream of events, which is closed at once when its caller hangs up."""

    def __init__(self, events: AsyncGenerator[str], headers: Mapping[str, str]) -> None:
        merged = _STREAM | dict(headers)
        super().__init__(events, media_type="text/event-stream", headers=merged)
        self.events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.events.aclose()


class Watched(Events):
    """A stream of a job that was begun. It is left also where its caller hangs up before the first
    event: a generator that was never begun would not do that.
    """

    def __init__(
        self,
        events: AsyncGenerator[str],
        headers: Mapping[str, str],
        leave: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(events, headers)
        self.leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await asyncio.shield(self.leave())


class Pulse:
    """Tells when a stream has been silent for so long that a proxy might give it up."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def beat(self) -> None:
        self._last = time.monotonic()

    def due(self) -> bool:
        silent = time.monotonic() - self._last > KEEP_ALIVE
        if silent:
            self.beat()
        return silent
