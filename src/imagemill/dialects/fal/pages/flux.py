"""FLUX.1 [schnell] and [dev]: open weights, with a choice of speed over guidance."""

from dataclasses import replace
from typing import Any

from imagemill.dialects.fal.pages.model_page import ModelPage
from imagemill.dialects.fal.pages.types import (
    OUTPUT_EXAMPLE,
    Acceleration,
    Guidance,
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

PROMPT = (
    "Extreme close-up of a single tiger eye, direct frontal view. Detailed iris and pupil. "
    "Sharp focus on eye texture and color. Natural lighting to capture authentic eye shine and "
    'depth. The word "FLUX" is painted over it in big, white brush strokes with visible texture.'
)


class TextToImageInputFlux1Schnell(PageInput):
    """Distilled: there is no guidance to set."""

    prompt: Prompt
    image_size: Size = "landscape_4_3"
    num_inference_steps: Steps = 4
    seed: Seed = None
    sync_mode: SyncMode = False
    num_images: NumImages = 1
    enable_safety_checker: SafetyChecker = True
    output_format: OutputFormat = "png"
    acceleration: Acceleration = "regular"


class TextToImageInputSchnell(PageInput):
    prompt: Prompt
    image_size: Size = "landscape_4_3"
    num_inference_steps: Steps = 4
    seed: Seed = None
    guidance_scale: Guidance = 3.5
    sync_mode: SyncMode = False
    num_images: NumImages = 1
    enable_safety_checker: SafetyChecker = True
    output_format: OutputFormat = "png"
    acceleration: Acceleration = "regular"


class TextToImageInputDev(PageInput):
    prompt: Prompt
    image_size: Size = "landscape_4_3"
    num_inference_steps: Steps = 28
    seed: Seed = None
    guidance_scale: Guidance = 3.5
    sync_mode: SyncMode = False
    num_images: NumImages = 1
    enable_safety_checker: SafetyChecker = True
    output_format: OutputFormat = "jpeg"
    acceleration: Acceleration = "none"


def _unguided(
    body: TextToImageInputFlux1Schnell | TextToImageInputSchnell | TextToImageInputDev,
) -> Draft:
    width, height = sides(body.image_size)
    return Draft(
        prompt=body.prompt,
        width=width,
        height=height,
        steps=body.num_inference_steps,
        seed=body.seed,
        num_images=body.num_images,
        format=body.output_format,
        acceleration=body.acceleration,
    )


def _guided(body: TextToImageInputSchnell | TextToImageInputDev) -> Draft:
    return replace(_unguided(body), guidance_scale=body.guidance_scale)


PAGES: tuple[ModelPage[Any], ...] = (
    ModelPage(
        id="fal-ai/flux-1/schnell",
        description="The open FLUX model distilled to four steps.",
        Input=TextToImageInputFlux1Schnell,
        Output=TextToImageOutput,
        example={
            "prompt": PROMPT,
            "image_size": "landscape_4_3",
            "num_inference_steps": 4,
            "num_images": 1,
            "enable_safety_checker": True,
            "output_format": "png",
            "acceleration": "regular",
        },
        output_example=OUTPUT_EXAMPLE,
        read=_unguided,
    ),
    ModelPage(
        id="fal-ai/flux/schnell",
        description="The open FLUX model distilled to four steps, at its older address.",
        Input=TextToImageInputSchnell,
        Output=TextToImageOutput,
        example={
            "prompt": PROMPT,
            "image_size": "landscape_4_3",
            "num_inference_steps": 4,
            "guidance_scale": 3.5,
            "num_images": 1,
            "enable_safety_checker": True,
            "output_format": "png",
            "acceleration": "regular",
        },
        output_example=OUTPUT_EXAMPLE,
        read=_guided,
        streams=True,
    ),
    ModelPage(
        id="fal-ai/flux/dev",
        description="The FLUX model of 12 billion parameters with open weights.",
        Input=TextToImageInputDev,
        Output=TextToImageOutput,
        example={
            "prompt": PROMPT,
            "image_size": "landscape_4_3",
            "num_inference_steps": 28,
            "guidance_scale": 3.5,
            "num_images": 1,
            "enable_safety_checker": True,
            "output_format": "jpeg",
            "acceleration": "none",
        },
        output_example=OUTPUT_EXAMPLE,
        read=_guided,
        streams=True,
    ),
)
