"""fal's routes: run, stream, queue."""

import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers

from imagemill.dialects.fal import describe, realtime, storage, words, write
from imagemill.dialects.fal.read import DOOR, App, app, credential, read, routed, spoken
from imagemill.dialects.fal.tokens import Tokens
from imagemill.errors import Fault, Kind
from imagemill.http import operation, replies, sse
from imagemill.http.context import AppContext
from imagemill.http.identity import of_hugging_face
from imagemill.job import FINAL, Job, Line, Status, Submission
from imagemill.news import Preview

_ASKED = re.compile(
    r"(?P<app>.+?)/requests/(?P<id>[\w-]{1,64})(?P<end>|/response|/status|/status/stream|/cancel)/?"
)
LOGS = {"1", "true", "True"}
Handler = Callable[[Request, str], Awaitable[Response]]


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
        streams = path.endswith("/stream")
        found = self._app(request, path.removesuffix("/stream"))
        submission = await self._submission(request, found)
        base = str(submission.dialect_state["base"])
        if streams:
            job = await self.service.begin(submission)
            stream, headers = self._events(job, base), {"x-fal-request-id": job.id}
            return sse.Watched(stream, headers, lambda: self.service.leave(job))
        job = await operation.while_listening(request, self.service.wait_for(submission))
        body = await write.output(self.service, job, base)
        return JSONResponse(body, headers=_told(job))

    async def converse(
        self, path: str, asked: dict[str, Any], caller: str, local: bool
    ) -> dict[str, Any]:
        """One answer of a realtime connection, with its pictures as bytes."""
        submission = spoken(app(self.context.catalog, path), asked, caller, local)
        job = await self.service.wait_for(submission)
        return await write.spoken(self.service, job)

    async def submit(self, request: Request, path: str) -> Response:
        found = self._app(request, path)
        held = words.HELD.search(request.headers.get("user-agent", "")) is not None
        webhook_url = request.query_params.get("fal_webhook") or None
        submission = await self._submission(request, found, webhook_url, waits=held)
        await self._check_length(request.query_params.get("fal_max_queue_length"))
        if held:
            return await self._held(request, submission)
        job = await self.service.submit(submission)
        if await request.is_disconnected():  # and will send the same again
            await self.service.cancel(job)
            raise operation.Gone
        position = await self.service.position(job)
        body = write.submitted(job, position, str(submission.dialect_state["base"]))
        body |= self._urls(request, job)
        return JSONResponse(body, headers={"x-fal-request-id": job.id})

    async def _held(self, request: Request, submission: Submission) -> Response:
        """Answers when all is done, so that nothing is left to wait for."""
        job = await operation.while_listening(request, self.service.wait_for(submission))
        if job.fault is not None:
            raise job.fault
        body = write.submitted(job, 0, str(submission.dialect_state["base"]))
        body |= {"status": words.STATUSES[job.status]} | self._urls(request, job)
        return JSONResponse(body, headers=_told(job))

    async def _submission(
        self, request: Request, found: App, webhook_url: str | None = None, waits: bool = True
    ) -> Submission:
        body = await operation.read_body(request, self.context.input_limit)
        caller = self._caller(request, found.page.id)
        headers, base = request.headers, self.context.base(request)
        submission = await operation.reading(
            body, read, found, headers, body, base, caller, webhook_url
        )
        return await operation.called(self.context, request, body, submission, waits)

    async def _check_length(self, given: str | None) -> None:
        if given is None or not given.isascii() or not given.isdigit():
            return
        waiting = await self.service.waiting()
        if waiting > int(given):
            raise Fault(
                Kind.BUSY, f"{waiting} requests wait, more than {given[:20]}", retry_after=10
            )

    async def ask(self, request: Request, path: str) -> Response:
        """Status, result or cancel of a request, by what follows its id."""
        asked = _ASKED.fullmatch(path)
        if asked is None:
            raise Fault(Kind.NOT_FOUND, f"Path /{path:.200} not found")
        job = await self.service.job(asked["id"], self._caller(request, asked["app"]))
        if job.submission.dialect != DOOR:
            raise Fault(Kind.NOT_FOUND, "there is no such request, or no longer", "request_id")
        verb, answer = ANSWERS[asked["end"]]
        if request.method != verb:
            return JSONResponse({"detail": "Method Not Allowed"}, 405, {"allow": verb})
        return await answer(self, request, job)

    async def _status(self, request: Request, job: Job) -> Response:
        logs = request.query_params.get("logs") in LOGS
        code, body = await self._told(job, await self.service.lines(job) if logs else None, request)
        return JSONResponse(body, code, {"x-fal-request-id": job.id})

    async def _told(self, job: Job, lines: list[Line] | None, request: Request) -> tuple[int, Any]:
        queued = job.status is Status.QUEUED
        position = await self.service.position(job) if queued else 0
        code, body = write.status(job, position, lines, self.context.base(request))
        return code, body | self._urls(request, job)

    def _urls(self, request: Request, job: Job) -> dict[str, str]:
        """Where the router has a request; none for others, who are told fal's own places."""
        found = words.router_urls(self.context.base(request), job.generation.model, job.id)
        return found if _by_router(request) else {}

    async def _result(self, request: Request, job: Job) -> Response:
        body = await write.output(self.service, job, self.context.base(request))
        return JSONResponse(body, headers=_told(job))

    async def _cancel(self, request: Request, job: Job) -> Response:
        headers = {"x-fal-request-id": job.id}
        if job.status in FINAL:
            return JSONResponse({"status": "ALREADY_COMPLETED"}, 400, headers)
        found = await self.service.cancel(job)
        if found.status is Status.CANCELLED:
            return JSONResponse({"status": "OK"}, 200, headers)
        if found.status in FINAL:
            return JSONResponse({"status": "ALREADY_COMPLETED"}, 400, headers)
        return JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202, headers)

    async def _status_stream(self, request: Request, job: Job) -> Response:
        logs = request.query_params.get("logs") in LOGS
        return _stream(self._statuses(request, job, logs), job)

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
            _, body = await self._told(job, lines, request)
            if lines or body != last:
                pulse.beat()
                yield sse.event(body)
            elif pulse.due():
                yield sse.ALIVE
            last = body | ({"logs": []} if lines is not None else {})

    async def _events(self, job: Job, base: str) -> AsyncGenerator[str]:
        """Pictures on their way, at last the output; who hangs up cancels."""
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
            return words.error_body(fault)


