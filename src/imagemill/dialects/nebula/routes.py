"""Nebula Block's routes: a picture, and the list of models."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from imagemill.dialects.nebula import write
from imagemill.dialects.nebula.read import credential, parsed, read, with_images
from imagemill.dialects.nebula.vocabulary import (
    DIALECT,
    GENERATION,
    PREFIX,
    STATUSES,
    ImagesReply,
    ModelsReply,
    NebulaBody,
    NebulaErrorBody,
)
from imagemill.http import json_body, operation, replies
from imagemill.http.context import AppContext
from imagemill.http.unknown_fields import everywhere
from imagemill.job import Submission
from imagemill.threads import DECODING

GENERATION_PATH = "/images/generation"
_ERRORS = replies.responses(STATUSES, json_body.schema(NebulaErrorBody))


def routes(context: AppContext) -> APIRouter:
    router = APIRouter(prefix=PREFIX, tags=["nebula"])

    generate = GENERATE.handler(context)

    async def models(request: Request) -> Response:
        operation.fields_in_query(request)
        credential(request.headers)
        return write.models(context.catalog)

    answering = partial(operation.answering, context, DIALECT, write.refuse)
    for verb, path, handler, summary, extra, reply in (
        ("POST", GENERATION_PATH, generate, "Text or image to image", GENERATION, _IMAGE),
        ("GET", GENERATION_PATH, generate, "The same with the printed verb", {}, _IMAGE),
        ("GET", "/serverless/models", answering(models), "The models", {}, _MODELS),
    ):
        router.add_api_route(
            path,
            handler,
            methods=[verb],
            response_class=JSONResponse,
            summary=summary,
            openapi_extra=extra,
            responses={200: reply, **_ERRORS},
            operation_id=f"nebula_{'generate' if handler is generate else 'models'}",
            # OpenAPI has no room for a GET with a body, which the reference prints.
            include_in_schema=(verb, handler) != ("GET", generate),
        )
    return router


async def _read(call: operation.Call) -> Submission:
    body = await operation.reading(call.body, parsed, call.headers, call.body, call.unknown)
    catalog = call.context.catalog
    if not with_images(body):
        return read(catalog, call.headers, body)[0]
    call.admit()
    submission, call.images = await DECODING.run(read, catalog, call.headers, body)
    return submission


GENERATE = operation.Operation(
    DIALECT,
    operation.no_fields_in_query(NebulaBody),
    _read,
    operation.painting(write.painted),
    lambda _, fault: write.refuse(fault),
    passes=everywhere,
)

_IMAGE: dict[str, Any] = {
    "description": "The picture",
    "headers": replies.HEADERS
    | {
        write.SIZE: {
            "description": "Width x height, where they may have been adjusted.",
            "schema": {"type": "string"},
        }
    },
    "content": {"application/json": {"schema": json_body.schema(ImagesReply)}},
}
_MODELS: dict[str, Any] = {
    "description": "The models",
    "content": {"application/json": {"schema": json_body.schema(ModelsReply)}},
}
