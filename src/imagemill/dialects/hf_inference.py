"""Hugging Face Inference: `inputs` and `parameters` go in, raw bytes of a picture come out."""

import re
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers

from imagemill import images
from imagemill.catalog import Endpoint
from imagemill.dialects import strict, wire
from imagemill.dialects.strict import (
    Guidance,
    Negative,
    Prompt,
    Scheduler,
    Seed,
    Side,
    Steps,
    Strict,
)
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import Format
from imagemill.orders import Answer, Order

STATUSES: dict[Kind, int] = {
    Kind.INVALID: 400,
    Kind.NOT_FOUND: 404,
    Kind.TOO_LARGE: 413,
    Kind.BUSY: 429,  # not 503, which the JavaScript client sends again at once, for ever
    Kind.LOADING: 503,
    Kind.CANCELLED: 503,
    Kind.DENIED: 401,
    Kind.EARLY: 409,
    Kind.TIMEOUT: 504,
    Kind.FORBIDDEN: 422,
    Kind.UNREACHABLE: 422,
    Kind.UNREADABLE: 422,
    Kind.UNSUPPORTED: 422,
    Kind.FAILED: 500,
}
NAMES: dict[str, str] = {"prompt": "inputs", "steps": "num_inference_steps"}
PREFERRED: tuple[Format, ...] = ("jpeg", "png", "webp")
MEDIA_TYPES = {format: images.MEDIA_TYPES[format] for format in PREFERRED}
FORMATS = {media_type: format for format, media_type in MEDIA_TYPES.items()} | {"image/jpg": "jpeg"}
SWITCHES = {"true": True, "1": True, "false": False, "0": False}

# Re-sends a 503 at once and for ever, so it waits whether it says so or not.
IMPATIENT = "@huggingface/inference"


class Parameters(Strict):
    guidance_scale: Guidance = None
    negative_prompt: Negative = None
    num_inference_steps: Steps = None
    width: Side = None
    height: Side = None
    scheduler: Scheduler = None
    seed: Seed = None


class Options(Strict):
    """The older form of the two headers, which win. The last three change nothing: old clients
    send them for themselves, or for other hardware.
    """

    use_cache: bool | None = None
    wait_for_model: bool | None = None
    use_gpu: bool | None = None
    dont_load_model: bool | None = None
    retry_on_error: bool | None = None


class Body(Strict):
    inputs: Prompt
    parameters: Parameters | None = None
    options: Options | None = None


class ErrorBody(Strict):
    error: str
    estimated_time: float | None = None  # seconds, while a model is loading


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


def read(endpoint: Endpoint, headers: Headers, body: bytes) -> Order:
    _check_authorization(headers.get("authorization"))
    format = accepted(", ".join(headers.getlist("accept")))
    asked = read_body(headers.get("content-type", ""), body)
    parameters, options = asked.parameters or Parameters(), asked.options or Options()
    use_cache = _switch(headers, "x-use-cache", options.use_cache, default=True)
    wait = _switch(headers, "x-wait-for-model", options.wait_for_model, default=False)
    generation = endpoint.generation(
        asked.inputs,
        format,
        negative_prompt=parameters.negative_prompt,
        width=parameters.width,
        height=parameters.height,
        steps=parameters.num_inference_steps,
        guidance_scale=parameters.guidance_scale,
        scheduler=parameters.scheduler,
        seed=parameters.seed,
    )
    return Order(
        generation,
        endpoint,
        cacheable=use_cache,
        drawn=parameters.seed is None,
        wait=wait or headers.get("user-agent", "").startswith(IMPATIENT),
    )


