"""F Lite, standard and texture: open weights trained on licensed pictures."""

from typing import Any

from imagemill.dialects.fal.pages.model_page import ModelPage
from imagemill.dialects.fal.pages.types import (
    OUTPUT_EXAMPLE,
    Guidance,
    Negative,
    NumImages,
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

EXAMPLE: dict[str, Any] = {
    "prompt": (
        "Mount Fuji at sunset, with the iconic snow-capped peak silhouetted against a vibrant "
        "orange and purple sky. A tranquil lake in the foreground perfectly reflects the mountain "
        "and colorful sky. A few traditional Japanese cherry blossom trees frame the scene, with "
        "their delicate pink petals visible in the foreground."
    ),
    "negative_prompt": (
        "Blurry, out of focus, low resolution, bad anatomy, ugly, deformed, poorly drawn, "
        "extra limbs"
    ),
    "image_size": "landscape_4_3",
    "num_inference_steps": 28,
    "guidance_scale": 3.5,
    "num_images": 1,
    "enable_safety_checker": True,
}


class TextToImageInput(PageInput):
    prompt: Prompt
    negative_prompt: Negative = ""
    image_size: Size = "landscape_4_3"
    num_inference_steps: Steps = 28
    seed: Seed = None
    guidance_scale: Guidance = 3.5
    sync_mode: SyncMode = False
    num_images: NumImages = 1
    enable_safety_checker: SafetyChecker = True


class TextToImageInputTexture(TextToImageInput):
    pass


def _draft(body: TextToImageInput) -> Draft:
    width, height = sides(body.image_size)
    return Draft(
        format="jpeg",
        prompt=body.prompt,
        negative_prompt=body.negative_prompt,
        width=width,
        height=height,
        steps=body.num_inference_steps,
        guidance_scale=body.guidance_scale,
        seed=body.seed,
        num_images=body.num_images,
    )


PAGES: tuple[ModelPage[Any], ...] = (
    ModelPage(
        id="fal-ai/f-lite/standard",
        description="An open model of 10 billion parameters, trained on licensed pictures only.",
        Input=TextToImageInput,
        Output=TextToImageOutput,
        example=EXAMPLE,
        output_example=OUTPUT_EXAMPLE,
        read=_draft,
    ),
    ModelPage(
        id="fal-ai/f-lite/texture",
        description="F Lite tuned for richer surfaces; it likes long prompts.",
        Input=TextToImageInputTexture,
        Output=TextToImageOutput,
        example=EXAMPLE,
        output_example=OUTPUT_EXAMPLE,
        read=_draft,
    ),
)
