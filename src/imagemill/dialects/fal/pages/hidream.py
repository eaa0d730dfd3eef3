"""HiDream-I1, full and fast: open weights, LoRAs on the full one, both with previews."""

from dataclasses import replace
from typing import Any

from pydantic import Field

from imagemill.dialects.fal.pages.model_page import ModelPage
from imagemill.dialects.fal.pages.types import (
    OUTPUT_EXAMPLE,
    Guidance,
    ImageSize,
    NamedLoras,
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

SIZE = ImageSize(width=1024, height=1024)
PROMPT = "a cat holding a skateboard which has 'fal' written on it in red spray paint"


class TextToImageInputFull(PageInput):
    prompt: Prompt
    negative_prompt: Negative = ""
    image_size: Size = SIZE
    num_inference_steps: Steps = 50
    seed: Seed = None
    guidance_scale: Guidance = 5.0
    sync_mode: SyncMode = False
    num_images: NumImages = 1
    enable_safety_checker: SafetyChecker = True
    output_format: OutputFormat = "jpeg"
    loras: NamedLoras = Field(default=[])


class TextToImageInputFast(PageInput):
    """Distilled: there is no guidance to set."""

    prompt: Prompt
    negative_prompt: Negative = ""
    image_size: Size = SIZE
    num_inference_steps: Steps = 16
    seed: Seed = None
    sync_mode: SyncMode = False
    num_images: NumImages = 1
    enable_safety_checker: SafetyChecker = True
    output_format: OutputFormat = "jpeg"


def _fast(body: TextToImageInputFull | TextToImageInputFast) -> Draft:
    width, height = sides(body.image_size)
    return Draft(
        prompt=body.prompt,
        negative_prompt=body.negative_prompt,
        width=width,
        height=height,
        steps=body.num_inference_steps,
        seed=body.seed,
        num_images=body.num_images,
        format=body.output_format,
    )


def _full(body: TextToImageInputFull) -> Draft:
    return replace(
        _fast(body),
        guidance_scale=body.guidance_scale,
        loras=tuple(each.lora() for each in body.loras),
    )


PAGES: tuple[ModelPage[Any], ...] = (
    ModelPage(
        id="fal-ai/hidream-i1-full",
        description="An open model of 17 billion parameters, undistilled: the best of its family.",
        Input=TextToImageInputFull,
        Output=TextToImageOutput,
        example={
            "prompt": PROMPT,
            "negative_prompt": "",
            "image_size": {"height": 1024, "width": 1024},
            "num_inference_steps": 50,
            "guidance_scale": 5,
            "num_images": 1,
            "enable_safety_checker": True,
            "output_format": "jpeg",
            "loras": [],
        },
        output_example=OUTPUT_EXAMPLE,
        read=_full,
        streams=True,
    ),
    ModelPage(
        id="fal-ai/hidream-i1-fast",
        description="The open HiDream model distilled to 16 steps.",
        Input=TextToImageInputFast,
        Output=TextToImageOutput,
        example={
            "prompt": PROMPT,
            "negative_prompt": "",
            "image_size": {"height": 1024, "width": 1024},
            "num_inference_steps": 16,
            "num_images": 1,
            "enable_safety_checker": True,
            "output_format": "jpeg",
        },
        output_example=OUTPUT_EXAMPLE,
        read=_fast,
        streams=True,
    ),
)
