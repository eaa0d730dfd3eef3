"""Nebula Block's routes: a picture, and the list of models."""

from contextlib import nullcontext
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from imagemill.dialects.nebula import write
from imagemill.dialects.nebula.read import credential, parsed, read, with_images
from imagemill.dialects.nebula.words import (
    DOOR,
    GENERATION,
    PREFIX,
    STATUSES,
    Body,
    ErrorBody,
    ModelsReply,
    Reply,
)
from imagemill.errors import invalid
from imagemill.http import json_body, operation, replies
from imagemill.http.identity import person_of
from imagemill.job import Submission
from imagemill.threads import DECODING

_ERRORS = replies.responses(STATUSES, json_body.schema(ErrorBody))


def routes(house: operation.House) -> APIRouter:
    router = APIRouter(prefix=PREFIX, tags=["nebula"])

    async def generate(request: Request) -> Response:
        body = await operation.read_body(request, house.input_limit)
        _check_query(request)
        asked = await operation.reading(body, parsed, request.headers, body)
        place = house.service.admit(person_of(request)) if with_images(asked) else None
        with place or nullcontext():
            submission = await _submission(house, request, body, asked)
            del body, asked  # which are not kept while the picture is painted
            painting = house.service.paint(submission, place)
            answer = await operation.while_listening(request, painting)
        operation.report(submission, answer)
        return write.painted(submission, answer)

    async def models(request: Request) -> Response:
        _check_query(request)
        credential(request.headers)
        return write.models(house.catalog)

    for verb, path, handler, summary, extra, reply in (
        ("POST", "/images/generation", generate, "Text or image to image", GENERATION, _PICTURE),
        ("GET", "/images/generation", generate, "The same with the printed verb", {}, _PICTURE),
        ("GET", "/serverless/models", models, "The models", {}, _MODELS),
    ):
        router.add_api_route(
            path,
            operation.answering(house, DOOR, write.refuse, handler),
            methods=[verb],
            response_class=JSONResponse,
            summary=summary,
            openapi_extra=extra,
            responses={200: reply, **_ERRORS},
            operation_id=f"nebula_{handler.__name__}",
            # OpenAPI has no room for a GET with a body, which the reference prints.
            include_in_schema=(verb, handler) != ("GET", generate),
        )
    return router


async def _submission(
    house: operation.House, request: Request, body: bytes, asked: Body
) -> Submission:
    if with_images(asked):
        submission, images = await DECODING.run(read, house.catalog, request.headers, asked)
    else:
        submission, images = read(house.catalog, request.headers, asked)
    return await operation.called(house, request, body, submission, images=images)


def _check_query(request: Request) -> None:
    if request.url.query:
        raise invalid("query", "parameters in the URL are not read here; leave them out")


_PICTURE: dict[str, Any] = {
    "description": "The picture",
    "headers": replies.HEADERS
    | {
        write.SIZE: {
            "description": "Width x height, where they may have been adjusted.",
            "schema": {"type": "string"},
        }
    },
    "content": {"application/json": {"schema": json_body.schema(Reply)}},
}
_MODELS: dict[str, Any] = {
    "description": "The models",
    "content": {"application/json": {"schema": json_body.schema(ModelsReply)}},
}
