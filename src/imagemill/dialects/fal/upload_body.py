"""Bodies of uploads, as they come and in bounds; and how storage tells that it refuses one."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from imagemill.dialects.fal import vocabulary
from imagemill.errors import Fault, Kind
from imagemill.http import content_coding, json_body, replies
from imagemill.http.request_body import USUAL, Arrival, announced

log = logging.getLogger(__name__)

STATUSES: Mapping[Kind, int] = {
    Kind.INVALID: 400,
    Kind.DENIED: 401,
    Kind.UNPAID: 402,
    Kind.NOT_FOUND: 404,
    Kind.TOO_LARGE: 413,
    Kind.UNAVAILABLE: 503,
    Kind.FULL: 507,
    Kind.SLOW: 408,
    Kind.ENCODED: 415,
    Kind.BUSY: 429,
}  # all others are our fault: 500
GONE = 499  # nobody reads it
ARRIVAL = "imagemill.fal.arrival"  # in a scope

CORS = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "etag, content-range, content-disposition, accept-ranges",
}
Handler = Callable[..., Awaitable[Response]]

_UNEXPECTED = Fault(Kind.FAILED, "something went wrong here; the server's log tells what")


@dataclass(frozen=True)
class UploadLimits:
    """How much is taken, and how slowly it may come."""

    #: Bytes of one body.
    upload: int = 100 * 2**20
    #: Bytes of all parts of a file.
    multipart: int = 2 * 2**30
    #: Bytes of JSON; ten thousand parts take half of it.
    json: int = 2 * 2**20
    #: Seconds that a token for uploads is good.
    token: int = 3600
    #: Seconds without a byte.
    silence: float = 60.0
    #: Bytes of a refused body that are read all the same, so that its sender hears why.
    drained: int = 200 * 2**20


async def pieces(request: Request, limit: int, silence: float) -> AsyncIterator[bytes]:
    """The body as it comes; a Fault where it is larger than `limit` bytes, or stops coming."""
    too_large = Fault(
        Kind.TOO_LARGE,
        f"the body is larger than {limit} bytes; send at most that, or a file in parts",
        "body",
    )
    if announced(request.scope) > limit:
        raise too_large
    arrival, size = _arrival(request, silence), 0
    unpacker = content_coding.unpacker(request.headers)
    async for packed in arrival.pieces():
        for piece in unpacker.pieces(packed):
            size += len(piece)
            if size > limit:
                raise too_large
            yield piece
        if arrival.size > limit * content_coding.MOST_PACKED:
            raise too_large
    unpacker.end()


async def json(request: Request, limits: UploadLimits) -> Any:
    """The value of a body that is JSON."""
    coming = pieces(request, limits.json, limits.silence)
    return json_body.parse(json_body.text(b"".join([piece async for piece in coming])))


def answering(handler: Handler, limits: UploadLimits, shown: bool = False) -> Handler:
    """A handler whose faults are told in fal's words. shown: pages of any origin may read it."""

    @wraps(handler)
    async def answer(request: Request, **path: Any) -> Response:
        try:
            response = await handler(request, **path)
        except ClientDisconnect:
            return Response(status_code=GONE)
        except Fault as fault:
            response = await _refuse(request, fault, limits)
        except Exception:
            log.exception("a request to fal's storage failed")
            response = await _refuse(request, _UNEXPECTED, limits)
        response.headers.update(CORS if shown else {})
        return response

    return answer


async def _refuse(request: Request, fault: Fault, limits: UploadLimits) -> Response:
    if "expect" not in request.headers:  # else nothing was sent yet
        await _drain(request, limits)
    status, headers = STATUSES.get(fault.kind, 500), replies.fault_headers(fault)
    return JSONResponse(vocabulary.in_words(fault.message), status, headers)


async def _drain(request: Request, limits: UploadLimits) -> None:
    arrival = _arrival(request, limits.silence)
    most = arrival.size + limits.drained
    with suppress(ClientDisconnect, TimeoutError, Fault):
        async with asyncio.timeout(limits.silence):
            async for _ in arrival.pieces():
                if arrival.size > most:
                    return


def _arrival(request: Request, silence: float) -> Arrival:
    """The body of a request, as far as it has come."""
    pace = replace(USUAL, silence=silence)
    arrival: Arrival = request.scope.setdefault(ARRIVAL, Arrival(request.receive, pace))
    return arrival
