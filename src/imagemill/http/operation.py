"""The way of a call through a dialect: its body in bounds, its caller, its hang-up noticed."""

import asyncio
import errno
import hashlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Coroutine, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from imagemill.catalog import stands_in
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import Answer
from imagemill.http import json_body, replies, request_body, sse
from imagemill.http.context import AppContext
from imagemill.http.identity import ACCOUNT, is_local, person_of
from imagemill.http.unknown_fields import Passes, UnknownFields, nowhere, unknown_fields_of
from imagemill.job import Job, Priority, Repeat, Submission
from imagemill.jobs.input_files import Inline
from imagemill.jobs.places import Place
from imagemill.jobs.repeats import FIELD
from imagemill.jobs.service import NO_IMAGES
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


class Gone(Exception):
    """The caller hung up."""


Handler = Callable[..., Awaitable[Response]]


@dataclass
class Call:
    """One request for images, until it is replied to."""

    context: AppContext
    request: Request
    #: Let go of once it has been read.
    body: bytes
    #: That the path names; empty where it names none.
    model: str
    #: What is given back when the reply is made.
    held: ExitStack
    #: What becomes of fields that the dialect does not know.
    unknown: UnknownFields
    #: That was taken for the call before it was submitted.
    place: Place | None = None
    #: By field, those that came within the request and are bytes already.
    images: Mapping[str, Inline] = field(default_factory=dict)
    #: Tells the call from its caller's others; empty where the body does.
    identity: bytes = b""
    #: When its body was there, in the seconds of `time.monotonic`.
    began: float = field(default_factory=time.monotonic)
    #: What the dialect's `read` leaves for its `reply`.
    state: object = None

    @property
    def headers(self) -> Headers:
        """Those of the request."""
        return self.request.headers

    def base(self) -> str:
        """The address under which the caller knows this server, without a slash at the end."""
        return self.context.base(self.request)

    def admit(self) -> None:
        """Takes a place before what costs much is done; a Fault where none is free."""
        place = self.context.service.admit(person_of(self.request))
        self.place = self.held.enter_context(place)


Read = Callable[[Call], Awaitable[Submission]]
Reply = Callable[[Call, Submission], Awaitable[Response]]


def always(call: Call, submission: Submission) -> bool:
    """Every caller waits for the reply."""
    return True


@dataclass(frozen=True)
class Operation:
    """How one dialect answers a request for images."""

    #: Its name, as the operator knows it.
    dialect: str
    #: Raises a Fault for what is wrong outside the body: credential, query.
    check: Callable[[Request], None]
    #: What a call asks for; raises a Fault for what is wrong with it.
    read: Read
    #: Tells of the images, or, where nobody waits for them, of their job.
    reply: Reply
    #: Tells of a fault, to who sent the headers.
    refuse: Callable[[Headers, Fault], Response]
    #: The body may carry images, and be longer for that.
    carries_images: bool = True
    #: Whether the caller waits on this connection for the images.
    waits: Callable[[Call, Submission], bool] = always
    #: Work is usually wanted whose caller has hung up.
    finishes: bool = False
    #: A hang-up ends the whole; else `reply` listens for itself, where it waits.
    listens: bool = True
    #: Which unknown fields of a body are passed over, as the API does; all others are refused.
    passes: Passes = nowhere

    async def answer(self, context: AppContext, request: Request, model: str = "") -> Response:
        """The reply to one request; model: as the path names it."""
        refuse = partial(self.refuse, request.headers)
        return await _answered(context, self.dialect, refuse, self.run(context, request, model))

    def handler(self, context: AppContext) -> Handler:
        """The same as a route without a model in its path."""

        async def handle(request: Request) -> Response:
            return await self.answer(context, request)

        return handle

    async def run(self, context: AppContext, request: Request, model: str = "") -> Response:
        """The same within a handler that tells of faults itself."""
        limit = context.input_limit if self.carries_images else context.body_limit
        body = await read_body(request, limit)
        self.check(request)
        with ExitStack() as held:
            unknown = unknown_fields_of(request.scope, self.passes, context.strict)
            call = Call(context, request, body, model, held, unknown)
            del body  # which is not kept while the image is painted
            work = self._replied(call)
            return await (while_listening(request, work) if self.listens else work)

    async def _replied(self, call: Call) -> Response:
        submission = await self.read(call)
        identity = call.identity or call.body
        submission = await called(
            call.context,
            call.request,
            identity,
            submission,
            self.waits(call, submission),
            self.finishes,
            call.images,
        )
        del identity
        call.body = call.identity = b""  # not kept while the image is painted
        call.images = NO_IMAGES
        return await self.reply(call, submission)


