"""Requests of Hugging Face Inference, as submissions."""

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field
from starlette.datastructures import Headers

from imagemill.catalog import Endpoint
from imagemill.dialects.hf_inference.accept import accepted
from imagemill.dialects.hub_models import UNSAID
from imagemill.errors import invalid
from imagemill.generation import MAX_SIDE, MIN_SIDE, Draft
from imagemill.http import json_body, request_body
from imagemill.http.identity import caller_of, formed, own
from imagemill.http.input_images import with_images
from imagemill.http.json_body import (
    Guidance,
    Negative,
    Prompt,
    Scheduler,
    Seed,
    Side,
    Steps,
    Strict,
)
from imagemill.http.unknown_fields import UnknownFields
from imagemill.images.data_uris import as_uri
from imagemill.images.kinds import READ, SEARCHED, is_file
from imagemill.job import Submission
from imagemill.references import DATA
from imagemill.value_checks import LONGEST_URL

DIALECT = "hf-inference"
SWITCHES = {"true": True, "1": True, "false": False, "0": False}
# Re-sends a 503 at once and for ever, so it waits whether it says so or not.
IMPATIENT = "@huggingface/inference"
# What goes with a picture only.
WITH_IMAGE = ("prompt", "strength", "mask_image")

# A data URI, and no prompt that begins with the word.
_DATA = re.compile(
    r"\s*data:(?:[\w.+-]+/[\w.+-]+[^,\s]*|[^,\s]*;base64[^,\s]*),", re.ASCII | re.IGNORECASE
)
_WEB = re.compile(r"https?://\S+", re.IGNORECASE)
_HEAD = SEARCHED // 3 * 4  # characters of base64 that tell what a file is
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_STANDARD = str.maketrans("-_", "+/")
_MIXED = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)\S{200}")  # so long a word is no prompt


class InferenceSize(Strict, title="TargetSize"):
    width: Annotated[int, Field(json_schema_extra={"minimum": MIN_SIDE, "maximum": MAX_SIDE})]
    height: Annotated[int, Field(json_schema_extra={"minimum": MIN_SIDE, "maximum": MAX_SIDE})]


class Parameters(Strict):
    """The last four go with a picture; it keeps its size where none is given."""

    guidance_scale: Guidance = None
    negative_prompt: Negative = None
    num_inference_steps: Steps = None
    width: Side = None
    height: Side = None
    scheduler: Scheduler = None
    seed: Seed = None
    target_size: InferenceSize | None = None
    prompt: Annotated[str | None, Field(description="What to paint over the picture.")] = None
    strength: Annotated[
        float | None,
        Field(
            description="How much of the picture is repainted.",
            json_schema_extra={"minimum": 0, "maximum": 1},
        ),
    ] = None
    mask_image: Annotated[
        str | None, json_body.picture("A picture in base64 or its URL: white is repainted.")
    ] = None


class InferenceOptions(Strict, title="Options"):
    """The older form of the two headers, which win. The last three change nothing: old clients
    send them for themselves, or for other hardware.
    """

    use_cache: bool | None = None
    wait_for_model: bool | None = None
    use_gpu: bool | None = None
    dont_load_model: bool | None = None
    retry_on_error: bool | None = None


class InferenceBody(Strict, title="Body"):
    """inputs: what to paint, or a picture in base64 to paint over."""

    inputs: Prompt
    parameters: Parameters | None = None
    options: InferenceOptions | None = None


@dataclass(frozen=True)
class TaskInput:
    """What a body says, whatever its form."""

    #: What to paint.
    prompt: str
    #: A URL; DATA alone where it is the body itself; None where there is none.
    image: str | None
    #: Empty where the body has none.
    parameters: Parameters
    #: Empty where the body has none.
    options: InferenceOptions


def read(
    endpoint: Endpoint,
    headers: Headers,
    body: bytes,
    text_limit: int | None = None,
    base: Callable[[], str] = str,
    unknown: UnknownFields | None = None,
) -> Submission:
    """text_limit: bytes of a body without a picture. base: gives the address of this server.
    unknown: what becomes of unknown fields; left out, they are refused.
    """
    _check_authorization(headers)
    format = accepted(", ".join(headers.getlist("accept")))
    task = read_body(headers.get("content-type", ""), body, unknown)
    if task.image is None and text_limit is not None and len(body) > text_limit:
        raise request_body.too_large(text_limit)
    parameters, options = task.parameters, task.options
    use_cache = _switch(headers, "x-use-cache", options.use_cache, default=True)
    wait = _switch(headers, "x-wait-for-model", options.wait_for_model, default=False)
    width, height = _size(parameters)
    draft = Draft(
        task.prompt,
        format=format,
        negative_prompt=parameters.negative_prompt or "",
        width=width,
        height=height,
        steps=parameters.num_inference_steps,
        guidance_scale=parameters.guidance_scale,
        scheduler=parameters.scheduler,
        seed=parameters.seed,
    )
    draft = _over(draft, task)
    return Submission(
        endpoint.generation(_ours(draft, base)),
        endpoint.source,
        dialect=DIALECT,
        caller=caller_of(headers),
        version=endpoint.version,
        # What is behind an address may have changed since.
        cacheable=use_cache and not any(map(_remote, (draft.image, draft.mask, *draft.references))),
        seed_drawn=parameters.seed is None,
        wait_for_model=wait or headers.get("user-agent", "").startswith(IMPATIENT),
    )


