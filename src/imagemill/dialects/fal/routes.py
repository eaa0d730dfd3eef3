"""fal's routes: run, stream, queue."""

import logging
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers

from imagemill.conditions import StoredStyle
from imagemill.dialects.fal import (
    describe,
    realtime,
    storage,
    style_making,
    vocabulary,
    write,
)
from imagemill.dialects.fal.pages import PAGES
from imagemill.dialects.fal.read import DIALECT, App, app, credential, read, routed, spoken
from imagemill.dialects.fal.tokens import Tokens
from imagemill.errors import Fault, Kind, invalid
from imagemill.http import operation, replies, sse
from imagemill.http.addresses import path_of
from imagemill.http.context import AppContext
from imagemill.http.identity import of_hugging_face
from imagemill.http.middleware import request_id
from imagemill.http.operation import Call, Operation, Reply
from imagemill.http.routing import join_routes
from imagemill.http.unknown_fields import UnknownFields, everywhere, nowhere
from imagemill.job import FINAL, Job, Line, Status, Submission
from imagemill.jobs.job_events import Preview

log = logging.getLogger(__name__)

_REQUEST_PATH = re.compile(
    r"(?P<app>.+?)/requests/(?P<id>[\w-]{1,64})(?P<end>|/response|/status|/status/stream|/cancel)/?"
)
LOGS = {"1", "true", "True"}
QUERY = ("fal_webhook", "fal_max_queue_length", "fal_jwt_token", "_subdomain")  # read of calls
Handler = Callable[[Request, str], Awaitable[Response]]
Waits = Callable[[Call, Submission], bool]


