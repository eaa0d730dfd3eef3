"""What a class of pipeline tells of itself: by the signature of its `__call__`, by the scheduler it
came with, by its configuration. So a class that nobody has written a line about paints too.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import diffusers
from diffusers import DiffusionPipeline, SchedulerMixin

from imagemill.pipelines.families import FAMILIES, IMAGE_GUIDANCE, OWN, Family, Task

Parameters = Mapping[str, inspect.Parameter]
CHECKER = "StableDiffusionSafetyChecker"  # of all families that have one


def parameters(kind: type[DiffusionPipeline]) -> Parameters:
    """Of a call."""
    return inspect.signature(kind.__call__).parameters


def family_of(pipe: DiffusionPipeline, known: Mapping[str, Family] = FAMILIES) -> Family:
    """The facts about its class, and about the weights at hand."""
    kind = type(pipe)
    family = known.get(kind.__name__) or _guessed(pipe)
    flow = flows(pipe.scheduler)
    family = replace(family, flow=flow, floors=not flow, whole=frozenset(_whole(family, kind)))
    if family.guided_pairs and _distilled(pipe):
        return replace(family, guidance="embedded", negative_prompt=False)
    return family


def flows(scheduler: SchedulerMixin) -> bool:
    config = scheduler.config
    return (
        type(scheduler).__name__.startswith("FlowMatch")
        or config.get("prediction_type") == "flow_prediction"
        or bool(config.get("use_flow_sigmas"))
    )


def class_of(name: str, pipe: DiffusionPipeline) -> type[DiffusionPipeline]:
    kind: type[DiffusionPipeline] = type(pipe) if name == OWN else getattr(diffusers, name)
    return kind


def guidance_argument(accepted: Parameters) -> str | None:
    """Some classes guide by `true_cfg_scale` and mean something else by `guidance_scale`."""
    true = accepted.get("true_cfg_scale")
    if true is not None and true.default > 1:
        return "true_cfg_scale"
    names = ("guidance_scale", "distilled_guidance_scale")
    return next((name for name in names if name in accepted), None)


def image_guidance(accepted: Parameters) -> str | None:
    """What the class calls the guidance towards its pictures, where it has one."""
    return next((name for name in IMAGE_GUIDANCE if name in accepted), None)


def _whole(family: Family, kind: type[DiffusionPipeline]) -> Iterator[Task]:
    named: dict[Task, str | None] = {"repaint": family.repaints, "inpaint": family.inpaints}
    for task, name in named.items():
        if name is not None:
            over = kind if name == OWN else getattr(diffusers, name)
            if "strength" not in parameters(over):
                yield task


def _distilled(pipe: DiffusionPipeline) -> bool:
    """Whether guidance is a number for the weights, though the class could run pairs of rows."""
    unet = getattr(pipe, "unet", None)
    embeds = unet is not None and unet.config.get("time_cond_proj_dim") is not None
    return embeds or bool(pipe.config.get("is_distilled"))


def _guessed(pipe: DiffusionPipeline) -> Family:
    kind = type(pipe)
    accepted, over = parameters(kind), _over(kind)
    cell = getattr(pipe, "vae_scale_factor", 8)
    pairs = "negative_prompt" in accepted
    return replace(
        over,
        multiple_of=max(16, 2 * cell if isinstance(cell, int) else 16),
        negative_prompt=pairs,
        guidance="always" if pairs else "embedded",
    )


def _over(kind: type[DiffusionPipeline]) -> Family:
    """Which classes paint over pictures: itself where it takes one, else those that diffusers
    lists under the same name.
    """
    accepted = parameters(kind)
    masked = OWN if "mask_image" in accepted else None
    if "image" in accepted or masked:
        needed = any(
            each.name == "image" and each.default is inspect.Parameter.empty
            for each in accepted.values()
        )
        needed = needed or "strength" in accepted or masked is not None
        edits = None if masked or "strength" in accepted else OWN
        return Family(
            paints=None if needed else OWN,
            repaints=None if masked else OWN,
            inpaints=masked,
            edits=edits,
        )
    from diffusers.pipelines import auto_pipeline as auto  # imports every pipeline there is

    listed: Mapping[str, Any] = auto.AUTO_TEXT2IMAGE_PIPELINES_MAPPING
    key = next((key for key, each in listed.items() if each is kind), "")
    return Family(
        repaints=_name(auto.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING, key),
        inpaints=_name(auto.AUTO_INPAINT_PIPELINES_MAPPING, key),
    )


def _name(listed: Mapping[str, Any], key: str) -> str | None:
    return listed[key].__name__ if key in listed else None


def checks_itself(pipe: Any) -> bool:
    """Whether a safety checker comes with its weights that tells of images, and not of prompts."""
    return getattr(pipe, "safety_checker", None).__class__.__name__ == CHECKER
