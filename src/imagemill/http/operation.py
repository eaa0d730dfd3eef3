"""The way of a call through a dialect: its body in bounds, its caller, its hang-up noticed."""

import asyncio
import errno
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from fastapi import Request, Response
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from imagemill.catalog import Catalog, Endpoint, stands_in
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import Answer
from imagemill.http import replies, request_body
from imagemill.http.identity import base_of, is_local, person_of
from imagemill.input_files import Inline
from imagemill.job import Priority, Repeat, Submission
from imagemill.repeats import FIELD
from imagemill.service import NO_IMAGES, Service
from imagemill.telemetry import Telemetry
from imagemill.threads import BODIES

log = logging.getLogger(__name__)
T = TypeVar("T")
P = ParamSpec("P")

SHORT = 2**18  # bytes of a body that is read at once
RESENT = "x-stainless-retry-count"
GONE = 499  # nobody reads it
STOPPED = Fault(Kind.CANCELLED, "the server stopped this work; ask again")
NO_ROOM = Fault(Kind.FULL, "this server has no room left; come again later", retry_after=60)
UNEXPECTED = Fault(Kind.FAILED, "something went wrong here; the server's log tells what")


@dataclass(frozen=True)
class House:
    """What stands behind every door."""

    service: Service
    catalog: Catalog
    telemetry: Telemetry
    body_limit: int  # bytes
    input_limit: int  # bytes of a body that may carry pictures
    behind_proxy: bool
    on_hang_up: Mapping[str, str] = field(default_factory=dict)  # by dialect

    def finishes(self, door: str, usual: bool = False) -> bool:
        """Whether work goes on whose caller has hung up."""
        return self.on_hang_up.get(door, "finish" if usual else "cancel") == "finish"

    def base(self, request: Request) -> str:
        """The address under which the caller knows this server, without a slash at the end."""
        return base_of(request, self.behind_proxy)


@dataclass(frozen=True)
class Door:
    """How one dialect reads a request, writes an answer, and refuses."""

    name: str
    read: Callable[[Endpoint, Headers, bytes], Submission]
    write: Callable[[Submission, Answer], Response]
    refuse: Callable[[Fault], Response]


class Gone(Exception):
    """The caller hung up."""


Handler = Callable[..., Awaitable[Response]]


def answering(
    house: House, door: str, refuse: Callable[[Fault], Response], handler: Handler
) -> Handler:
    """A handler whose faults are told in the words of its dialect, and which is counted."""

    @wraps(handler)
    async def answer(*args: Any, **kwargs: Any) -> Response:
        return await _answered(house, door, refuse, handler(*args, **kwargs))

    return answer


def answering_by(
    house: House, door: str, refuse: Callable[[Headers, Fault], Response], handler: Handler
) -> Handler:
    """The same where the words depend on who asks."""

    @wraps(handler)
    async def answer(request: Request, *args: Any, **kwargs: Any) -> Response:
        told = partial(refuse, request.headers)
        return await _answered(house, door, told, handler(request, *args, **kwargs))

    return answer


async def _answered(
    house: House, door: str, refuse: Callable[[Fault], Response], work: Awaitable[Response]
) -> Response:
    try:
        response, outcome = await work, "ok"
    except (Gone, ClientDisconnect):
        response, outcome = Response(status_code=GONE), "gone"
    except Fault as fault:
        response, outcome = refuse(fault), fault.kind.value
    except asyncio.CancelledError:
        # By the HTTP server, whose patience at a shutdown has ended; the caller still listens.
        response, outcome = refuse(STOPPED), STOPPED.kind.value
    except Exception as error:
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC  # while a form was read
        answer = NO_ROOM if full else UNEXPECTED
        log.exception("a request at the door %s failed", door)
        response, outcome = refuse(answer), answer.kind.value
    house.telemetry.requests.labels(door, outcome).inc()
    return response


