"""Fields that inputs of several dialects have: limits and descriptions, each stated once."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticKnownError

from imagemill.generation import MAX_GUIDANCE, MAX_SEED, MAX_SIDE, MAX_STEPS, MIN_SIDE
from imagemill.value_checks import LONGEST_URL, MAX_PROMPT

MOST_IMAGES = 4  # of one call
MAX_LORA_SCALE = 4.0


@dataclass(frozen=True)
class Bounds:
    """What a schema says of a number."""

    description: str
    #: The least value that is taken.
    low: float
    #: The largest value that is taken.
    high: float

    def checked(self) -> Any:
        """Refused by the dialect itself, as its API does."""
        return Field(ge=self.low, le=self.high, description=self.description)

    def stated(self) -> Any:
        """Told to readers of the schema; what checks it is Generation, for every dialect alike."""
        limits: dict[str, Any] = {"minimum": self.low, "maximum": self.high}
        return Field(description=self.description, json_schema_extra=limits)


SIDE = Bounds("In px.", MIN_SIDE, MAX_SIDE)
STEPS = Bounds("Steps of denoising: more look better and take longer.", 1, MAX_STEPS)
GUIDANCE = Bounds("How closely the picture follows the prompt.", 0, MAX_GUIDANCE)
SEED = Bounds("The same seed gives the same picture; left open, one is drawn.", 0, MAX_SEED)


class Input(BaseModel):
    """What a caller sends, taken at its word: nothing is coerced and nothing unknown passes.

    A null leaves open what may be left open.
    """

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        str_max_length=LONGEST_URL,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        open_ = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {name: each for name, each in value.items() if each is not None or name not in open_}


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticKnownError("string_too_short", {"min_length": 1})
    return text


def without_length(schema: dict[str, Any]) -> None:
    """Says nothing of how long an image may be that comes within the request."""
    for part in (schema, *schema.get("anyOf", ())):
        part.pop("maxLength", None)


Prompt = Annotated[
    str,
    Field(min_length=1, max_length=MAX_PROMPT, description="What to paint."),
    AfterValidator(_not_blank),
]
Negative = Annotated[str, Field(max_length=MAX_PROMPT, description="What to keep out.")]
Side = Annotated[int, SIDE.checked()]
Seed = Annotated[int | None, SEED.checked()]
NumImages = Annotated[
    int, Field(ge=1, le=MOST_IMAGES, description="How many pictures, each with its own seed.")
]
LoraScale = Annotated[
    float, Field(ge=-MAX_LORA_SCALE, le=MAX_LORA_SCALE, description="How strongly it is applied.")
]