class Fal:
    """The dialect at work for one server."""

    def __init__(self, context: AppContext, tokens: Tokens) -> None:
        self.context, self.service, self.tokens = context, context.service, tokens

    def _caller(self, request: Request, app: str) -> str:
        credential(request.headers)
        return self.tokens.caller(request.headers, request.query_params, app)

    def _app(self, request: Request, path: str) -> App:
        return (routed if _by_router(request) else app)(self.context.catalog, path)

    async def route(self, request: Request, path: str) -> Response:
        """As Hugging Face's router: one address for both of fal's hosts."""
        queued = request.query_params.get("_subdomain") == "queue"
        return await (self.submit if queued else self.run)(request, path)

    async def run(self, request: Request, path: str) -> Response:
        """Waits for the output, or streams what happens until it is there."""
        path = path.rstrip("/")
        if path.strip("/") in style_making.APPLICATIONS:
            return style_making.output(await self._style(request, path))
        streams = path.endswith("/stream")
        app = self._app(request, path.removesuffix("/stream"))
        reply = self._streamed if streams else self._output
        return await self._operation(app, reply).run(self.context, request)

    async def _output(self, call: Call, submission: Submission) -> Response:
        job = await operation.while_listening(call.request, self.service.wait_for(submission))
        body = await write.output(self.service, job, str(submission.dialect_state["base"]))
        return JSONResponse(body, headers=_headers(job))

    async def _streamed(self, call: Call, submission: Submission) -> Response:
        job = await self.service.begin(submission)
        stream = self._events(job, str(submission.dialect_state["base"]))
        return sse.Watched(stream, _marks(job), lambda: self.service.leave(job))

    async def converse(
        self, path: str, value: dict[str, Any], caller: str, local: bool
    ) -> dict[str, Any]:
        """One answer of a realtime connection, with its images as bytes."""
        passes = nowhere if self.context.strict else everywhere
        unknown = UnknownFields(passes)
        submission = spoken(app(self.context.catalog, path), value, caller, local, unknown)
        if unknown.names:
            log.info("unknown fields were passed over: %s", replies.listed(unknown.names))
        job = await self.service.wait_for(submission)
        return await write.spoken(self.service, job)

    async def submit(self, request: Request, path: str) -> Response:
        """Puts a request into the queue."""
        if (name := path.strip("/")) in style_making.APPLICATIONS:
            style = await self._style(request, name)
            return style_making.submitted(style, name, self.context.base(request))
        app = self._app(request, path)
        webhook_url = request.query_params.get("fal_webhook") or None
        return await self._operation(app, self._queued, webhook_url, _held).run(
            self.context, request
        )

    async def _style(self, request: Request, path: str) -> StoredStyle:
        _check(request)
        if request.query_params.get("fal_webhook"):
            message = "a style is made at once, so that no webhook tells of it"
            raise invalid("fal_webhook", f"{message}; leave fal_webhook out, and read the output")
        caller = self._caller(request, path.strip("/"))
        return await style_making.make(self.context, request, caller)

    async def _queued(self, call: Call, submission: Submission) -> Response:
        request = call.request
        await self._check_length(request.query_params.get("fal_max_queue_length"))
        if _held(call, submission):
            return await self._at_the_end(request, submission)
        job = await self.service.submit(submission)
        if await request.is_disconnected():  # and will send the same again
            await self.service.cancel(job)
            raise operation.Gone
        position = await self.service.position(job)
        body = write.submitted(job, position, str(submission.dialect_state["base"]))
        body |= self._urls(request, job)
        return JSONResponse(body, headers=_marks(job))

    async def _at_the_end(self, request: Request, submission: Submission) -> Response:
        """Answers when all is done, so that nothing is left to wait for."""
        job = await operation.while_listening(request, self.service.wait_for(submission))
        if job.fault is not None:
            raise write.fault_of(job, job.fault)
        body = write.submitted(job, 0, str(submission.dialect_state["base"]))
        body |= {"status": vocabulary.STATUSES[job.status]} | self._urls(request, job)
        return JSONResponse(body, headers=_headers(job))

    def _operation(
        self,
        app: App,
        reply: Reply,
        webhook_url: str | None = None,
        waits: Waits = operation.always,
    ) -> Operation:
        return Operation(
            DIALECT,
            _check,
            partial(self._read, app, webhook_url),
            reply,
            refuse,
            waits=waits,
            listens=False,  # who queues has gone by then, who streams is listened to by the stream
            passes=everywhere,
        )

    async def _read(self, app: App, webhook_url: str | None, call: Call) -> Submission:
        caller = self.tokens.caller(call.headers, call.request.query_params, app.page.id)
        submission = await operation.reading(
            call.body,
            read,
            app,
            call.headers,
            call.body,
            call.base(),
            caller,
            webhook_url,
            call.unknown,
        )
        if app.page.general:
            log.info("%s has no page here: its fields are read by their usual names", app.page.id)
        return submission

    async def _check_length(self, limit: str | None) -> None:
        if limit is None or not limit.isascii() or not limit.isdigit():
            return
        waiting = await self.service.waiting()
        if waiting > int(limit):
            raise Fault(
                Kind.BUSY, f"{waiting} requests wait, more than {limit[:20]}", retry_after=10
            )

    async def ask(self, request: Request, path: str) -> Response:
        """Status, result or cancel of a request, by what follows its id."""
        match = _REQUEST_PATH.fullmatch(path)
        if match is None:
            raise Fault(Kind.NOT_FOUND, f"Path /{path:.200} not found")
        caller = self._caller(request, match["app"])
        try:
            job = await self.service.job(match["id"], caller)
        except Fault:
            if (style := await self.context.styles.find(match["id"], caller)) is None:
                raise
            base = self.context.base(request)
            return style_making.answered(style, match["end"], match["app"], base)
        if job.submission.dialect != DIALECT:
            raise Fault(Kind.NOT_FOUND, "there is no such request, or no longer", "request_id")
        verb, answer = ANSWERS[match["end"]]
        if request.method != verb:
            return JSONResponse(vocabulary.in_words("Method Not Allowed"), 405, {"allow": verb})
        return await answer(self, request, job)

    async def _status(self, request: Request, job: Job) -> Response:
        logs = request.query_params.get("logs") in LOGS
        lines = await self.service.lines(job) if logs else None
        code, body = await self._status_body(job, lines, request)
        return JSONResponse(body, code, {"x-fal-request-id": job.id})

    async def _status_body(
        self, job: Job, lines: list[Line] | None, request: Request
    ) -> tuple[int, Any]:
        queued = job.status is Status.QUEUED
        position = await self.service.position(job) if queued else 0
        code, body = write.status(job, position, lines, self.context.base(request))
        return code, body | self._urls(request, job)

    def _urls(self, request: Request, job: Job) -> dict[str, str]:
        """Where the router has a request; none for others, who are told fal's own places."""
        if not _by_router(request):
            return {}
        return vocabulary.router_urls(self.context.base(request), job.generation.model, job.id)

    async def _result(self, request: Request, job: Job) -> Response:
        body = await write.output(self.service, job, self.context.base(request))
        return JSONResponse(body, headers=_headers(job))

    async def _cancel(self, request: Request, job: Job) -> Response:
        headers = {"x-fal-request-id": job.id}
        if job.status in FINAL:
            return JSONResponse({"status": "ALREADY_COMPLETED"}, 400, headers)
        job = await self.service.cancel(job)
        if job.status is Status.CANCELLED:
            return JSONResponse({"status": "OK"}, 200, headers)
        if job.status in FINAL:
            return JSONResponse({"status": "ALREADY_COMPLETED"}, 400, headers)
        return JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202, headers)

    async def _status_stream(self, request: Request, job: Job) -> Response:
        logs = request.query_params.get("logs") in LOGS
        return sse.Events(self._statuses(request, job, logs), {"x-fal-request-id": job.id})

    async def _statuses(self, request: Request, job: Job, logs: bool) -> AsyncGenerator[str]:
        """A status whenever it differs from the last; each brings the lines that are new."""
        next_line, last, pulse = 0, None, sse.Pulse()
        async for item in self.service.watch(job.id):
            if isinstance(item, Preview):
                continue
            job = item if isinstance(item, Job) else job
            lines = None
            if logs and job.status is not Status.QUEUED:
                lines = await self.service.lines(job, next_line)
                next_line = max([next_line, *(line.number + 1 for line in lines)])
            _, body = await self._status_body(job, lines, request)
            if lines or body != last:
                pulse.beat()
                yield sse.event(body)
            elif pulse.due():
                yield sse.ALIVE
            last = body | ({"logs": []} if lines is not None else {})

    async def _events(self, job: Job, base: str) -> AsyncGenerator[str]:
        """Images on their way, at last the output; who hangs up cancels."""
        pulse = sse.Pulse()
        async for item in self.service.watch(job.id):
            if isinstance(item, Preview):
                pulse.beat()
                yield sse.event(write.preview(item))
            elif isinstance(item, Job) and item.status in FINAL:
                yield sse.event(await self._last(item, base))
            elif pulse.due():
                yield sse.ALIVE

    async def _last(self, job: Job, base: str) -> dict[str, Any]:
        try:
            return await write.output(self.service, job, base)
        except Fault as fault:
            return vocabulary.error_body(fault)


