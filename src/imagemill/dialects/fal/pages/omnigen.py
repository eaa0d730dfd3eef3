"""OmniGen2: open weights; guidance within a range of the steps, and a choice of scheduler."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticKnownError

from imagemill.dialects.fal.pages.model_page import ModelPage
from imagemill.dialects.fal.pages.types import (
    OUTPUT_EXAMPLE,
    FileUrl,
    Guidance,
    Negative,
    NumImages,
    OutputFormat,
    PageInput,
    Prompt,
    SafetyChecker,
    Seed,
    Size,
    Steps,
    SyncMode,
    TextToImageOutput,
    sides,
)
from imagemill.generation import Draft
from imagemill.http.input_images import with_images

NEGATIVE = (
    "(((deformed))), blurry, over saturation, bad anatomy, disfigured, poorly drawn face, "
    "mutation, mutated, (extra_limb), (ugly), (poorly drawn hands), fused fingers, messy drawing, "
    "broken legs censor, censored, censor_bar"
)
SCHEDULERS: dict[str, str] = {
    "euler": "FlowMatchEulerDiscreteScheduler",
    "dpmsolver": "DPMSolverMultistepScheduler",
}
Share = Annotated[float, Field(ge=0, le=1)]


class TextToImageInput(PageInput):
    prompt: Prompt
    input_image_urls: Annotated[
        list[FileUrl] | None,
        Field(max_length=3, description="Images to edit, or whose things are shown."),
    ] = None
    image_size: Size = "square_hd"
    num_inference_steps: Steps = 50
    seed: Seed = None
    text_guidance_scale: Guidance = 5.0
    image_guidance_scale: Annotated[
        float,
        Field(ge=0, le=20, description="How closely the picture follows the input images."),
    ] = 2.0
    negative_prompt: Negative = NEGATIVE
    cfg_range_start: Annotated[Share, Field(description="From which share of the steps on.")] = 0.0
    cfg_range_end: Annotated[Share, Field(description="To which share of the steps.")] = 1.0
    scheduler: Annotated[
        Literal["euler", "dpmsolver"], Field(description="How a step is taken.")
    ] = "euler"
    sync_mode: SyncMode = False
    num_images: NumImages = 1
    enable_safety_checker: SafetyChecker = True
    output_format: OutputFormat = "jpeg"

    @field_validator("cfg_range_end")
    @classmethod
    def _after_start(cls, end: float, others: ValidationInfo) -> float:
        start = others.data.get("cfg_range_start", 0.0)
        if end < start:
            raise PydanticKnownError("greater_than_equal", {"ge": start})
        return end


def _draft(body: TextToImageInput) -> Draft:
    width, height = sides(body.image_size)
    draft = Draft(
        prompt=body.prompt,
        negative_prompt=body.negative_prompt,
        width=width,
        height=height,
        steps=body.num_inference_steps,
        guidance_scale=body.text_guidance_scale,
        seed=body.seed,
        num_images=body.num_images,
        format=body.output_format,
        scheduler=SCHEDULERS[body.scheduler],
        guidance_range=(body.cfg_range_start, body.cfg_range_end),
    )
    if not body.input_image_urls:
        return draft
    draft = replace(draft, image_guidance_scale=body.image_guidance_scale)
    return with_images(draft, body.input_image_urls)


PAGES: tuple[ModelPage[Any], ...] = (
    ModelPage(
        id="fal-ai/omnigen-v2",
        description="One open model that paints from words, and edits images by words.",
        Input=TextToImageInput,
        Output=TextToImageOutput,
        example={
            "prompt": "Make the dress blue",
            "input_image_urls": ["https://storage.googleapis.com/falserverless/omnigen/input.png"],
            "image_size": "square_hd",
            "num_inference_steps": 50,
            "text_guidance_scale": 5,
            "image_guidance_scale": 2,
            "negative_prompt": NEGATIVE,
            "cfg_range_end": 1,
            "scheduler": "euler",
            "num_images": 1,
            "enable_safety_checker": True,
            "output_format": "jpeg",
        },
        output_example=OUTPUT_EXAMPLE,
        read=_draft,
    ),
)