def read_body(content_type: str, body: bytes) -> Body:
    """A JSON object, a JSON string, or, where no JSON was announced, bare text."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.startswith(("image/", "multipart/")):
        raise invalid("body", f"{media_type:.80} is not taken here; send a prompt as JSON or text")
    text = strict.text(body)
    announced = media_type == "application/json" or media_type.endswith("+json")
    if not announced and text.strip() and text.lstrip()[0] not in '{["':
        return Body(inputs=text)
    value = strict.parse(text)
    return Body(inputs=value) if isinstance(value, str) else strict.take(Body, value)


def accepted(accept: str) -> Format:
    """The format of the header Accept: by quality, then by place in it, then jpeg before others."""
    ranges = [_range(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]
    offers = [
        (-quality, place, format)
        for media_type, format in FORMATS.items()
        for place, quality in [_match(ranges, media_type)]
        if quality
    ]
    if not offers:
        raise invalid("accept", f"nothing in {accept!r:.200} can be given; {_GIVEN}")
    return min(offers, key=lambda offer: offer[:2])[2]


_GIVEN = f"accept one of {', '.join(MEDIA_TYPES.values())}"
_QUALITY = re.compile(r"(0(\.\d*)?|1(\.0*)?)")


def _range(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            if not _QUALITY.fullmatch(value.strip()):
                raise invalid("accept", f"quality {value!r:.80} is out of range; give 0 to 1")
            return media_type, float(value)
    return media_type, 1.0


def _match(ranges: list[tuple[str, float]], media_type: str) -> tuple[int, float]:
    """Place and quality of the range that names `media_type` most closely."""
    for wanted in (media_type, "image/*", "*/*"):
        for place, (name, quality) in enumerate(ranges):
            if name == wanted:
                return place, quality
    return 0, 0.0


def _switch(headers: Headers, name: str, option: bool | None, default: bool) -> bool:
    value = headers.get(name)
    if value is None:
        return default if option is None else option
    if value.strip().lower() not in SWITCHES:
        raise invalid(name, f"{name}: {value!r:.80} is not true or false")
    return SWITCHES[value.strip().lower()]


def _check_authorization(value: str | None) -> None:
    # Any token will do, there being no accounts; both forms that the documents print are read.
    if value is not None and not re.fullmatch(r"(?i:bearer):?\s+\S+", value.strip()):
        raise invalid("authorization", "authorization is not of the form 'Bearer hf_...'")


def write(order: Order, answer: Answer) -> Response:
    headers = wire.headers(answer) | {
        "x-compute-time": f"{answer.painted.seconds:.3f}",
        "x-compute-characters": str(len(order.generation.prompt)),
    }
    media_type = MEDIA_TYPES[order.generation.format]
    return Response(answer.painted.pictures[0], media_type=media_type, headers=headers)


def refuse(fault: Fault) -> Response:
    name = NAMES.get(fault.field or "")
    told = f"{name}: {fault.message}" if name else fault.message
    body: dict[str, Any] = {"error": told}
    if fault.kind is Kind.LOADING:
        body["estimated_time"] = fault.retry_after
    return JSONResponse(body, STATUSES[fault.kind], wire.retry_header(fault))


DOOR = wire.Door("hf-inference", read, write, refuse)


def routes(house: wire.House) -> APIRouter:
    router = APIRouter(tags=["hf-inference"])

    async def text_to_image(owner: str, name: str, request: Request) -> Response:
        return await wire.answer(house, DOOR, f"{owner}/{name}", request)

    for path in ("/hf-inference/models/{owner}/{name}", "/models/{owner}/{name}"):
        router.add_api_route(
            path,
            text_to_image,
            methods=["POST"],
            response_class=Response,
            summary="Text to image",
            openapi_extra=_REQUEST,
            responses=_RESPONSES,
            operation_id=path.replace("/", "_").replace("{", "").replace("}", "").strip("_"),
        )
    return router


_FLAGS = {"type": "boolean"}
_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": strict.schema(Body), "examples": EXAMPLES},
            "text/plain": {"schema": {"type": "string"}, "example": "a red cat"},
        },
    },
    "parameters": [
        {"name": "x-use-cache", "in": "header", "schema": _FLAGS | {"default": True}},
        {"name": "x-wait-for-model", "in": "header", "schema": _FLAGS | {"default": False}},
    ],
}
_PICTURE = {"schema": {"type": "string", "format": "binary"}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture, in the format that Accept asks for",
        "headers": wire.HEADERS,
        "content": dict.fromkeys(MEDIA_TYPES.values(), _PICTURE),
    },
    **wire.responses(STATUSES, strict.schema(ErrorBody)),
}
