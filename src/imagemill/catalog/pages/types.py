"""What the pages share: how input is taken, the fields that recur, and the shapes of output."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from imagemill import generation
from imagemill.generation import (
    LONGEST_PICTURE,
    LONGEST_URL,
    MAX_LORAS,
    MAX_PROMPT,
    MAX_SEED,
    MAX_SIDE,
    MIN_SIDE,
    Lora,
)

MAX_STEPS = 50  # of a page; a generation may have more
MAX_GUIDANCE = 20.0
MAX_IMAGES = 4
MAX_LORA_SCALE = 4.0
MAX_REFERENCES = 16  # URLs in one list

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


class Input(BaseModel):
    """What a caller gives, taken at its word: nothing is coerced and nothing unknown passes.

    A null leaves open what may be left open.
    """

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        str_max_length=LONGEST_URL,
        json_schema_extra=_tell_order_and_nulls,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        open_ = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {name: each for name, each in given.items() if each is not None or name not in open_}


class Output(BaseModel):
    """What a page answers."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_tell_order)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticKnownError("string_too_short", {"min_length": 1})
    return text


def without_length(schema: dict[str, Any]) -> None:
    """Says nothing of how long a picture may be that comes within the request."""
    schema.pop("maxLength", None)


def _described(text: str) -> Any:
    return Field(description=text)


Prompt = Annotated[
    str,
    Field(min_length=1, max_length=MAX_PROMPT, description="What to paint."),
    AfterValidator(_not_blank),
]
Negative = Annotated[str, Field(max_length=MAX_PROMPT, description="What to keep out.")]
Side = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE, description="In px.")]
Steps = Annotated[
    int,
    Field(ge=1, le=MAX_STEPS, description="Steps of denoising: more look better and take longer."),
]
Guidance = Annotated[
    float,
    Field(ge=0, le=MAX_GUIDANCE, description="How closely the picture follows the prompt."),
]
Seed = Annotated[
    int | None,
    Field(
        ge=0,
        le=MAX_SEED,
        description="The same seed gives the same picture; left open, one is drawn.",
    ),
]
NumImages = Annotated[
    int, Field(ge=1, le=MAX_IMAGES, description="How many pictures, each with its own seed.")
]
SyncMode = Annotated[bool, _described("Whether pictures come inside the answer, as data URIs.")]
SafetyChecker = Annotated[
    bool, _described("Accepted for compatibility; this server has no safety checker.")
]
OutputFormat = Annotated[Literal["jpeg", "png"], _described("The format of the picture's file.")]
ExpandPrompt = Annotated[bool, _described("Whether the prompt is enriched before painting.")]
FileUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_PICTURE,  # of an address Generation takes LONGEST_URL characters
        description="An http or https address, or a data URI.",
        json_schema_extra=without_length,
    ),
]
References = Annotated[list[FileUrl], Field(max_length=MAX_REFERENCES)]


class ImageSize(Input):
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
    _described("The size of the picture: a name, or a width and a height in px."),
]


def sides(size: SizeName | ImageSize) -> tuple[int, int]:
    """Width and height, px."""
    return (size.width, size.height) if isinstance(size, ImageSize) else SIZES[size]


LoraScale = Annotated[
    float, Field(ge=-MAX_LORA_SCALE, le=MAX_LORA_SCALE, description="How strongly it is applied.")
]
LoraPath = Annotated[
    str, Field(min_length=1, description="An address, a Hub id, or a file that was given.")
]


class LoraWeight(Input):
    path: LoraPath
    scale: LoraScale = 1.0

    def lora(self) -> Lora:
        return Lora(self.path, self.scale)


class NamedLoraWeight(Input):  # LoraWeight too, on pages that let a file be named
    model_config = ConfigDict(title="LoraWeight")

    path: LoraPath
    weight_name: Annotated[
        str | None, _described("Which file of a Hub id, where it holds several.")
    ] = None
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


class RGBColor(Input):
    r: Annotated[Part, _described("Red.")] = 0
    g: Annotated[Part, _described("Green.")] = 0
    b: Annotated[Part, _described("Blue.")] = 0


class File(Output):
    url: str
    content_type: str | None = None
    file_name: str | None = None
    file_size: Annotated[int | None, _described("In bytes.")] = None


class FileWithData(File):
    model_config = ConfigDict(title="File")

    file_data: str | None = None


class Image(Output):
    url: str
    width: int | None = None
    height: int | None = None
    content_type: str = "image/jpeg"


class Timings(Output):
    inference: Annotated[float | None, _described("In seconds.")] = None


class TextToImageOutput(Output):
    images: list[Image]
    timings: Timings | None = None
    seed: Annotated[int | None, _described("Given or drawn: gives these pictures again.")] = None
    has_nsfw_concepts: Annotated[list[bool] | None, _described("One for each picture.")] = None
    prompt: str


# What the pages without files of their own print as an answer.
OUTPUT_EXAMPLE: dict[str, Any] = {
    "images": [{"url": "", "content_type": "image/jpeg"}],
    "prompt": "",
}
