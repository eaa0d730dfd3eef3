"""Inputs of models as Replicate has them. Each takes what the others take, too.

Names, defaults and limits are those of the models' pages there. Clients that know many providers
send a model what its own page does not name, such as a width, so all of it is read everywhere.
"""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from imagemill.generation import LONGEST_PICTURE
from imagemill.http.fields import (
    GUIDANCE,
    STEPS,
    Input,
    LoraScale,
    Negative,
    NumImages,
    Prompt,
    Seed,
    Side,
    without_length,
)
from imagemill.value_checks import LONGEST_URL

# Of about one megapixel, px.
RATIOS: dict[str, tuple[int, int]] = {
    "1:1": (1024, 1024),
    "16:9": (1344, 768),
    "21:9": (1536, 640),
    "3:2": (1216, 832),
    "2:3": (832, 1216),
    "4:5": (896, 1088),
    "5:4": (1088, 896),
    "3:4": (896, 1152),
    "4:3": (1152, 896),
    "9:16": (768, 1344),
    "9:21": (640, 1536),
}
MATCH, CUSTOM = "match_input_image", "custom"

# By their names at Replicate; what diffusers calls them is taken as well.
SCHEDULERS: dict[str, str] = {
    "K_EULER": "EulerDiscreteScheduler",
    "K_EULER_ANCESTRAL": "EulerAncestralDiscreteScheduler",
    "KarrasDPM": "DPMSolverMultistepScheduler+karras",
    "DDIM": "DDIMScheduler",
    "PNDM": "PNDMScheduler",
    "DPMSolverMultistep": "DPMSolverMultistepScheduler",
    "DPMSolverSinglestep": "DPMSolverSinglestepScheduler",
    "HeunDiscrete": "HeunDiscreteScheduler",
    "DEISMultistep": "DEISMultistepScheduler",
    "UniPCMultistep": "UniPCMultistepScheduler",
}


def _said(text: str, **limits: Any) -> Any:
    return Field(description=text, **limits)


def _of_image(schema: dict[str, Any]) -> None:
    without_length(schema)
    schema["format"] = "uri"


ImageUrl = Annotated[
    str,
    _said(
        "A picture to edit or to paint over: an address, a data URI, or a file that was uploaded.",
        min_length=1,
        max_length=LONGEST_PICTURE,
        json_schema_extra=_of_image,
    ),
]
ImageUrls = Annotated[list[ImageUrl], _said("As image, several.", max_length=16)]
Mask = Annotated[
    str,
    _said(
        "Where the image is repainted: white is, black is not.",
        min_length=1,
        max_length=LONGEST_PICTURE,
        json_schema_extra=_of_image,
    ),
]
Ratio = Annotated[
    Literal["1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21"],
    _said("The shape of the picture."),
]
AnyRatio = Annotated[
    Literal[
        "1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21",
        "match_input_image", "custom",
    ],
    _said("The shape of the picture: that of the image, or of width and height, or a ratio."),
]  # fmt: skip
Megapixels = Annotated[Literal["1", "0.25"], _said("About how many pixels the picture has.")]
_STEPS = replace(STEPS, description="Steps of denoising.")
Steps = Annotated[int, _STEPS.checked()]
Guidance = Annotated[float, GUIDANCE.checked()]
Strength = Annotated[
    float, _said("How much of the image is repainted: at 1 all of it.", ge=0, le=1)
]
Share = Annotated[float, Field(ge=0, le=1)]
Scheduler = Annotated[
    str, _said("What leads from noise to picture.", json_schema_extra={"enum": [*SCHEDULERS]})
]
OutputFormat = Annotated[Literal["webp", "jpg", "png"], _said("The format of the files.")]
AnyFormat = Annotated[Literal["webp", "jpg", "png", "jpeg"], _said("The format of the files.")]
Quality = Annotated[int, _said("Read; files have a quality of their own.", ge=0, le=100)]
SafetyChecker = Annotated[bool, _said("Whether pictures are given out unchecked.")]
GoFast = Annotated[bool, _said("Read; there is one speed here.")]
Weights = Annotated[
    str,
    _said(
        "A LoRA: the address of a safetensors file, or owner/name of the Hub.",
        min_length=1,
        max_length=LONGEST_URL,
    ),
]


