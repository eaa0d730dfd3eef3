"""What OpenAI's callers send: the fields of each call, as JSON or as a form."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError, WithJsonSchema
from pydantic_core import PydanticKnownError

from imagemill.dialects.openai.capabilities import LACKING, of_openai
from imagemill.dialects.openai.image_inputs import prompt_of
from imagemill.dialects.openai.vocabulary import InvalidParameter
from imagemill.errors import Fault, Kind
from imagemill.generation import MAX_IMAGES
from imagemill.http import json_body, multipart, operation
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
from imagemill.http.multipart import Part
from imagemill.http.unknown_fields import Place, UnknownFields
from imagemill.images.data_uris import data_uri
from imagemill.references import is_inline
from imagemill.threads import BODIES
from imagemill.value_checks import LONGEST_NAME

MOST_INPUTS = 16  # images of one edit

Quality = Literal["low", "medium", "high", "xhigh", "max", "auto", "standard", "hd"]
Style = Literal["vivid", "natural"]
Background = Literal["transparent", "opaque", "auto"]
Format = Literal["png", "jpeg", "webp", "gif", "svg"]
Model = Annotated[str | None, Field(description="One of OpenAI's names, or owner/name.")]
Count = Annotated[int | None, Field(json_schema_extra={"minimum": 1, "maximum": MAX_IMAGES})]
Size = Annotated[str | None, Field(description="As 1024x1024, or auto.")]
Strength = Annotated[float | None, Field(description="0 to 1: how much is repainted.")]


def _text(value: Any) -> Any:
    """A string, whatever is in it: it is told again as it came."""
    if value is not None and not isinstance(value, str):
        raise PydanticKnownError("string_type")
    if len(value or "") > LONGEST_NAME:
        raise PydanticKnownError("string_too_long", {"max_length": LONGEST_NAME})
    return value


AsItCame = Annotated[
    Any, AfterValidator(_text), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]})
]


class OpenAIBody(Strict):
    """What all three calls take. From the seed on, the fields are this server's own."""

    model: Model = None
    n: Count = None
    size: Size = None
    response_format: Literal["url", "b64_json"] | None = None
    user: AsItCame = None
    safety_identifier: AsItCame = None
    seed: Seed = None
    negative_prompt: Negative = None
    num_inference_steps: Steps = None
    guidance_scale: Guidance = None
    width: Side = None
    height: Side = None
    scheduler: Scheduler = None


class PromptedBody(OpenAIBody):
    prompt: Prompt
    quality: Quality | None = None
    background: Background | None = None
    moderation: Literal["low", "auto"] | None = None
    complexity: Literal["low", "medium", "high"] | None = None
    output_format: Format | None = None
    output_compression: Annotated[int | None, Field(ge=0, le=100)] = None
    stream: bool | None = None
    partial_images: Annotated[int | None, Field(ge=0, le=3)] = None
    frame_count: Any = None
    frame_duration_ms: Any = None
    svg: Any = None


class Generate(PromptedBody):
    style: Style | None = None
    #: Of a style made of images, as Recraft's API has it.
    style_id: str | None = None


class Reference(Strict):
    """An image in an edit as JSON: one of the two."""

    image_url: Annotated[str | None, json_body.picture("An address, or a data URI.")] = None
    file_id: str | None = None


class Edit(PromptedBody):
    """images, mask: only in JSON; in a form they are files."""

    images: Annotated[list[Reference] | None, Field(max_length=MOST_INPUTS)] = None
    mask: Reference | None = None
    markup: Any = None
    input_fidelity: Literal["high", "low"] | None = None
    strength: Strength = None


class Vary(OpenAIBody):
    prompt: str | None = None
    strength: Strength = None


Body = TypeVar("Body", bound=OpenAIBody)