async def answer(house: House, door: Door, model: str, request: Request) -> Response:
    """Answers one request for pictures of `model`."""
    return await _answered(house, door.name, door.refuse, _paint(house, door, model, request))


async def _paint(house: House, door: Door, model: str, request: Request) -> Response:
    submission = await _submission(house, door, model, request)
    answer = await while_listening(request, house.service.paint(submission))
    report(submission, answer)
    return door.write(submission, answer)


async def _submission(house: House, door: Door, model: str, request: Request) -> Submission:
    body = await read_body(request, house.body_limit)
    if request.url.query:
        raise invalid("query", "parameters in the URL are not read here; put them into the body")
    endpoint = house.catalog.find(model)
    submission = await reading(body, door.read, endpoint, request.headers, body)
    return await called(house, request, body, submission)


def report(submission: Submission, answer: Answer) -> None:
    """What the caller may read in headers, the operator reads in the log."""
    served_by, id = answer.painted.served_by, submission.generation.model
    if stands_in(id, submission.source):
        log.info("%s stands in for %s", served_by, id, extra={"model": id})
    if answer.painted.ignored:
        log.info(
            "ignored by %s, or drawn as something near: %s",
            served_by,
            replies.listed(answer.painted.ignored),
        )


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body; a Fault where it is larger than `limit` bytes, or comes too slowly."""
    return await request_body.bodies_of(request.scope).read(request.scope, request.receive, limit)


async def reading(body: bytes, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` makes of a body; away from the loop that answers everybody where it is long."""
    if len(body) <= SHORT:
        return work(*args, **kwargs)
    return await BODIES.run(work, *args, **kwargs)


async def called(
    house: House,
    request: Request,
    body: bytes,
    submission: Submission,
    waits: bool = True,
    finishes: bool = False,
    images: Mapping[str, Inline] = NO_IMAGES,
) -> Submission:
    """The submission, with what is read of every call alike, whatever its dialect. What came within
    the request is a file of ours then, and the memory of the body is given back: let go of it.

    body: what tells the call from the caller's others. waits: the caller does, on this connection.
    finishes: whether work is usually wanted whose caller has hung up. images: by field, those that
    came within the request and are bytes already.
    """
    caller = submission.caller
    unwanted = waits and not house.finishes(submission.dialect, finishes)
    submission = replace(
        submission,
        generation=await house.service.keep_inputs(submission.generation, caller, images),
        priority=Priority.INTERACTIVE if waits else submission.priority,
        cancel_on_disconnect=unwanted,
        repeat=await repeat_of(request, body),
        local=is_local(request),
        person=caller or person_of(request),
    )
    request_body.settled(request.scope)
    return submission


async def hold(request: Request, size: int) -> None:
    """Draws bytes that are held until the request has been dealt with."""
    await request_body.hold(request.scope, size)


async def repeat_of(request: Request, body: bytes) -> Repeat | None:
    """What a call says of being sent again; Stainless' clients count how often they did."""
    given, count = (request.headers.get(name) for name in (FIELD, RESENT))
    if given is None and count is None:
        return None
    said = hashlib.sha256(f"{request.url.path}?{request.url.query}\n".encode())
    await reading(body, said.update, body)
    content, resent = said.hexdigest(), count not in (None, "0")
    if given is None:
        return Repeat(content, content, resent=resent)
    # Callers without a credential choose their keys apart from one another.
    name = hashlib.sha256(f"{person_of(request)}\n{given}".encode())
    return Repeat(name.hexdigest(), content, True, resent)


async def while_listening(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the caller hangs up; its body has been read."""
    ours = asyncio.current_task()
    assert ours is not None
    listener = asyncio.create_task(_hang_up(request))
    listener.add_done_callback(lambda over: over.cancelled() or ours.cancel())
    try:
        return await work
    except asyncio.CancelledError:
        if listener.done() and not ours.uncancel():  # else the server stops us as well
            raise Gone from None
        raise
    finally:
        listener.cancel()


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
