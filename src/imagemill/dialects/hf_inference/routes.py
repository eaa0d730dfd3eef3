"""The routes of Hugging Face Inference, with the older one of its former host."""

from typing import Any

from fastapi import APIRouter, Request, Response

from imagemill.dialects import hub_models
from imagemill.dialects.hf_inference.accept import MEDIA_TYPES
from imagemill.dialects.hf_inference.read import DIALECT, InferenceBody, read
from imagemill.dialects.hf_inference.write import STATUSES, InferenceErrorBody, refuse, write
from imagemill.http import json_body, operation, replies
from imagemill.http.context import AppContext
from imagemill.http.unknown_fields import outside
from imagemill.job import Submission
from imagemill.jobs.input_files import Inline
from imagemill.references import DATA

EXAMPLES: dict[str, Any] = {
    "prompt alone": {"value": {"inputs": "a red cat"}},
    "everything": {
        "value": {
            "inputs": "a red cat above a yellow boat on the sea",
            "parameters": {
                "negative_prompt": "green",
                "width": 512,
                "height": 384,
                "num_inference_steps": 20,
                "guidance_scale": 4.0,
                "scheduler": "EulerDiscreteScheduler",
                "seed": 42,
            },
        }
    },
}


def routes(context: AppContext) -> APIRouter:
    router = APIRouter(tags=["hf-inference"])

    async def of_owner(owner: str, name: str, request: Request) -> Response:
        return await PAINT.answer(context, request, f"{owner}/{name}".lstrip("/"))

    async def of_nobody(name: str, request: Request) -> Response:
        return await of_owner("", name, request)

    for path in ("/hf-inference/models/{owner}/{name}", "/models/{owner}/{name}"):
        router.add_api_route(
            path,
            of_owner,
            methods=["POST"],
            response_class=Response,
            summary="Text to image, image to image",
            openapi_extra=_REQUEST,
            responses=_RESPONSES,
            operation_id=path.replace("/", "_").replace("{", "").replace("}", "").strip("_"),
        )
    router.add_api_route(  # ids without an owner, which the Hub has not
        "/hf-inference/models/{name}",
        of_nobody,
        methods=["POST"],
        response_class=Response,
        include_in_schema=False,
    )
    return router


async def _read(call: operation.Call) -> Submission:
    endpoint = call.context.catalog.find(hub_models.weights(call.model))
    text_limit = call.context.body_limit
    submission = await operation.reading(
        call.body, read, endpoint, call.headers, call.body, text_limit, call.base, call.unknown
    )
    for name, reference in submission.generation.images.items():
        if reference == DATA:
            call.images = {name: Inline(call.body)}
    return submission


PAINT = operation.Operation(
    DIALECT,
    operation.no_fields_in_query(InferenceBody),
    _read,
    operation.painting(write),
    lambda _, fault: refuse(fault),
    passes=outside("parameters"),
)

_FLAGS = {"type": "boolean"}
_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": json_body.schema(InferenceBody), "examples": EXAMPLES},
            "text/plain": {"schema": {"type": "string"}, "example": "a red cat"},
            **dict.fromkeys(MEDIA_TYPES.values(), _IMAGE),
        },
    },
    "parameters": [
        {"name": "x-use-cache", "in": "header", "schema": _FLAGS | {"default": True}},
        {"name": "x-wait-for-model", "in": "header", "schema": _FLAGS | {"default": False}},
    ],
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture, in the format that Accept asks for",
        "headers": replies.HEADERS,
        "content": dict.fromkeys(MEDIA_TYPES.values(), _IMAGE),
    },
    **replies.responses(STATUSES, json_body.schema(InferenceErrorBody)),
}
