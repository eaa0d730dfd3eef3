"""What is to be known of each family of models, as data."""

from dataclasses import dataclass, replace
from typing import Literal

Recipe = Literal["stock", "composed"]
Task = Literal["paint", "repaint", "inpaint"]


@dataclass(frozen=True)
class Family:
    """Facts about one class of pipeline, or one model of it.

    recipe: "stock" asks the pipeline once for the whole picture; "composed" paints as
    `pipelines.composition` says. multiple_of: px; a size between is painted larger and cut.
    repaints, inpaints: the classes that paint over a picture, and over the masked part of one; None
    where there is none. flow: trained by flow matching, so that other schedulers are given flow
    sigmas. own_sigmas: whether the pipeline brings the sigmas, which not every scheduler takes.
    negative_prompt: whether one has a meaning.

    guided_pairs: whether guidance runs a row against the prompt beside each row for it. A model
    that was distilled is told its guidance as a number instead, would save nothing by leaving it
    out, and ignores a guidance range; so does a class that is not known. floors: whether strength
    times steps is rounded down by the pipelines that paint over. latents: how they lie, "packed"
    for two by two in a token; None where that is not known, so that nothing can be shown before the
    end. filters: whether a style has to be made of the finished picture, since the model does not
    read a style's words.
    """

    recipe: Recipe = "stock"
    multiple_of: int = 16
    repaints: str | None = None
    inpaints: str | None = None
    flow: bool = True
    own_sigmas: bool = False
    negative_prompt: bool = True
    guided_pairs: bool = False
    floors: bool = False
    latents: Literal["plain", "packed"] | None = None
    filters: bool = False


_SD3 = Family(
    guided_pairs=True,
    repaints="StableDiffusion3Img2ImgPipeline",
    inpaints="StableDiffusion3InpaintPipeline",
    latents="plain",
)
# By class of pipeline, diffusers 0.42.1.
FAMILIES: dict[str, Family] = {
    "StableDiffusion3Pipeline": _SD3,
    "FluxPipeline": Family(
        repaints="FluxImg2ImgPipeline",
        inpaints="FluxInpaintPipeline",
        own_sigmas=True,
        negative_prompt=False,
        latents="packed",
    ),
    "StableDiffusionXLPipeline": Family(
        multiple_of=8,
        repaints="StableDiffusionXLImg2ImgPipeline",
        inpaints="StableDiffusionXLInpaintPipeline",
        flow=False,
        guided_pairs=True,
        floors=True,
        latents="plain",
    ),
    "StableDiffusionPipeline": Family(
        multiple_of=8, flow=False, guided_pairs=True, latents="plain"
    ),
}
PICO = replace(_SD3, recipe="composed", filters=True)
EMBEDDED = "pico"  # the source that names the embedded model

# A scheduler that knows no flow sigmas, and the one that takes the same steps along them.
FLOW_TWINS: dict[str, str] = {"EulerDiscreteScheduler": "FlowMatchEulerDiscreteScheduler"}
# Ends its flow sigmas on the last one twice instead of on 0, and leaves that share of noise in the
# picture (findings/diffusers-deis-keeps-noise-of-flow.sh).
NOISY_FLOW = frozenset({"DEISMultistepScheduler"})

# Decodes without adding the shift that its latents were encoded with (diffusers 0.42.1).
UNSHIFTED = frozenset({"StableDiffusion3InpaintPipeline"})