def read_body(content_type: str, body: bytes, unknown: UnknownFields | None = None) -> TaskInput:
    """A picture, a JSON object, a JSON string, or, where no JSON was announced, bare text."""
    if is_file(body):
        return TaskInput(UNSAID, DATA, Parameters(), InferenceOptions())
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.startswith(("image/", "multipart/")):
        message = f"{media_type:.80} is not taken here unless the body is a picture of {READ}"
        raise invalid("body", f"{message}; send one, or a prompt as JSON or text")
    text = json_body.text(body)
    announced = media_type == "application/json" or media_type.endswith("+json")
    if not announced and text.strip() and text.lstrip()[0] not in '{["':
        return _task_input(InferenceBody(inputs=text))
    value = json_body.parse(text)
    return _task_input(
        InferenceBody(inputs=value)
        if isinstance(value, str)
        else json_body.take(InferenceBody, json_body.with_integers(value), unknown)
    )


def _task_input(body: InferenceBody) -> TaskInput:
    parameters, options = body.parameters or Parameters(), body.options or InferenceOptions()
    image = _image_url(body.inputs)
    if image is None and parameters.prompt is not None and _is_web(body.inputs):
        image = body.inputs
    if image is not None:
        return TaskInput(parameters.prompt or UNSAID, image, parameters, options)
    for name in WITH_IMAGE:
        if getattr(parameters, name) is not None:
            message = f"unknown field 'parameters.{name}' where inputs is a text"
            raise invalid("body", f"{message}; it goes with a picture, in base64, as inputs")
    return TaskInput(body.inputs, None, parameters, options)


def _image_url(text: str) -> str | None:
    """A data URI of a file that is given in base64 or as one; None for a prompt."""
    if _DATA.match(text):
        return text.lstrip()
    head = re.sub(r"\s", "", text.lstrip()[: 2 * _HEAD])[:_HEAD]
    if not _BASE64.fullmatch(head):
        return None
    known = is_file(binascii.a2b_base64(head[: len(head) // 4 * 4].translate(_STANDARD)))
    return as_uri(text) if known or _MIXED.match(head) else None


def _ours(draft: Draft, base: Callable[[], str]) -> Draft:
    """The draft with files of ours by their names."""
    if draft.image is None and not draft.references:
        return draft
    address = base()
    references = tuple(own(each, address) or "" for each in draft.references)
    image, mask = own(draft.image, address), own(draft.mask, address)
    return replace(draft, image=image, mask=mask, references=references)


def _over(draft: Draft, task: TaskInput) -> Draft:
    """The draft with the picture that is painted over, if one came."""
    if task.image is None:
        return draft
    if (task.parameters.width is None) != (task.parameters.height is None):
        raise invalid("body", "a picture is given both width and height, or none to keep its own")
    mask = task.parameters.mask_image
    if mask is not None and not _is_web(mask):
        mask = as_uri(mask)
    strength, sized = task.parameters.strength, draft.width is None
    draft = replace(draft, mask=mask, strength=strength, image_sized=sized)
    return with_images(draft, [task.image])


def _size(parameters: Parameters) -> tuple[int | None, int | None]:
    target, sides = parameters.target_size, (parameters.width, parameters.height)
    if target is None:
        return sides
    if sides != (None, None):
        raise invalid("body", "target_size is the width and height; give it, or these, not both")
    return target.width, target.height


def _remote(url: str | None) -> bool:
    return url is not None and _is_web(url)


def _is_web(text: str) -> bool:
    return len(text) <= LONGEST_URL and _WEB.fullmatch(text) is not None


def _switch(headers: Headers, name: str, option: bool | None, default: bool) -> bool:
    value = headers.get(name)
    if value is None:
        return default if option is None else option
    if value.strip().lower() not in SWITCHES:
        raise invalid(name, f"{name}: {value!r:.80} is not true or false")
    return SWITCHES[value.strip().lower()]


def _check_authorization(headers: Headers) -> None:
    # Which tokens open is told before; both forms that the documents print are read.
    if not formed(headers, "bearer", "bearer:"):
        raise invalid("authorization", "authorization is not of the form 'Bearer hf_...'")
