"""Nebius' routes: images, models."""

import uuid
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from imagemill.dialects.nebius import write
from imagemill.dialects.nebius.read import NebiusBody, credential, read
from imagemill.dialects.nebius.vocabulary import (
    DIALECT,
    IGNORED,
    STATUSES,
    InvalidRequest,
    detail,
    refuse,
)
from imagemill.http import json_body, operation, replies
from imagemill.http.context import AppContext
from imagemill.http.unknown_fields import everywhere
from imagemill.job import Submission

EXAMPLE = {
    "model": "black-forest-labs/flux-schnell",
    "prompt": "a red cat above a yellow boat on the sea",
    "width": 512,
    "height": 384,
    "num_inference_steps": 4,
    "seed": 42,
    "response_extension": "webp",
    "response_format": "b64_json",
}


def routes(context: AppContext) -> APIRouter:
    router = APIRouter(tags=["nebius"])

    def answering(handler: operation.Handler) -> operation.Handler:
        return operation.answering_by(context, DIALECT, refuse, partial(handler, context))

    for verb, path, name, handler, more in (
        ("POST", "images/generations", "Create images", GENERATE.handler(context), _REQUEST),
        ("GET", "models", "List models", answering(_models), _QUERY),
        ("GET", "models/{id:path}", "A model", answering(_model), _ID),
    ):
        router.add_api_route(
            f"/nebius/v1/{path}",
            handler,
            methods=[verb],
            response_class=JSONResponse,
            summary=name,
            operation_id=f"nebius_{name.lower().replace(' ', '_')}",
            openapi_extra=more,
            responses=_IMAGES | _ERRORS if verb == "POST" else _ERRORS,
        )
    return router


_FIELDS = json_body.names(NebiusBody)


def _check(request: Request) -> None:
    """Raises a Fault for what is wrong outside the body."""
    credential(request.headers)
    misplaced = operation.fields_in_query(request, _FIELDS, known=IGNORED)
    if misplaced:
        message = "parameters in the URL are not read here; put them into the body"
        raise InvalidRequest(
            [detail((name,), message, "extra_forbidden", "query") for name in misplaced]
        )


async def _read(call: operation.Call) -> Submission:
    catalog, base = call.context.catalog, call.base()
    return await operation.reading(
        call.body, read, catalog, call.headers, call.body, base, call.unknown
    )


async def _reply(call: operation.Call, submission: Submission) -> Response:
    service, format = call.context.service, submission.dialect_state["format"]
    if format == "b64_json":
        answer = await service.paint(submission)
        body = write.reply(str(uuid.uuid4()), service.now(), answer.painted.pictures, [])
    else:
        job = await service.wait_for(submission)
        painted = await service.painted(job)
        answer = job.answer(painted)
        images = () if format == "url" else painted.pictures
        body = write.reply(job.id, job.created, images, write.urls(job, call.base()))
    operation.report(submission, answer)
    return JSONResponse(body, headers=replies.headers(answer))


GENERATE = operation.Operation(
    DIALECT, _check, _read, _reply, refuse, carries_images=False, passes=everywhere
)


async def _models(context: AppContext, request: Request) -> Response:
    _check(request)
    return JSONResponse(write.models(context.catalog))


async def _model(context: AppContext, request: Request) -> Response:
    _check(request)
    return JSONResponse(write.model(context.catalog, request.path_params["id"]))


_STRING = {"type": ["string", "null"]}
_QUERY: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "description": f"Ignored: {why}", "schema": _STRING}
        for name, why in IGNORED.items()
    ]
}
_ID: dict[str, Any] = {
    "parameters": [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
        *_QUERY["parameters"],
    ]
}
_REQUEST: dict[str, Any] = _QUERY | {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": json_body.schema(NebiusBody), "example": EXAMPLE}
        },
    },
}
_REPLY = {
    "type": "object",
    "required": ["id", "created", "data"],
    "properties": {
        "id": {"type": "string"},
        "created": {"type": "integer"},
        "data": {
            "type": "array",
            "items": {"type": "object", "properties": {"b64_json": _STRING, "url": _STRING}},
        },
    },
}
_IMAGES: dict[int | str, Any] = {
    200: {
        "description": "The pictures, or where they lie, or both",
        "headers": replies.HEADERS,
        "content": {"application/json": {"schema": _REPLY}},
    }
}
_ERRORS = replies.responses(
    STATUSES,
    {"type": "object", "required": ["error"], "properties": {"detail": {}, "error": {}}},
)
