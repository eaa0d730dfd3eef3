"""What is to be known of each family of models, as data."""

from dataclasses import dataclass
from typing import Literal

Recipe = Literal["stock", "composed"]


@dataclass(frozen=True)
class Family:
    """Facts about one class of pipeline, or one model of it.

    recipe: "stock" asks the pipeline once for the whole picture; "composed" paints as
    `pipelines.composition` says. multiple_of: px; a size between is painted larger and cut.
    refines: the class of the second stage. flow: trained by flow matching, so that other schedulers
    are given flow sigmas. negative_prompt: whether one has a meaning.
    """

    recipe: Recipe = "stock"
    multiple_of: int = 16
    refines: str | None = None
    flow: bool = True
    negative_prompt: bool = True


# By class of pipeline, diffusers 0.42.1.
FAMILIES: dict[str, Family] = {
    "StableDiffusion3Pipeline": Family(),
    "FluxPipeline": Family(negative_prompt=False),
    "StableDiffusionXLPipeline": Family(multiple_of=8, flow=False),
    "StableDiffusionPipeline": Family(multiple_of=8, flow=False),
}
PICO = Family(recipe="composed", refines="StableDiffusion3Img2ImgPipeline")
EMBEDDED = "pico"  # the source that names the embedded model

# Where a scheduler has no "flow_prediction": with flow sigmas, Euler's step for noise is the same.
FLOW_PREDICTION: dict[str, str] = {"EulerDiscreteScheduler": "epsilon"}
