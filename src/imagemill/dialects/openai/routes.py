"""OpenAI Images, under `/openai/v1`."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from imagemill.dialects.openai import bodies, style_making, write
from imagemill.dialects.openai.image_inputs import ImageInputs
from imagemill.dialects.openai.read import DIALECT, ReplyTerms, endpoint_of, read
from imagemill.dialects.openai.vocabulary import (
    STATUSES,
    InvalidParameter,
    OpenAIResponse,
    content_policy,
    credential,
    refuse,
)
from imagemill.errors import Fault, Kind
from imagemill.http import json_body, operation, replies, sse
from imagemill.http.context import AppContext
from imagemill.http.identity import named_by
from imagemill.http.unknown_fields import UnknownFields
from imagemill.job import FINAL, Job, Submission
from imagemill.jobs.job_events import Preview
from imagemill.jobs.service import Service
from imagemill.threads import ENCODING

PREFIX = "/openai/v1"
Parse = Callable[[bytes, str, UnknownFields], Awaitable[bodies.ParsedCall]]


_FIELDS = json_body.names(bodies.Generate, bodies.Edit, bodies.Vary)


def _check(request: Request) -> None:
    credential(request.headers)
    if misplaced := operation.fields_in_query(request, _FIELDS):
        names = ", ".join(f"'{name:.80}'" for name in misplaced)
        message = f"Parameters in the URL are not read: {names}. Put them into the body."
        raise InvalidParameter(message, misplaced[0])


async def _read(task: str, parse: Parse, call: operation.Call) -> Submission:
    call.admit()
    parsed = await parse(call.body, call.headers.get("content-type", ""), call.unknown)
    inputs = ImageInputs(call.context.service, named_by(call.request), call.base())
    submission, call.state = await read(call.context.catalog, task, parsed, inputs)
    call.identity = parsed.identity
    return submission


async def _reply(call: operation.Call, submission: Submission) -> Response:
    terms = call.state
    assert isinstance(terms, ReplyTerms), "as read leaves it"
    try:
        return await _written(call, submission, terms)
    except Fault as fault:
        if fault.kind is Kind.UNSAFE and not terms.tokens:
            raise content_policy(fault) from None
        raise


async def _written(call: operation.Call, submission: Submission, terms: ReplyTerms) -> Response:
    service = call.context.service
    if terms.stream:
        events = partial(_events, service, terms)
        return await operation.streamed(call, submission, events, terms.partials > 0)
    job = await service.wait_for(submission, call.place)
    answer = await write.finished(service, job, terms)
    operation.report(submission, answer)
    body = await write.reply(service, job, terms, answer, call.base())
    milliseconds = round((time.monotonic() - call.began) * 1000)
    headers = replies.headers(answer) | {"openai-processing-ms": str(milliseconds)}
    return OpenAIResponse(body, headers=headers)


async def _events(service: Service, terms: ReplyTerms, job: Job) -> AsyncGenerator[str]:
    """Images on their way, at last the finished ones."""
    pulse, sent = sse.Pulse(), 0
    async for item in service.watch(job.id):
        if isinstance(item, Preview):
            if write.wanted(terms, item, sent):
                yield await ENCODING.run(write.partial, terms, item, sent, service.now())
                sent += 1
                pulse.beat()
        elif isinstance(item, Job) and item.status in FINAL:
            async for event in _last(service, terms, item, sent):
                yield event
        elif pulse.due():
            yield sse.ALIVE


async def _last(service: Service, terms: ReplyTerms, job: Job, sent: int) -> AsyncGenerator[str]:
    try:
        answer = await write.finished(service, job, terms)
    except Fault as fault:
        yield write.failed(fault)
        return
    for event in write.completed(job, terms, answer, sent):
        yield event


def _operation(task: str, parse: Parse, carries_images: bool) -> operation.Operation:
    return operation.Operation(
        DIALECT,
        _check,
        partial(_read, task, parse),
        _reply,
        lambda _, fault: refuse(fault),
        carries_images,
        passes=bodies.foreign,
    )


GENERATE = _operation("generations", bodies.generate, carries_images=False)
EDIT = _operation("edits", bodies.edit, carries_images=True)
VARY = _operation("variations", bodies.vary, carries_images=True)


_TEXT: dict[str, Any] = {"type": "string"}
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": _TEXT,
                "type": _TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_ITEM = {"type": "object", "properties": {"url": _TEXT, "b64_json": _TEXT, "revised_prompt": _TEXT}}
_PAINTED: dict[str, Any] = {
    "description": "The pictures, as URLs or in base64; with `stream`, events",
    "headers": replies.HEADERS,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["created", "data"],
                "properties": {
                    "created": {"type": "integer"},
                    "data": {"type": "array", "items": _ITEM},
                },
            }
        },
        "text/event-stream": {"schema": _TEXT},
    },
}
_MODELS = {"description": "What can be asked for", "content": {"application/json": {}}}
_STYLE: dict[str, Any] = {"description": "The id of a style", "content": {"application/json": {}}}
_FILE = {"type": "string", "format": "binary"}


def _form(model: type[bodies.OpenAIBody], *lists: str) -> dict[str, Any]:
    """The fields of a body as the parts of a form, with its files."""
    whole = json_body.schema(model)
    fields = {name: each for name, each in whole["properties"].items() if name != "images"}
    files: dict[str, Any] = {"image": _FILE} | {
        name: {"type": "array", "items": _FILE} if name.endswith("[]") else _FILE for name in lists
    }
    return whole | {"properties": fields | files}


def _request(**schemas: dict[str, Any]) -> dict[str, Any]:
    types = {"json": "application/json", "form": "multipart/form-data"}
    content = {types[kind]: {"schema": schema} for kind, schema in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


def routes(context: AppContext) -> APIRouter:
    router = APIRouter(tags=["openai"])
    generate, edit = json_body.schema(bodies.Generate), json_body.schema(bodies.Edit)
    refused = replies.responses(STATUSES, _ERROR)
    for path, paint, summary, body in (
        ("generations", GENERATE, "Text to image", _request(json=generate)),
        ("edits", EDIT, "Images and text to image",
         _request(form=_form(bodies.Edit, "image[]", "mask"), json=edit)),
        ("variations", VARY, "Another like this image", _request(form=_form(bodies.Vary))),
    ):  # fmt: skip
        router.add_api_route(
            f"{PREFIX}/images/{path}",
            paint.handler(context),
            methods=["POST"],
            response_class=OpenAIResponse,
            summary=summary,
            operation_id=f"openai_{path}",
            openapi_extra=body,
            responses={200: _PAINTED, **refused},
        )

    router.add_api_route(
        f"{PREFIX}/styles",
        operation.answering(context, DIALECT, refuse, partial(style_making.make, context)),
        methods=["POST"],
        response_class=OpenAIResponse,
        summary="A style of images",
        operation_id="openai_styles",
        openapi_extra=_request(form=style_making.SCHEMA),
        responses={200: _STYLE, **refused},
    )

    async def models(request: Request) -> Response:
        credential(request.headers)
        return OpenAIResponse(write.models(context.catalog, context.base(request)))

    async def model(request: Request, id: str) -> Response:
        credential(request.headers)
        endpoint_of(context.catalog, id)
        return OpenAIResponse(write.model(id))

    for path, handler, summary in (
        ("/models", models, "All models"),
        ("/models/{id:path}", model, "One model"),
    ):
        router.add_api_route(
            PREFIX + path,
            operation.answering(context, DIALECT, refuse, handler),
            methods=["GET"],
            response_class=OpenAIResponse,
            summary=summary,
            operation_id=f"openai_{handler.__name__}",
            responses={200: _MODELS, **refused},
        )
    return router
