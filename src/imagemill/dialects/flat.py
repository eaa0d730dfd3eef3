"""The flat custom endpoint: one flat JSON object goes in, `{"image": base64}` comes out."""

import base64
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers

from imagemill.catalog import Endpoint
from imagemill.errors import Fault, invalid
from imagemill.generation import Answer, Draft
from imagemill.http import json_body, operation, replies
from imagemill.http.context import AppContext
from imagemill.http.identity import caller_of
from imagemill.http.json_body import Guidance, Lax, Negative, Prompt, Seed, Side, Steps
from imagemill.http.unknown_fields import UnknownFields, everywhere
from imagemill.job import Submission

DIALECT = "flat"
STATUSES = replies.STATUSES
NAMES: dict[str, str] = {"steps": "inference_steps"}
DEFAULT_STEPS = 25  # where the caller leaves them open, whatever the model
PROMPTS = ("inputs", "prompt", "s")  # `s` is what the printed JavaScript sends


class FlatBody(Lax, title="Body"):
    """One of `inputs`, `prompt` and `s` is required; all else may be left open."""

    inputs: Prompt | None = None
    prompt: Prompt | None = None
    s: Prompt | None = None
    negative_prompt: Negative = None
    height: Side = None
    width: Side = None
    guidance_scale: Guidance = None
    inference_steps: Steps = None
    seed: Seed = None


class FlatReply(json_body.Reply, title="Reply"):
    image: str  # a PNG in base64


class FlatErrorBody(json_body.Reply, title="ErrorBody"):
    error: str


EXAMPLE: dict[str, Any] = {
    "inputs": "a red cat above a yellow boat on the sea",
    "negative_prompt": "green",
    "height": 512,
    "width": 512,
    "guidance_scale": 4.0,
    "inference_steps": 25,
}


def read(
    endpoint: Endpoint, headers: Headers, body: bytes, unknown: UnknownFields | None = None
) -> Submission:
    params = json_body.take(FlatBody, json_body.parse(json_body.text(body)), unknown)
    draft = Draft(
        _prompt(params),
        negative_prompt=params.negative_prompt or "",
        width=params.width,
        height=params.height,
        steps=DEFAULT_STEPS if params.inference_steps is None else params.inference_steps,
        guidance_scale=params.guidance_scale,
        seed=params.seed,
    )
    # Without a seed every call is meant to give another picture.
    cacheable = params.seed is not None
    return Submission(
        endpoint.generation(draft),
        endpoint.source,
        dialect=DIALECT,
        caller=caller_of(headers),
        version=endpoint.version,
        cacheable=cacheable,
    )


def _prompt(params: FlatBody) -> str:
    names = [name for name in PROMPTS if getattr(params, name) is not None]
    if len(names) != 1:
        came = " and ".join(names) or "none"
        raise invalid("prompt", f"the prompt goes into one of {', '.join(PROMPTS)}; {came} came")
    return str(getattr(params, names[0]))


def write(submission: Submission, answer: Answer) -> Response:
    image = base64.b64encode(answer.painted.pictures[0]).decode()
    return JSONResponse({"image": image}, headers=replies.headers(answer))


def refuse(fault: Fault) -> Response:
    name = NAMES.get(fault.field or "")
    message = f"{name}: {fault.message}" if name else fault.message
    return JSONResponse({"error": message}, STATUSES[fault.kind], replies.fault_headers(fault))


async def _read(call: operation.Call) -> Submission:
    endpoint = call.context.catalog.find(call.model)
    return await operation.reading(call.body, read, endpoint, call.headers, call.body, call.unknown)


PAINT = operation.Operation(
    DIALECT,
    operation.no_fields_in_query(FlatBody),
    _read,
    operation.painting(write),
    lambda _, fault: refuse(fault),
    carries_images=False,
    passes=everywhere,
)


def routes(context: AppContext) -> APIRouter:
    router = APIRouter(tags=["flat"])

    async def of_model(owner: str, name: str, request: Request) -> Response:
        return await PAINT.answer(context, request, f"{owner}/{name}")

    async def of_default(request: Request) -> Response:
        return await PAINT.answer(context, request, context.catalog.default)

    for path, endpoint in (("/flat/{owner}/{name}", of_model), ("/", of_default)):
        router.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            response_class=JSONResponse,
            summary="Text to image, flat",
            openapi_extra=_REQUEST,
            responses=_RESPONSES,
            operation_id=f"flat_{endpoint.__name__}",
        )
    return router


_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": json_body.schema(FlatBody), "example": EXAMPLE}},
    }
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture",
        "headers": replies.HEADERS,
        "content": {"application/json": {"schema": json_body.schema(FlatReply)}},
    },
    **replies.responses(STATUSES, json_body.schema(FlatErrorBody)),
}