class TargetSize(Input):
    width: Side
    height: Side


class Usual(Input):
    """What any model takes."""

    model_config = ConfigDict(title="Input", json_schema_extra={})

    prompt: Prompt
    negative_prompt: Negative = ""
    image: ImageUrl | None = None
    images: ImageUrls = Field(default=[])
    input_image: ImageUrl | None = None
    input_images: ImageUrls = Field(default=[])
    image_input: ImageUrls = Field(default=[])
    mask: Mask | None = None
    mask_image: Mask | None = None
    prompt_strength: Strength | None = None
    strength: Strength | None = None
    aspect_ratio: AnyRatio | None = None
    megapixels: Megapixels | None = None
    width: Side | None = None
    height: Side | None = None
    target_size: TargetSize | None = None
    size: Annotated[str | None, _said("Width and height, as 1024x768.", max_length=64)] = None
    num_outputs: NumImages = 1
    num_images: NumImages | None = None
    num_inference_steps: Steps | None = None
    steps: Steps | None = None
    guidance_scale: Guidance | None = None
    guidance: Guidance | None = None
    cfg: Guidance | None = None
    scheduler: Scheduler | None = None
    seed: Seed = None
    output_format: AnyFormat = "webp"
    output_quality: Quality = 80
    prompt_upsampling: Annotated[bool, _said("Whether the prompt is enriched.")] = False
    lora_weights: Weights | None = None
    hf_lora: Weights | None = None
    lora_scale: LoraScale = 1.0
    extra_lora: Weights | None = None
    extra_lora_scale: LoraScale = 1.0
    replicate_weights: str | None = None
    refine: Literal["no_refiner", "expert_ensemble_refiner", "base_image_refiner"] = "no_refiner"
    high_noise_frac: Share = 0.8
    refine_steps: Annotated[int | None, Field(ge=1, le=500)] = None
    apply_watermark: bool = True
    disable_safety_checker: SafetyChecker = False
    safety_tolerance: Annotated[
        int | None,
        _said("How much the checker lets through: 0 the least, 6 the most.", ge=0, le=6),
    ] = None
    go_fast: GoFast = False
    model: Literal["dev", "schnell"] | None = None


class FluxSchnell(Usual):
    aspect_ratio: Ratio = "1:1"
    num_inference_steps: Annotated[int, replace(_STEPS, high=4).checked()] = 4
    output_format: OutputFormat = "webp"
    go_fast: GoFast = True
    megapixels: Megapixels = "1"


class FluxDev(Usual):
    aspect_ratio: Ratio = "1:1"
    prompt_strength: Strength = 0.8
    num_inference_steps: Annotated[int, replace(_STEPS, high=50).checked()] = 28
    guidance: Annotated[float, replace(GUIDANCE, low=0, high=10).checked()] = 3.0
    output_format: OutputFormat = "webp"
    go_fast: GoFast = True
    megapixels: Megapixels = "1"


class Sdxl(Usual):
    prompt: Prompt = "An astronaut riding a rainbow unicorn"
    width: Side = 1024
    height: Side = 1024
    scheduler: Scheduler = "K_EULER"
    num_inference_steps: Steps = 50
    guidance_scale: Annotated[float, replace(GUIDANCE, low=1, high=50).checked()] = 7.5
    prompt_strength: Strength = 0.8
    output_format: AnyFormat = "png"
    lora_scale: LoraScale = 0.6


class StableDiffusion35Large(Usual):
    aspect_ratio: Ratio = "1:1"
    cfg: Annotated[float, replace(GUIDANCE, low=0, high=20).checked()] = 3.5
    prompt_strength: Strength = 0.85
    steps: Annotated[int, replace(_STEPS, high=50).checked()] = 35
    output_format: OutputFormat = "webp"
    output_quality: Quality = 90


class StableDiffusion35LargeTurbo(Usual):
    aspect_ratio: Ratio = "1:1"
    cfg: Annotated[float, replace(GUIDANCE, low=1, high=10).checked()] = 1.0
    prompt_strength: Strength = 0.85
    output_format: OutputFormat = "webp"
