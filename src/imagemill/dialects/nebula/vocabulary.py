"""Nebula Block's words: what each model takes, what a body holds, how errors are told.

The table of models is that of its page. Which codes go with its errors is told nowhere, so they are
those of our other dialects.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from imagemill.http import json_body, replies
from imagemill.http.fields import SEED
from imagemill.http.json_body import Guidance, Negative, Prompt, Side, Steps, Strict

DIALECT = "nebula"
PREFIX = "/nebula/api/v1"

STATUSES = replies.STATUSES
PAINTED = "Image generated successfully"
LISTED = "Get models list successfully."
NAMES: dict[str, str] = {"steps": "num_steps"}  # canonical names that are another here

# Fields that have two names, the newer first.
SPELLINGS: dict[str, tuple[str, str]] = {
    "model": ("model", "model_name"),
    "image": ("image", "input_image"),
    "mask": ("mask", "mask_image"),
}
# Values that ask for nothing, as null does.
NOTHING: dict[str, str | int] = {"negative_prompt": "", "image": "", "mask": "", "seed": -1}

ALWAYS = ("prompt", "width", "height", "num_steps", "guidance_scale")
OPTIONAL = ("negative_prompt", "seed", "image", "mask")


@dataclass(frozen=True)
class ModelFields:
    """A model of the page, and the fields that it takes."""

    #: On the Hub.
    id: str
    #: As the page calls it.
    alias: str = ""
    #: A sentence.
    description: str = ""
    #: What it takes besides what all do.
    takes: tuple[str, ...] = OPTIONAL
    #: What it cannot do without.
    needs: tuple[str, ...] = ()
    #: What its sides are multiples of, in px.
    multiple_of: int = 1


MODELS: dict[str, ModelFields] = {
    model.id: model
    for model in (
        ModelFields(
            "stabilityai/stable-diffusion-xl-base-1.0",
            "StableDiffusion XL 1.0",
            "Text to image, with a prompt for what to keep out.",
            takes=("negative_prompt",),
        ),
        ModelFields(
            "black-forest-labs/FLUX.1-schnell",
            "Flux.1 schnell",
            "Text to image in a few steps.",
            takes=("seed",),
        ),
        ModelFields(
            "black-forest-labs/FLUX.1-Fill-dev",
            "Flux.1 Fill Dev",
            "Paints anew what a mask shows of a picture.",
            takes=("image", "mask"),
            needs=("image", "mask"),
            multiple_of=16,
        ),
    )
}


def model_of(id: str) -> ModelFields:
    """What is known of a model; one that the page does not know takes everything."""
    return MODELS.get(id) or ModelFields(id)


_SEED = replace(
    SEED, low=-1, description="The same seed gives the same picture; left open or -1, one is drawn."
)
Seed = Annotated[int | None, _SEED.stated()]
Id = Annotated[str | None, Field(description="Of the model, as owner/name; under either name.")]
Image = Annotated[
    str | None, json_body.picture("A JPEG, PNG or WebP picture to paint over, in base64.")
]
Mask = Annotated[
    str | None, json_body.picture("Another, white where it is painted over, in base64.")
]


class NebulaBody(Strict, title="Body"):
    model: Id = None
    model_name: Id = None
    prompt: Prompt
    negative_prompt: Negative = None
    width: Side = None
    height: Side = None
    num_steps: Steps = None
    guidance_scale: Guidance = None
    seed: Seed = None
    image: Image = None
    input_image: Image = None
    mask: Mask = None
    mask_image: Mask = None


class DatumTimings(json_body.Reply, title="Timings"):
    inference: float  # seconds


class Datum(json_body.Reply):
    timings: DatumTimings
    index: int
    b64_json: str  # a PNG


class ImagesReply(json_body.Reply, title="Reply"):
    model: str
    object: Literal["list"]
    data: list[Datum]
    message: str
    status: Literal["success"]


class Listed(json_body.Reply):
    """price: of a picture; nothing is charged here. The two of text are null, as there is none."""

    model_name: str
    model_alias: str
    model_type: Literal["Image"] = "Image"
    context_length: None = None
    max_completion_tokens: None = None
    description: str
    price: float = 0
    huggingface_url: str | None = None


class Lists(json_body.Reply):
    models: list[Listed]


class ModelsReply(json_body.Reply):
    data: Lists
    message: str
    status: Literal["success"]


class NebulaErrorBody(json_body.Reply, title="ErrorBody"):
    message: str
    status: Literal["failed"]


EXAMPLES: dict[str, Any] = {
    "text to image": {
        "value": {
            "model": "black-forest-labs/FLUX.1-schnell",
            "prompt": "a red cat above a yellow boat on the sea",
            "num_steps": 4,
            "guidance_scale": 3.5,
            "width": 512,
            "height": 512,
            "seed": -1,
        }
    }
}
GENERATION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": json_body.schema(NebulaBody), "examples": EXAMPLES}
        },
    }
}
