"""Together's routes: images, models."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from imagemill.dialects.together import vocabulary, write
from imagemill.dialects.together.read import TogetherBody, credential, read
from imagemill.dialects.together.vocabulary import DIALECT
from imagemill.errors import invalid
from imagemill.http import json_body, operation, replies
from imagemill.http.context import AppContext
from imagemill.http.unknown_fields import everywhere
from imagemill.job import Submission

# together-py 3 adds /v1 to its base URL, all others take it from there: both spellings work.
PREFIXES = ("/together/v1", "/together", "/together/v1/v1")
SWITCHES = {"true": True, "false": False}

EXAMPLE = {
    "model": "black-forest-labs/FLUX.1-schnell",
    "prompt": "a red cat above a yellow boat on the sea",
    "width": 512,
    "height": 384,
    "steps": 4,
    "seed": 42,
    "response_format": "base64",
}


def routes(context: AppContext) -> APIRouter:
    router = APIRouter(tags=["together"])

    models = operation.answering_by(context, DIALECT, vocabulary.refuse, partial(_models, context))
    for prefix in PREFIXES:
        router.add_api_route(
            f"{prefix}/images/generations",
            GENERATE.handler(context),
            methods=["POST"],
            response_class=JSONResponse,
            summary="Create images",
            operation_id=f"together_images{prefix.replace('/', '_')}",
            include_in_schema=prefix == PREFIXES[0],
            openapi_extra=_REQUEST,
            responses=_IMAGES | _ERRORS,
        )
        router.add_api_route(
            f"{prefix}/models",
            models,
            methods=["GET"],
            response_class=JSONResponse,
            summary="List models",
            operation_id=f"together_models{prefix.replace('/', '_')}",
            include_in_schema=prefix == PREFIXES[0],
            openapi_extra={"parameters": [_DEDICATED]},
            responses=_MODELS | _ERRORS,
        )
    return router


_check_query = operation.no_fields_in_query(TogetherBody)


def _check(request: Request) -> None:
    credential(request.headers)
    _check_query(request)


async def _read(call: operation.Call) -> Submission:
    catalog, base = call.context.catalog, call.base()
    return await operation.reading(
        call.body, read, catalog, call.headers, call.body, base, call.unknown
    )


async def _reply(call: operation.Call, submission: Submission) -> Response:
    service = call.context.service
    if submission.dialect_state["inline"]:
        answer = await service.paint(submission)
        body = write.inline(submission, answer)
    else:
        job = await service.wait_for(submission)
        answer = write.answer_of(job)
        body = write.linked(submission, job, call.base())
    operation.report(submission, answer)
    return JSONResponse(body, headers=replies.headers(answer))


GENERATE = operation.Operation(DIALECT, _check, _read, _reply, vocabulary.refuse, passes=everywhere)


async def _models(context: AppContext, request: Request) -> Response:
    credential(request.headers)
    operation.fields_in_query(request, known=("dedicated",))
    dedicated = request.query_params.get("dedicated", "false")
    if dedicated not in SWITCHES:
        raise invalid("query", f"dedicated {dedicated!r:.80} is not true or false")
    return JSONResponse(write.models(context.catalog, SWITCHES[dedicated]))


_STRING = {"type": "string"}
_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": json_body.schema(TogetherBody), "example": EXAMPLE}
        },
    },
}
_DEDICATED = {"name": "dedicated", "in": "query", "schema": {"type": "boolean", "default": False}}
_ITEM = {
    "type": "object",
    "required": ["index", "type"],
    "properties": {
        "index": {"type": "integer"},
        "type": {"enum": ["b64_json", "url"]},
        "b64_json": _STRING,
        "url": _STRING,
    },
}
_REPLY = {
    "type": "object",
    "required": ["id", "object", "model", "data"],
    "properties": {
        "id": _STRING,
        "object": {"const": "list"},
        "model": _STRING,
        "data": {"type": "array", "items": _ITEM},
    },
}
_IMAGES: dict[int | str, Any] = {
    200: {
        "description": "The pictures, or where they lie",
        "headers": replies.HEADERS,
        "content": {"application/json": {"schema": _REPLY}},
    }
}
_MODELS: dict[int | str, Any] = {
    200: {
        "description": "All that can paint",
        "content": {"application/json": {"schema": {"type": "array"}}},
    }
}
_ERRORS = replies.responses(
    {kind: word.status for kind, word in vocabulary.ERRORS.items()},
    {"type": "object", "required": ["error"], "properties": {"error": {}}},
)
