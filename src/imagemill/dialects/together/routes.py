"""Together's routes: images, models."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from imagemill.dialects.together import words, write
from imagemill.dialects.together.read import Body, credential, read
from imagemill.dialects.together.words import DOOR
from imagemill.errors import invalid
from imagemill.http import json_body, operation, replies
from imagemill.job import Submission
from imagemill.service import Service

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


def routes(house: operation.House) -> APIRouter:
    router = APIRouter(tags=["together"])

    def door(handler: operation.Handler) -> operation.Handler:
        return operation.answering_by(house, DOOR, words.refuse, partial(handler, house))

    for prefix in PREFIXES:
        router.add_api_route(
            f"{prefix}/images/generations",
            door(_generate),
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
            door(_models),
            methods=["GET"],
            response_class=JSONResponse,
            summary="List models",
            operation_id=f"together_models{prefix.replace('/', '_')}",
            include_in_schema=prefix == PREFIXES[0],
            openapi_extra={"parameters": [_DEDICATED]},
            responses=_MODELS | _ERRORS,
        )
    return router


async def _generate(house: operation.House, request: Request) -> Response:
    base = house.base(request)
    submission = await _submission(house, request, base)
    return await operation.while_listening(request, _answer(house.service, submission, base))


async def _submission(house: operation.House, request: Request, base: str) -> Submission:
    body = await operation.read_body(request, house.input_limit)
    credential(request.headers)
    if request.url.query:
        raise invalid("query", "parameters in the URL are not read here; put them into the body")
    submission = await operation.reading(body, read, house.catalog, request.headers, body, base)
    return await operation.called(house, request, body, submission)


async def _answer(service: Service, submission: Submission, base: str) -> Response:
    if submission.dialect_state["inline"]:
        answer = await service.paint(submission)
        body = write.inline(submission, answer)
    else:
        job = await service.wait_for(submission)
        answer = write.answer_of(job)
        body = write.linked(submission, job, base)
    operation.report(submission, answer)
    return JSONResponse(body, headers=replies.headers(answer))


async def _models(house: operation.House, request: Request) -> Response:
    credential(request.headers)
    query = dict(request.query_params)
    dedicated = query.pop("dedicated", "false")
    if query or dedicated not in SWITCHES:
        raise invalid("query", "one parameter is read here: dedicated, which is true or false")
    return JSONResponse(write.models(house.catalog, SWITCHES[dedicated]))


_STRING = {"type": "string"}
_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": json_body.schema(Body), "example": EXAMPLE}},
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
    {kind: word.status for kind, word in words.ERRORS.items()},
    {"type": "object", "required": ["error"], "properties": {"error": {}}},
)
