"""Input that comes through Hugging Face's router: every field that its clients send to fal.

They know a model by its task alone: scheduler and negative prompt go to every one, sizes come in
three forms, and an image twice.
"""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from pydantic import Field, ValidationError

from imagemill.dialects.fal.pages.model_page import ModelPage, as_it_is
from imagemill.dialects.fal.pages.types import (
    Acceleration,
    FileUrl,
    ImageSize,
    NamedLoras,
    Negative,
    NumImages,
    OutputFormat,
    PageInput,
    References,
    SafetyChecker,
    Seed,
    Side,
    Size,
    SyncMode,
    sides,
)
from imagemill.dialects.hub_models import UNSAID
from imagemill.errors import invalid
from imagemill.generation import MAX_GUIDANCE, MAX_STEPS, Draft
from imagemill.http.input_images import with_images
from imagemill.value_checks import MAX_PROMPT

# Fields that are read as the Draft names them.
SAME = (
    *("negative_prompt", "guidance_scale", "seed", "num_images", "scheduler", "strength"),
    "acceleration",
)


class WideInput(PageInput):
    """What is left open is as the page has it, or as the model likes it."""

    prompt: Annotated[str, Field(max_length=MAX_PROMPT)] = ""
    negative_prompt: Negative | None = None
    image_size: Size | None = None
    width: Side | None = None
    height: Side | None = None
    target_size: ImageSize | None = None
    num_inference_steps: Annotated[int | None, Field(ge=1, le=MAX_STEPS)] = None
    guidance_scale: Annotated[float | None, Field(ge=0, le=MAX_GUIDANCE)] = None
    scheduler: str | None = None
    seed: Seed = None
    num_images: NumImages | None = None
    image_url: FileUrl | None = None
    image_urls: References | None = None
    mask_url: FileUrl | None = None
    mask_image: FileUrl | None = None
    strength: Annotated[float | None, Field(ge=0, le=1)] = None
    loras: NamedLoras = Field(default=[])
    output_format: OutputFormat | None = None
    acceleration: Acceleration | None = None
    sync_mode: SyncMode = False
    enable_safety_checker: SafetyChecker = True


def router_page(page: ModelPage[Any]) -> ModelPage[Any]:
    """The same page, taking all of the above."""
    return replace(
        page, Input=WideInput, read=partial(_read, page), lacking={}, understand=as_it_is
    )


def _read(page: ModelPage[Any], body: WideInput) -> Draft:
    images = [*filter(None, [body.image_url]), *(body.image_urls or ())]
    draft = _usual(page, body, bool(images))
    values = {name: value for name in SAME if (value := getattr(body, name)) is not None}
    if body.num_inference_steps is not None:
        values["steps"] = body.num_inference_steps
    if body.output_format is not None:
        values["format"] = body.output_format
    if size := _size(body):
        width, height = size
        values |= {"width": width or draft.width, "height": height or draft.height}
        values["image_sized"] = False
    draft = replace(
        draft, mask=_mask(body), loras=tuple(each.lora() for each in body.loras), **values
    )
    return with_images(draft, images)


def _usual(page: ModelPage[Any], body: WideInput, image: bool) -> Draft:
    """What the page paints where only the prompt is given; a picture keeps its own size."""
    prompt = body.prompt if body.prompt.strip() or not image else UNSAID
    try:
        draft = page.read(page.Input.model_validate({"prompt": prompt}))
    except ValidationError:  # it needs more than a prompt
        draft = Draft(prompt, format="jpeg")
    if not image:
        return draft
    return replace(draft, width=None, height=None, image_sized=True)


def _mask(body: WideInput) -> str | None:
    if body.mask_url and body.mask_image:
        raise invalid("mask", "mask_url and mask_image are the same; give one of them")
    return body.mask_url or body.mask_image


def _size(body: WideInput) -> tuple[int | None, int | None] | None:
    """Width and height in px; None where neither was given."""
    named, target = body.image_size, body.target_size
    flat = (body.width, body.height)
    forms: dict[str, tuple[int | None, int | None] | None] = {
        "image_size": None if named is None else sides(named),
        "target_size": None if target is None else sides(target),
        "width and height": None if flat == (None, None) else flat,
    }
    names = [name for name, value in forms.items() if value]
    if len(names) > 1:
        raise invalid("image_size", f"the size came as {' and as '.join(names)}; give one of them")
    return forms[names[0]] if names else None