@dataclass(frozen=True)
class ParsedCall:
    """A call, and the files that came with it."""

    #: The fields.
    body: OpenAIBody
    #: The same for the same call.
    identity: bytes
    #: Each a content or a URL; at most 16.
    images: tuple[bytes | str, ...] = ()
    #: Likewise; None where there is none.
    mask: bytes | str | None = None
    #: Of the image that is to be varied, as far as it says that itself.
    image_prompt: str | None = None


FILES = ("image", "image[]", "mask")
# In a form every value is a string.
INTEGERS = frozenset(
    ("n", "seed", "num_inference_steps", "width", "height", "output_compression", "partial_images")
)
NUMBERS = frozenset(("guidance_scale", "strength"))
SWITCHES: Mapping[str, bool] = {"true": True, "1": True, "false": False, "0": False}


# Large bodies are read beside the loop, which serves others in the meantime.
async def generate(body: bytes, content_type: str, unknown: UnknownFields) -> ParsedCall:
    if multipart.is_form(content_type):
        raise InvalidParameter("A form is not taken here; send JSON.", None)
    return await operation.reading(body, _generate, body, unknown)


async def edit(body: bytes, content_type: str, unknown: UnknownFields) -> ParsedCall:
    if multipart.is_form(content_type):
        parts = await multipart.parts(content_type, body)
        return await BODIES.run(_form, Edit, parts, unknown)
    return await operation.reading(body, _edit, body, unknown)


async def vary(body: bytes, content_type: str, unknown: UnknownFields) -> ParsedCall:
    if not multipart.is_form(content_type):
        raise InvalidParameter("Variations are asked for with multipart/form-data.", None)
    return await BODIES.run(_vary, await multipart.parts(content_type, body), unknown)


def _generate(body: bytes, unknown: UnknownFields) -> ParsedCall:
    return ParsedCall(take(Generate, json_body.parse(json_body.text(body)), unknown), body)


def _edit(content: bytes, unknown: UnknownFields) -> ParsedCall:
    body = take(Edit, json_body.parse(json_body.text(content)), unknown)
    images = tuple(_image(each, "images", "image") for each in body.images or ())
    mask = None if body.mask is None else _image(body.mask, "mask", "mask")
    return ParsedCall(body, content, _some(images, "images"), mask)


def _vary(parts: list[Part], unknown: UnknownFields) -> ParsedCall:
    parsed = _form(Vary, parts, unknown)
    if len(parsed.images) > 1 or parsed.mask is not None:
        raise InvalidParameter("One image is varied, without a mask; send that alone.", "image")
    (image,) = parsed.images
    assert isinstance(image, bytes), "as in every form"
    return replace(parsed, image_prompt=prompt_of(image))


def foreign(body: Any, place: Place) -> bool:
    """Whether a body names a model that is none of OpenAI's: the APIs that serve such ones pass
    over what they do not know, where OpenAI's refuses it.
    """
    model = body.get("model") if isinstance(body, dict) else None
    return isinstance(model, str) and not of_openai(model)


def take(model: type[Body], value: Any, unknown: UnknownFields) -> Body:
    """`value` as a `model`; what is wrong is told in OpenAI's words."""
    try:
        return unknown.take(model, value)
    except ValidationError as error:
        errors = error.errors(include_url=False)[: json_body.SHOWN_ERRORS]
        messages, codes = zip(*(_message(model, each) for each in errors), strict=True)
        raise InvalidParameter(" ".join(messages), _path(errors[0]) or None, codes[0]) from None


def _form(model: type[Body], parts: list[Part], unknown: UnknownFields) -> ParsedCall:
    fields = dict[str, Any]()
    for part in parts:
        if part.name in FILES:
            continue
        name = part.name.partition("[")[0]
        name = name if name in LACKING else part.name  # as svg[model]
        if part.is_file and name not in model.model_fields.keys() - {"images"}:
            raise _unknown_file(name)
        if name in fields and name not in LACKING:
            raise InvalidParameter(f"'{name:.80}' is given twice; give it once.", f"{name:.80}")
        fields[name] = "given" if name in LACKING else _value(part)
    images = tuple(part.content for part in parts if part.name in ("image", "image[]"))
    masks = [part.content for part in parts if part.name == "mask"]
    if len(masks) > 1:
        raise InvalidParameter("There is more than one mask; give one.", "mask")
    body, mask = take(model, fields, unknown), masks[0] if masks else None
    return ParsedCall(body, multipart.digest(parts), _some(images, "image"), mask)


