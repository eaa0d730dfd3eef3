"""Predictors: models with their inputs and outputs as Replicate has them."""

from dataclasses import replace

from imagemill.catalog.models import named_by
from imagemill.dialects.replicate.predictors.inputs import (
    FluxDev,
    FluxSchnell,
    Sdxl,
    StableDiffusion35Large,
    StableDiffusion35LargeTurbo,
    Usual,
)
from imagemill.dialects.replicate.predictors.predictor import Predictor

__all__ = ["PREDICTORS", "Predictor", "Usual", "predictor"]

USUAL = Predictor(
    id="",
    description="A model with the usual inputs.",
    Input=Usual,
    fields=(
        "prompt", "negative_prompt", "image", "mask", "prompt_strength", "aspect_ratio",
        "megapixels", "width", "height", "num_outputs", "num_inference_steps", "guidance_scale",
        "scheduler", "seed", "output_format", "output_quality", "prompt_upsampling",
        "lora_weights", "lora_scale", "extra_lora", "extra_lora_scale", "disable_safety_checker",
        "go_fast",
    ),
)  # fmt: skip

_SINGLE = "One picture, not a list, as its page there says."
_KNOWN = (
    Predictor(
        id="black-forest-labs/flux-schnell",
        description="The open FLUX model distilled to four steps.",
        Input=FluxSchnell,
        fields=(
            "prompt", "aspect_ratio", "num_outputs", "num_inference_steps", "seed",
            "output_format", "output_quality", "disable_safety_checker", "go_fast", "megapixels",
        ),
        follows=True,
    ),
    Predictor(
        id="black-forest-labs/flux-dev",
        description="The FLUX model of 12 billion parameters with open weights.",
        Input=FluxDev,
        fields=(
            "prompt", "aspect_ratio", "image", "prompt_strength", "num_outputs",
            "num_inference_steps", "guidance", "seed", "output_format", "output_quality",
            "disable_safety_checker", "go_fast", "megapixels",
        ),
        follows=True,
    ),
    Predictor(
        id="stability-ai/sdxl",
        description="Stable Diffusion XL.",
        Input=Sdxl,
        fields=(
            "prompt", "negative_prompt", "image", "mask", "width", "height", "num_outputs",
            "scheduler", "num_inference_steps", "guidance_scale", "prompt_strength", "seed",
            "refine", "high_noise_frac", "refine_steps", "apply_watermark", "lora_scale",
            "replicate_weights", "disable_safety_checker",
        ),
    ),
    Predictor(
        id="stability-ai/stable-diffusion-3.5-large",
        description="An open model of 8 billion parameters.",
        Input=StableDiffusion35Large,
        fields=(
            "prompt", "aspect_ratio", "cfg", "image", "prompt_strength", "steps", "seed",
            "output_format", "output_quality",
        ),
        follows=True,
    ),
    Predictor(
        id="stability-ai/stable-diffusion-3.5-large-turbo",
        description="The same, distilled to a few steps.",
        Input=StableDiffusion35LargeTurbo,
        fields=(
            "prompt", "negative_prompt", "aspect_ratio", "cfg", "image", "prompt_strength",
            "seed", "output_format",
        ),
        single=True,
        # Named by the Hub's id where the Hub's clients look it up, so the catalog has no alias.
        weights="stabilityai/stable-diffusion-3.5-large-turbo",
        follows=True,
    ),
)  # fmt: skip
# Of closed models: code that was written for them expects one file.
_SINGLES = tuple(
    replace(USUAL, id=f"black-forest-labs/{name}", description=_SINGLE, single=True)
    for name in ("flux-1.1-pro", "flux-1.1-pro-ultra", "flux-fill-pro")
)
PREDICTORS: dict[str, Predictor] = {
    each.id: replace(each, weights=each.weights or named_by("replicate", each.id))
    for each in (*_KNOWN, *_SINGLES)
}


def predictor(id: str) -> Predictor:
    """What is known of a model, or what is usual."""
    return PREDICTORS.get(id) or replace(USUAL, id=id, description=f"The model {id}.")
