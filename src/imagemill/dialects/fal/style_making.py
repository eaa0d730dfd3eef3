"""Applications that make a style of images and give its id, as fal has one of Recraft's.

A style is made while its caller waits, which takes less than a look at the queue: so a request is
complete as soon as it is submitted, and its id is that of the style.
"""

from functools import partial
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from imagemill.conditions import StoredStyle
from imagemill.dialects.fal import vocabulary, write
from imagemill.dialects.fal.pages.types import FileUrl, Output, PageInput
from imagemill.dialects.fal.read import parsed
from imagemill.errors import Fault, Kind
from imagemill.http import json_body, operation
from imagemill.http.context import AppContext
from imagemill.http.identity import named_by, own
from imagemill.http.unknown_fields import everywhere, unknown_fields_of
from imagemill.images.archives import images_in
from imagemill.jobs.styles import MOST_BYTES, MOST_IMAGES, base_preset
from imagemill.threads import BODIES

APPLICATIONS = ("fal-ai/recraft/v3/create-style", "fal-ai/recraft-v3/create-style")
FIELD = "images_data_url"


class StyleReferenceInput(PageInput):
    images_data_url: Annotated[
        FileUrl, Field(description="A ZIP archive of one to five images, PNG as a rule.")
    ]
    base_style: Annotated[
        str, Field(description="The style that the new one stands on; any for none.")
    ] = "digital_illustration"


class StyleReferenceOutput(Output):
    style_id: Annotated[str, Field(description="What the style is named by from now on.")]


async def make(context: AppContext, request: Request, caller: str) -> StoredStyle:
    """The style that a request asks for; raises InvalidInput or a Fault for what is wrong."""
    body = await operation.read_body(request, context.input_limit)
    unknown = unknown_fields_of(request.scope, everywhere, context.strict)
    value = json_body.parse(json_body.text(body))
    wanted = parsed(StyleReferenceInput, value, unknown)
    base = base_preset(wanted.base_style, "base_style")
    reference = own(wanted.images_data_url, context.base(request)) or ""
    who = named_by(request)
    async with context.service.read_input(reference, FIELD, who) as content:
        unpacked = partial(images_in, content, FIELD, MOST_IMAGES, MOST_BYTES)
        images = await BODIES.run(unpacked)
        return await context.styles.make(images, FIELD, caller, base)


def output(style: StoredStyle) -> JSONResponse:
    body = StyleReferenceOutput(style_id=style.id).model_dump()
    return JSONResponse(body, headers=_marks(style))


def submitted(style: StoredStyle, app: str, base: str) -> JSONResponse:
    places = write.places(app, style.id, base)
    body = {"status": vocabulary.COMPLETED, "request_id": style.id, "gateway_request_id": style.id}
    return JSONResponse(body | {"queue_position": 0} | places, headers=_marks(style))


def answered(style: StoredStyle, end: str, app: str, base: str) -> Response:
    """What is told of the request for a style, by what follows its id in the path."""
    if end in ("", "/response"):
        return output(style)
    if end == "/cancel":
        return JSONResponse({"status": "ALREADY_COMPLETED"}, 400, _marks(style))
    if end != "/status":
        raise Fault(Kind.NOT_FOUND, "a request for a style is complete at once; ask its status")
    body: dict[str, Any] = {"status": vocabulary.COMPLETED, "request_id": style.id, "logs": None}
    body |= write.places(app, style.id, base) | {"metrics": {}}
    return JSONResponse(body, headers=_marks(style))


def _marks(style: StoredStyle) -> dict[str, str]:
    return {"x-fal-request-id": style.id}