ANSWERS: dict[str, tuple[str, Callable[[Fal, Request, Job], Awaitable[Response]]]] = {
    "": ("GET", Fal._result),
    "/response": ("GET", Fal._result),
    "/status": ("GET", Fal._status),
    "/status/stream": ("GET", Fal._status_stream),
    "/cancel": ("PUT", Fal._cancel),
}


def _check(request: Request) -> None:
    credential(request.headers)
    operation.fields_in_query(request, known=QUERY)


def _held(call: Call, _: Submission) -> bool:
    """Whether the caller ends where it has to look at the queue, so is held to the end."""
    return vocabulary.HELD.search(call.headers.get("user-agent", "")) is not None


def _by_router(request: Request) -> bool:
    """Whether Hugging Face's clients ask, or somebody asks as they do."""
    place = f"{vocabulary.ROUTER}/"
    return path_of(request.scope).startswith(place) or of_hugging_face(request.headers)


def _headers(job: Job) -> dict[str, str]:
    assert job.result is not None
    headers = _marks(job) | {"x-imagemill-model": job.result.served_by}
    if job.result.ignored:
        headers["x-imagemill-ignored"] = replies.listed(job.result.ignored)
    return headers


def _marks(job: Job) -> dict[str, str]:
    """What is known of a request before it is painted."""
    headers = {"x-fal-request-id": job.id}
    if job.submission.dialect_state["app"] not in PAGES:
        headers[replies.PAGE] = "general"
    return headers


def answering(context: AppContext, handler: Handler) -> Handler:
    """A handler whose faults are told in fal's words, and which is counted."""
    answering = operation.answering_by(context, DIALECT, refuse, handler)

    async def answer(request: Request, path: str) -> Response:
        response = await answering(request, path)
        response.headers.setdefault("x-fal-request-id", request_id(request.scope))
        return response

    return answer


def refuse(headers: Headers, fault: Fault) -> Response:
    error_headers = vocabulary.error_headers(fault) | replies.fault_headers(fault)
    body = vocabulary.error_body(fault)
    if of_hugging_face(headers):  # whose clients show no error but one in a string
        body = {"error": vocabulary.plainly(body)} | body
    return JSONResponse(body, vocabulary.ERRORS[fault.kind].code, error_headers)


_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}
_ERROR = {"type": "object", "required": ["detail"], "properties": {"detail": {}}}
_CODES = {kind: word.code for kind, word in vocabulary.ERRORS.items()}


def routes(context: AppContext) -> APIRouter:
    tokens = Tokens(context.service.signing_secret, time.time)
    router, fal = APIRouter(tags=["fal"]), Fal(context, tokens)
    for verb, place, name, handler in (
        ("POST", "/fal/run", "Run an application, or stream from it", fal.run),
        ("POST", "/fal/queue", "Submit a request", fal.submit),
        ("GET", "/fal/queue", "Status or result of a request", fal.ask),
        ("PUT", "/fal/queue", "Cancel a request", fal.ask),
        ("POST", vocabulary.ROUTER, "Run or submit, as Hugging Face's router", fal.route),
        ("GET", vocabulary.ROUTER, "Status or result, as the router", fal.ask),
        ("PUT", vocabulary.ROUTER, "Cancel, as the router", fal.ask),
    ):
        router.add_api_route(
            f"{place}/{{path:path}}",
            answering(context, handler),
            methods=[verb],
            response_class=JSONResponse,
            summary=name,
            description="Each application's own schema is at `/fal/openapi.json?endpoint_id=...`.",
            operation_id=f"fal_{verb.lower()}_{place[1:].removeprefix('fal/').replace('-', '_')}",
            openapi_extra=_REQUEST if verb == "POST" else None,
            responses=replies.responses(_CODES, _ERROR),
        )
    join_routes(
        router,
        storage.routes(context.files),
        describe.routes(context, refuse),
        realtime.routes(fal.converse, tokens),
    )
    return router