def painting(write: Callable[[Submission, Answer], Response]) -> Reply:
    """A reply that holds the images themselves, so that their job need not be known to anybody."""

    async def reply(call: Call, submission: Submission) -> Response:
        answer = await call.context.service.paint(submission, call.place)
        report(submission, answer)
        return write(submission, answer)

    return reply


async def streamed(
    call: Call,
    submission: Submission,
    events: Callable[[Job], AsyncGenerator[str]],
    previews: bool = False,
) -> Response:
    """A reply in events, which come of a job that is begun now and left when they end.

    previews: whether images on their way are wanted.
    """
    service = call.context.service
    job = await service.begin(submission, previews, call.place)
    return sse.Watched(events(job), {}, lambda: service.leave(job))


def fields_in_query(
    request: Request, fields: Container[str] = (), known: Container[str] = ()
) -> list[str]:
    """The parameters in the URL that are fields of a body. What is none, and not known, is passed
    over and logged: clients of other APIs send `api-version`, and pages what tells them apart.
    """
    if not request.scope.get("query_string"):
        return []
    names = list(dict.fromkeys(request.query_params))
    misplaced = [name for name in names if name in fields]
    if unknown := [name for name in names if name not in known and name not in misplaced]:
        log.info("parameters in the URL were passed over: %s", replies.listed(tuple(unknown)))
    return misplaced


def no_fields_in_query(*bodies: type[BaseModel]) -> Callable[[Request], None]:
    """A check that raises a Fault where a field of one of the bodies is in the URL."""
    fields = json_body.names(*bodies)

    def check(request: Request) -> None:
        if misplaced := fields_in_query(request, fields):
            names = ", ".join(f"{name:.80}" for name in misplaced)
            raise invalid("query", f"{names} in the URL is not read here; put it into the body")

    return check


def answering(
    context: AppContext, dialect: str, refuse: Callable[[Fault], Response], handler: Handler
) -> Handler:
    """A handler whose faults are told in the words of its dialect, and which is counted."""

    @wraps(handler)
    async def answer(*args: Any, **kwargs: Any) -> Response:
        return await _answered(context, dialect, refuse, handler(*args, **kwargs))

    return answer


def answering_by(
    context: AppContext,
    dialect: str,
    refuse: Callable[[Headers, Fault], Response],
    handler: Handler,
) -> Handler:
    """The same where the words depend on who asks."""

    @wraps(handler)
    async def answer(request: Request, *args: Any, **kwargs: Any) -> Response:
        words = partial(refuse, request.headers)
        return await _answered(context, dialect, words, handler(request, *args, **kwargs))

    return answer


async def _answered(
    context: AppContext,
    dialect: str,
    refuse: Callable[[Fault], Response],
    work: Awaitable[Response],
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
        log.exception("a request to %s failed", dialect)
        response, outcome = refuse(answer), answer.kind.value
    context.telemetry.requests.labels(dialect, outcome).inc()
    return response


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
    context: AppContext,
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
    unwanted = waits and not context.finishes(submission.dialect, finishes)
    submission = replace(
        submission,
        generation=await context.service.keep_inputs(submission.generation, caller, images),
        priority=Priority.INTERACTIVE if waits else submission.priority,
        cancel_on_disconnect=unwanted,
        repeat=await repeat_of(request, body),
        local=is_local(request),
        person=caller or person_of(request),
    )
    if ACCOUNT in request.headers:
        submission = replace(submission, price=context.prices.of(submission.generation))
    request_body.settled(request.scope)
    return submission


async def hold(request: Request, size: int) -> None:
    """Draws bytes that are held until the request has been dealt with."""
    await request_body.hold(request.scope, size)


async def repeat_of(request: Request, body: bytes) -> Repeat | None:
    """What a call says of being sent again; Stainless' clients count how often they did."""
    key, count = (request.headers.get(name) for name in (FIELD, RESENT))
    if key is None and count is None:
        return None
    said = hashlib.sha256(f"{request.url.path}?{request.url.query}\n".encode())
    await reading(body, said.update, body)
    content, resent = said.hexdigest(), count not in (None, "0")
    if key is None:
        return Repeat(content, content, resent=resent)
    # Callers without a credential choose their keys apart from one another.
    name = hashlib.sha256(f"{person_of(request)}\n{key}".encode())
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
