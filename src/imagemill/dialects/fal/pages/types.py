"""What the pages share: how input is taken, the fields that recur, and the shapes of output."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler, WrapValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticKnownError

from imagemill import generation
from imagemill.generation import LONGEST_PICTURE, MAX_LORAS, Lora
from imagemill.http import fields

MAX_STEPS = 50  # of a page; a generation may have more
MAX_GUIDANCE = 20.0
MAX_REFERENCES = 16  # URLs in one list
LEAST_REPAINTED = 0.02  # of an image that is kept whole, as a pipeline refuses to take no step

SizeName = Literal[
    "square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"
]
SIZES: dict[str, tuple[int, int]] = {  # px, width and height
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
# Of about one megapixel, in multiples of 16, which every family paints without cutting.
RATIOS: dict[str, tuple[int, int]] = {
    "1:1": (1024, 1024),
    "16:9": (1360, 768),
    "9:16": (768, 1360),
    "16:10": (1280, 800),
    "10:16": (800, 1280),
    "4:3": (1152, 864),
    "3:4": (864, 1152),
    "3:2": (1248, 832),
    "2:3": (832, 1248),
    "3:1": (1776, 592),
    "1:3": (592, 1776),
}
Acceleration = Annotated[
    generation.Acceleration,
    Field(description="How much of steps that change little may be saved; none paints exactly."),
]


def _nullable(part: dict[str, Any]) -> dict[str, Any]:
    """The schema of a field, taking null too; what is said about the field stays outside."""
    kinds = part.get("anyOf")
    if kinds is None:
        said: dict[str, Any] = {
            name: part[name] for name in ("title", "description", "default") if name in part
        }
        kinds = [{name: value for name, value in part.items() if name not in said}]
        part = said
    if {"type": "null"} not in kinds:
        kinds = [*kinds, {"type": "null"}]
    return {"anyOf": kinds, **{name: value for name, value in part.items() if name != "anyOf"}}


def _tell_order(schema: dict[str, Any]) -> None:
    schema["x-fal-order-properties"] = list(schema["properties"])


def _tell_order_and_nulls(schema: dict[str, Any]) -> None:
    _tell_order(schema)
    properties, required = schema["properties"], schema.get("required", [])
    for name in properties.keys() - set(required):
        properties[name] = _nullable(properties[name])


class PageInput(fields.Input):
    """What a caller sends; its schema has the fields in the order of the page, and nulls."""

    # fal's applications are FastAPI's, which takes "7" and 7.0 for an integer.
    model_config = ConfigDict(strict=False, json_schema_extra=_tell_order_and_nulls)


class Output(BaseModel):
    """What a page answers."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_tell_order)


def said(text: str, **limits: Any) -> Any:
    """What a field means, as the schema tells it, and its limits."""
    return Field(description=text, **limits)


def optional(type: Any) -> tuple[Any, Any]:
    """A field of a type that may be left open, and what is said of the type said of the field."""
    return type | None, Field(default=None, description=FieldInfo.from_annotation(type).description)


Prompt = fields.Prompt
Negative = fields.Negative
Side = fields.Side
Seed = fields.Seed
NumImages = fields.NumImages
LoraScale = fields.LoraScale
Steps = Annotated[int, replace(fields.STEPS, high=MAX_STEPS).checked()]
Guidance = Annotated[float, replace(fields.GUIDANCE, high=MAX_GUIDANCE).checked()]
SyncMode = Annotated[bool, said("Whether pictures come inside the answer, as data URIs.")]
SafetyChecker = Annotated[
    bool, said("Whether pictures are looked at, and black where they are not to be shown.")
]
OutputFormat = Annotated[Literal["jpeg", "png"], said("The format of the picture's file.")]
ExpandPrompt = Annotated[bool, said("Whether the prompt is enriched before painting.")]
FileUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_PICTURE,  # of an address Generation takes LONGEST_URL characters
        description="An http or https address, or a data URI.",
        json_schema_extra=fields.without_length,
    ),
]
References = Annotated[list[FileUrl], Field(max_length=MAX_REFERENCES)]


class ImageSize(PageInput):
    width: Side = 512
    height: Side = 512


def _size(value: Any, either: ValidatorFunctionWrapHandler) -> Any:
    """Errors tell only of the form that was meant, where a union would tell of both."""
    if isinstance(value, dict):
        return ImageSize.model_validate(value)
    if isinstance(value, ImageSize) or (isinstance(value, str) and value in SIZES):
        return either(value)
    names = ", ".join(f"'{name}'" for name in SIZES)
    raise PydanticKnownError("literal_error", {"expected": f"{names} or a width and a height"})


Size = Annotated[
    SizeName | ImageSize,
    WrapValidator(_size),
    said("The size of the picture: a name, or a width and a height in px."),
]


def sides(size: SizeName | ImageSize) -> tuple[int, int]:
    """Width and height, px."""
    return (size.width, size.height) if isinstance(size, ImageSize) else SIZES[size]


LoraPath = Annotated[
    str, Field(min_length=1, description="An address, a Hub id, or a file that was given.")
]


class LoraWeight(PageInput):
    path: LoraPath
    scale: LoraScale = 1.0

    def lora(self) -> Lora:
        return Lora(self.path, self.scale)


class NamedLoraWeight(PageInput):  # LoraWeight too, on pages that let a file be named
    model_config = ConfigDict(title="LoraWeight")

    path: LoraPath
    weight_name: Annotated[str | None, said("Which file of a Hub id, where it holds several.")] = (
        None
    )
    scale: LoraScale = 1.0

    def lora(self) -> Lora:
        return Lora(self.path, self.scale, self.weight_name)


Loras = Annotated[
    list[LoraWeight], Field(max_length=MAX_LORAS, description="Adapters, merged in this order.")
]
NamedLoras = Annotated[
    list[NamedLoraWeight],
    Field(max_length=MAX_LORAS, description="Adapters, merged in this order."),
]
Part = Annotated[int, Field(ge=0, le=255)]


class RGBColor(PageInput):
    r: Annotated[Part, said("Red.")] = 0
    g: Annotated[Part, said("Green.")] = 0
    b: Annotated[Part, said("Blue.")] = 0


class FalFile(Output, title="File"):
    url: str
    content_type: str | None = None
    file_name: str | None = None
    file_size: Annotated[int | None, said("In bytes.")] = None


class FileWithData(FalFile):
    model_config = ConfigDict(title="File")

    file_data: str | None = None


class Image(Output):
    url: str
    width: int | None = None
    height: int | None = None
    content_type: str = "image/jpeg"


class Timings(Output):
    inference: Annotated[float | None, said("In seconds.")] = None


class TextToImageOutput(Output):
    images: list[Image]
    timings: Timings | None = None
    seed: Annotated[int | None, said("Given or drawn: gives these pictures again.")] = None
    has_nsfw_concepts: Annotated[list[bool] | None, said("One for each picture.")] = None
    prompt: str


# What the pages without files of their own print as an answer.
OUTPUT_EXAMPLE: dict[str, Any] = {
    "images": [{"url": "", "content_type": "image/jpeg"}],
    "prompt": "",
}
