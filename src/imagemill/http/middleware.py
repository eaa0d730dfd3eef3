"""What every request passes on its way in: its turn, a request id, patience for hasty clients, and
HEAD as GET without a body.
"""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagemill.http.addresses import path_of
from imagemill.http.replies import IGNORED_FIELDS, listed
from imagemill.http.unknown_fields import NAMES
from imagemill.pacing import Pacer

log = logging.getLogger(__name__)

LEAST_PAUSE, MOST_PAUSE = 1.0, 10.0  # seconds before a 503

REQUEST_ID = "imagemill.request_id"  # in a scope
_REQUEST_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)


class PacingMiddleware:
    """Lets few requests begin in one pass of the event loop."""

    def __init__(self, app: ASGIApp, pacer: Pacer) -> None:
        self.app, self.pacer = app, pacer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.pacer.turn()
        await self.app(scope, receive, send)


class HeadMiddleware:
    """Answers HEAD wherever GET is, with all but the body.

    own: how paths begin whose routes do that themselves, and read no file for it.
    """

    def __init__(self, app: ASGIApp, own: tuple[str, ...]) -> None:
        self.app, self.own = app, own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "HEAD" or path_of(scope).startswith(self.own):
            await self.app(scope, receive, send)
            return
        ended = False

        async def without_body(message: Message) -> None:
            nonlocal ended
            if not ended:
                ended = True
                await send(message)
                await send({"type": "http.response.body"})

        await self.app({**scope, "method": "GET"}, receive, without_body)


class SlowRetryMiddleware:
    """Holds every 503 back from a client that sends again at once and for ever when it gets one.

    hasty: how the user agent of such a client begins.
    """

    def __init__(
        self,
        app: ASGIApp,
        hasty: str,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.app, self.hasty, self.pause = app, hasty, pause

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        agent = Headers(scope=scope).get("user-agent", "") if scope["type"] == "http" else ""
        hasty = agent.startswith(self.hasty)
        await self.app(scope, receive, self._held(send) if hasty else send)

    def _held(self, send: Send) -> Send:
        async def held(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 503:
                said = Headers(raw=message["headers"]).get("retry-after", "")
                seconds = float(said) if said.isascii() and said.isdigit() else LEAST_PAUSE
                await self.pause(min(max(seconds, LEAST_PAUSE), MOST_PAUSE))
            await send(message)

        return held


def request_id(scope: Scope) -> str:
    """What marks the reply to a request; empty outside a server."""
    return str(scope.get(REQUEST_ID, ""))


class RequestIdMiddleware:
    """Marks every reply with a request id, the caller's own where it is sane, and with the fields
    that were passed over, and logs both.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        id, began, status = _id(scope), time.monotonic(), 0
        ignored: list[str] = scope.setdefault(NAMES, [])
        scope[REQUEST_ID] = id

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = id
                if ignored:
                    headers[IGNORED_FIELDS] = listed(ignored)
            await send(message)

        try:
            await self.app(scope, receive, marked)
        finally:
            facts = {
                "request_id": id,
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "seconds": round(time.monotonic() - began, 4),
            }
            log.info("%(method)s %(path)r %(status)s in %(seconds)s s", facts, extra=facts)
            if ignored:
                log.info("unknown fields were passed over: %s", listed(ignored), extra=facts)


def _id(scope: Scope) -> str:
    id = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return id if _REQUEST_ID.fullmatch(id) else uuid.uuid4().hex