def _unknown_file(name: str) -> InvalidParameter:
    known = ", ".join(FILES)
    message = f"Unknown parameter: '{name:.80}', which is a file. Files are sent as {known}."
    return InvalidParameter(message, f"{name:.80}", "unknown_parameter")


def _value(part: Part) -> Any:
    name, text = part.name, multipart.text(part)
    if not text:
        return None
    if name in INTEGERS and re.fullmatch(r"-?\d{1,40}", text, re.ASCII):
        return int(text)
    if name in NUMBERS:
        try:
            return float(text)
        except ValueError:
            return text
    return SWITCHES.get(text.lower(), text) if name == "stream" else text


def _some(images: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    if not images:
        raise InvalidParameter(
            f"Missing required parameter: '{name}'.", name, "missing_required_parameter"
        )
    if len(images) > MOST_INPUTS:
        message = f"There are {len(images)} images; give at most {MOST_INPUTS}."
        raise InvalidParameter(message, name, "array_above_max_length")
    return images


def _image(reference: Reference, name: str, field: str) -> bytes | str:
    if reference.file_id is not None:
        message = "files are not kept under ids here; give image_url, which may be a data URI"
        raise Fault(Kind.UNSUPPORTED, message, f"{name}.file_id")
    if not reference.image_url:
        message = f"Missing required parameter: '{name}.image_url'."
        raise InvalidParameter(message, f"{name}.image_url", "missing_required_parameter")
    if is_inline(reference.image_url):
        # The body that it came in was bounded already.
        return data_uri(reference.image_url, field, len(reference.image_url))[0]
    return reference.image_url


# By pydantic's name of what is wrong; all others are told in pydantic's own words.
_WRONG: Mapping[str, tuple[str, str]] = {
    "missing": ("Missing required parameter: '{path}'.", "missing_required_parameter"),
    "extra_forbidden": (
        "Unknown parameter: '{path}'. Known are {known}.", "unknown_parameter",
    ),
    "literal_error": ("Invalid value: {value}. Supported values are: {expected}.", "invalid_value"),
    "greater_than_equal": (
        "Invalid '{path}': integer below minimum value. Expected a value >= {ge}, but got {value} "
        "instead.", "integer_below_min_value",
    ),
    "less_than_equal": (
        "Invalid '{path}': integer above maximum value. Expected a value <= {le}, but got {value} "
        "instead.", "integer_above_max_value",
    ),
    "too_long": (
        "Invalid '{path}': at most {max_length} items are taken.", "array_above_max_length",
    ),
}  # fmt: skip


def _message(model: type[OpenAIBody], error: Any) -> tuple[str, str]:
    """A sentence and its code."""
    path, value = _path(error), json_body.shown(error["input"])
    if not path:
        return f"The body: {value} is not an object; send JSON.", "invalid_type"
    if error["type"] in _WRONG:
        template, code = _WRONG[error["type"]]
        facts = {"path": path, "value": value, "known": ", ".join(model.model_fields)}
        return template.format(**facts, **error.get("ctx", {})), code
    if error["type"] == "string_too_long":
        return f"Invalid '{path}': {json_body.wrong(error)}.", "string_above_max_length"
    return f"Invalid type for '{path}': {json_body.wrong(error)}.", "invalid_type"


def _path(error: Any) -> str:
    path = ".".join(f"{part!s:.80}" for part in error["loc"])
    return path.encode("utf-8", "replace").decode()  # JSON can bring what no reply can hold