ANSWERS: dict[str, tuple[str, Callable[[Fal, Request, Job], Awaitable[Response]]]] = {
    "": ("GET", Fal._result),
    "/response": ("GET", Fal._result),
    "/status": ("GET", Fal._status),
    "/status/stream": ("GET", Fal._status_stream),
    "/cancel": ("PUT", Fal._cancel),
}


def _by_router(request: Request) -> bool:
    """Whether Hugging Face's clients ask, or somebody asks as they do."""
    place = f"{words.ROUTER}/"
    return request.url.path.startswith(place) or of_hugging_face(request.headers)


def _told(job: Job) -> dict[str, str]:
    assert job.result is not None
    told = {"x-fal-request-id": job.id, "x-imagemill-model": job.result.served_by}
    if job.result.ignored:
        told["x-imagemill-ignored"] = replies.listed(job.result.ignored)
    return told


def _stream(told: AsyncGenerator[str], job: Job) -> Response:
    return sse.Events(told, {"x-fal-request-id": job.id})


def answering(context: AppContext, handler: Handler) -> Handler:
    """A handler whose faults are told in fal's words, and which is counted."""
    told = operation.answering_by(context, DOOR, refuse, handler)

    async def answer(request: Request, path: str) -> Response:
        response = await told(request, path)
        response.headers.setdefault("x-fal-request-id", request.headers.get("x-request-id", ""))
        return response

    return answer


def refuse(headers: Headers, fault: Fault) -> Response:
    told = words.error_headers(fault) | replies.retry_header(fault)
    body = words.error_body(fault)
    if of_hugging_face(headers):  # whose clients show no error but one in a string
        body = {"error": words.plainly(body)} | body
    return JSONResponse(body, words.ERRORS[fault.kind].code, told)


_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}
_ERROR = {"type": "object", "required": ["detail"], "properties": {"detail": {}}}
_CODES = {kind: word.code for kind, word in words.ERRORS.items()}


def routes(context: AppContext) -> APIRouter:
    tokens = Tokens(lambda: context.service.secret, time.time)
    router, fal = APIRouter(tags=["fal"]), Fal(context, tokens)
    for verb, place, name, handler in (
        ("POST", "/fal/run", "Run an application, or stream from it", fal.run),
        ("POST", "/fal/queue", "Submit a request", fal.submit),
        ("GET", "/fal/queue", "Status or result of a request", fal.ask),
        ("PUT", "/fal/queue", "Cancel a request", fal.ask),
        ("POST", words.ROUTER, "Run or submit, as Hugging Face's router", fal.route),
        ("GET", words.ROUTER, "Status or result, as the router", fal.ask),
        ("PUT", words.ROUTER, "Cancel, as the router", fal.ask),
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
    router.include_router(
        storage.routes(context.service.objects, behind_proxy=context.behind_proxy)
    )
    router.include_router(describe.routes(context, refuse))
    router.include_router(realtime.routes(fal.converse, tokens))
    return router
