"""Which classes of diffusers paint under a ControlNet, and how such pipelines are made, as data and
of a model that is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import diffusers
from diffusers import DiffusionPipeline

from imagemill.errors import Fault, Kind
from imagemill.pico.denoiser import SketchTransformer
from imagemill.pipelines.families import DENOISERS, Task

T = TypeVar("T")


@dataclass(frozen=True)
class ControlFamily:
    """Models that the same ControlNets are for.

    name: for sentences. network: the class of their ControlNets. pipelines: the classes that paint
    with one, by task. image: what they call the control image where they paint from nothing; over
    an image it is always `control_image`.
    """

    name: str
    network: str
    pipelines: Mapping[Task, str]
    image: str = "control_image"


SD = ControlFamily(
    "Stable Diffusion",
    "ControlNetModel",
    {
        "paint": "StableDiffusionControlNetPipeline",
        "repaint": "StableDiffusionControlNetImg2ImgPipeline",
        "inpaint": "StableDiffusionControlNetInpaintPipeline",
    },
    image="image",
)
XL = ControlFamily(
    "SDXL",
    "ControlNetModel",
    {
        "paint": "StableDiffusionXLControlNetPipeline",
        "repaint": "StableDiffusionXLControlNetImg2ImgPipeline",
        "inpaint": "StableDiffusionXLControlNetInpaintPipeline",
    },
    image="image",
)
# What diffusers has for masks is for one ControlNet of Alimama's, which reads the mask itself.
SD3 = ControlFamily(
    "Stable Diffusion 3", "SD3ControlNetModel", {"paint": "StableDiffusion3ControlNetPipeline"}
)
FLUX = ControlFamily(
    "FLUX.1",
    "FluxControlNetModel",
    {
        "paint": "FluxControlNetPipeline",
        "repaint": "FluxControlNetImg2ImgPipeline",
        "inpaint": "FluxControlNetInpaintPipeline",
    },
)
PICO = ControlFamily(
    "the embedded model",
    "PlacementControlNet",
    {"paint": "StableDiffusion3ControlNetPipeline"},
)
# By the class that was loaded, diffusers 0.42.1.
CONTROLLED: dict[str, ControlFamily] = {
    "StableDiffusionPipeline": SD,
    "StableDiffusionImg2ImgPipeline": SD,
    "StableDiffusionInpaintPipeline": SD,
    "StableDiffusionXLPipeline": XL,
    "StableDiffusionXLImg2ImgPipeline": XL,
    "StableDiffusionXLInpaintPipeline": XL,
    "StableDiffusion3Pipeline": SD3,
    "FluxPipeline": FLUX,
}
# Encode the control image with numbers drawn from the process's generator (diffusers 0.42.1).
DRAWING = frozenset({"StableDiffusion3ControlNetPipeline"})


def control_family(pipe: DiffusionPipeline) -> ControlFamily:
    """Raises a Fault where no ControlNet is for the model."""
    return family_beside(pipe, CONTROLLED, PICO, "control", "no ControlNet")


def family_beside(
    pipe: DiffusionPipeline, families: Mapping[str, T], own: T, field: str, none: str
) -> T:
    """By the class that was loaded, which models what may stand beside one is for; of the embedded
    model, its own. Raises a Fault where it is for none: none says of what.
    """
    if isinstance(getattr(pipe, "transformer", None), SketchTransformer):
        return own
    family = families.get(type(pipe).__name__)
    if family is None:
        raise Fault(
            Kind.UNSUPPORTED,
            f"this model, a {type(pipe).__name__}, takes {none}; leave it out, or ask a model of "
            "Stable Diffusion, SDXL, Stable Diffusion 3 or FLUX.1",
            field,
        )
    return family


def denoiser_of(pipe: DiffusionPipeline) -> Any:
    return next(each for name in DENOISERS if (each := getattr(pipe, name, None)) is not None)


def class_for(family: ControlFamily, task: Task) -> type[DiffusionPipeline]:
    kind: type[DiffusionPipeline] = getattr(diffusers, family.pipelines[task])
    return kind


def image_argument(pipe: DiffusionPipeline, task: Task) -> str:
    """What the class of a pipeline with a ControlNet calls the control image."""
    families = (SD, XL, SD3, FLUX)
    name = type(pipe).__name__
    family = next(each for each in families if name in each.pipelines.values())
    return family.image if task == "paint" else "control_image"
