"""fal's server-side proxy: its JavaScript client names fal's own address, and we answer in place.

The header `x-fal-target-url` tells where a request was meant to go. Nothing is ever fetched: host
and path are looked up among our own routes, and the same request goes there, streaming both ways.
Every address ends below one of the four prefixes, the proxy itself is below none, so it cannot be
led back to itself.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import SplitResult, unquote, urlsplit

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagemill.dialects.fal import vocabulary
from imagemill.http.addresses import plain
from imagemill.http.hosts import FAL_CDN, hosts_below

PATH = "/fal/proxy"
VERBS = ("GET", "POST", "PUT")
TARGET = b"x-fal-target-url"

# Where each of fal's hosts is found here.
PREFIXES = hosts_below("/fal/run", "/fal/queue", "/fal/rest", FAL_CDN)

# Between two neighbours only (RFC 9110, 7.6.1); cookies are for the page, not for fal.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
NOT_FORWARDED = HOP_BY_HOP | {b"cookie", TARGET}
NOT_RETURNED = HOP_BY_HOP | {b"set-cookie"}

# What the router that found us has written down of the way.
ROUTING_KEYS = frozenset({"endpoint", "path_params", "route", "router"})

_URL = re.compile(r"[!-~]+")  # no space, no control character, nothing outside ASCII
_KNOWN = ", ".join(f"https://{host}" for host in PREFIXES)

Headers = Iterable[tuple[bytes, bytes]]


class FalProxy:
    """Passes what comes in to `inner`, under the path that the target has there."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(_returned(message))

        try:
            await self._inner(_forwarded(scope), receive, answer)
        except HTTPException as error:
            if begun:
                raise
            body = vocabulary.in_words(error.detail)
            refusal = JSONResponse(body, error.status_code, error.headers)
            await refusal(scope, receive, send)


def routes(inner: ASGIApp) -> APIRouter:
    """The proxy before `inner`, which has the routes below the prefixes."""
    return APIRouter(
        routes=[Route(PATH, FalProxy(inner), name="fal_proxy", include_in_schema=False)]
    )


def _forwarded(scope: Scope) -> Scope:
    """The request as if it had been sent to our own route; raises an HTTPException."""
    if scope["method"] not in VERBS:
        allowed = ", ".join(VERBS)
        detail = f"{scope['method'][:20]} is not passed on; use one of {allowed}"
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, detail, {"allow": allowed})
    target = _target(scope["headers"])
    root = scope.get("root_path", "")
    place, path = root + PREFIXES[target.netloc.lower()], target.path or "/"
    return {name: value for name, value in scope.items() if name not in ROUTING_KEYS} | {
        "path": place + plain(unquote(path)),
        "raw_path": (place + path).encode(),
        "query_string": target.query.encode(),
        "headers": _without(NOT_FORWARDED, scope["headers"]),
    }


def _target(headers: Headers) -> SplitResult:
    """The address in the header, where it is one of fal's."""
    targets = [value.decode("latin-1") for name, value in headers if name == TARGET]
    if len(targets) != 1:
        detail = f"the header x-fal-target-url came {len(targets)} times"
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"{detail}; send the address to call once")
    try:
        target = urlsplit(targets[0] if _URL.fullmatch(targets[0]) else "")
    except ValueError:
        target = urlsplit("")
    # The whole of it is compared: with a user, a port or a dot behind, it is not the host of fal.
    if target.scheme != "https" or target.netloc.lower() not in PREFIXES:
        detail = f"x-fal-target-url {targets[0]!r:.200} is not below one of {_KNOWN}"
        raise HTTPException(HTTPStatus.PRECONDITION_FAILED, detail)
    if {".", ".."} & set(unquote(target.path).split("/")):
        detail = f"x-fal-target-url {targets[0]!r:.200} has steps such as '..'"
        raise HTTPException(HTTPStatus.PRECONDITION_FAILED, f"{detail}; send the path without")
    return target


def _returned(message: Message) -> Message:
    if message["type"] != "http.response.start":
        return message
    return {**message, "headers": _without(NOT_RETURNED, message.get("headers", ()))}


def _without(dropped: frozenset[bytes], headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers that go on: none of `dropped`, and none that Connection keeps for itself."""
    held = [(name.lower(), value) for name, value in headers]
    named = b",".join(value.lower() for name, value in held if name == b"connection").split(b",")
    dropped = dropped | {name.strip() for name in named}
    return [(name, value) for name, value in held if name not in dropped]
