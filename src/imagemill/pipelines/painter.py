"""How a picture is asked of a pipeline. Nothing here knows that modules may be shared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from imagemill import finishing
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import Acceleration, Generation
from imagemill.pipelines import noise
from imagemill.pipelines.calls import PipelineCall, guided, planned, task_of
from imagemill.pipelines.controls import image_argument
from imagemill.pipelines.deriving import image_guidance, parameters
from imagemill.pipelines.editing import check_references, painted_over, plan, referred
from imagemill.pipelines.families import Family, Task
from imagemill.pipelines.first_block import caches
from imagemill.pipelines.inputs import (
    DecodedInputs,
    Picture,
    cellwise,
    finished,
    kept,
    placed,
    placed_mask,
)
from imagemill.pipelines.ip_adapters import IMAGE_ARGUMENT
from imagemill.pipelines.ip_prompting import AdapterCall
from imagemill.pipelines.loading import Loaded
from imagemill.pipelines.pipeline_call import CallSetup, Look, ask, nothing
from imagemill.pipelines.schedules import scheduler_for

# Guidance costs half of every forward and matters least when the image is nearly done: the shares
# of the steps until which it is applied, by acceleration.
GUIDED_UNTIL: Mapping[Acceleration, float] = {"regular": 0.7, "high": 0.4}

Stepped = Callable[[Look | None], None]  # called after every step


def unsaid(_remark: str) -> None:
    """Nobody is told."""


def paint(
    loaded: Loaded,
    generation: Generation,
    index: int,
    decoded: DecodedInputs,
    stepped: Stepped,
    flag: Callable[[], None] = nothing,
    remark: Callable[[str], None] = unsaid,
) -> Picture:
    """The picture `index` of a generation; raises a Fault for what the model cannot do.

    stepped: gets what paints a picture of how far it has come, where that can be told. flag: is
    called where the safety checker that comes with the model's weights flags it. remark: is told
    what of an edit could not be done.
    """
    _check(loaded, generation)
    generation = _spared(loaded, generation)
    return Painter(loaded, generation, index, decoded, stepped, flag, remark).paint()


def _spared(loaded: Loaded, generation: Generation) -> Generation:
    """With an earlier end of guidance, for acceleration, where no steps can be saved."""
    if generation.acceleration == "none" or caches(getattr(loaded.pipe, "transformer", None)):
        return generation
    start, end = generation.guidance_range
    end = max(start, min(end, GUIDED_UNTIL[generation.acceleration]))
    return replace(generation, guidance_range=(start, end))


def prompt_of(family: Family, generation: Generation) -> str:
    """The prompt, with the words of the style for a model that reads them, and of the medium, which
    the embedded model reads as well.
    """
    style = "" if family.filters else finishing.words(generation.style)
    said = generation.prompt, style, finishing.medium_words(generation.style_vector)
    return ", ".join(filter(None, said))


def _check(loaded: Loaded, generation: Generation) -> None:
    family = loaded.family
    if generation.negative_prompt and not family.negative_prompt:
        raise invalid("negative_prompt", "this model takes no negative prompt; leave it out")
    if generation.guidance_range != (0.0, 1.0) and not family.guided_pairs:
        message = "this model is guided the same in all steps; leave guidance_range out"
        raise Fault(Kind.UNSUPPORTED, message, "guidance_range")
    check_references(family, generation)
    if task := task_of(family, generation):
        _check_control(loaded, generation, task)
        _check_ip_adapter(loaded, generation, task)
        return
    if generation.image is not None or generation.references:
        field = "references" if generation.references else "image"
        raise _unsupported(field, "paint over an image")
    message = f"this model paints only over what it is given; send {family.only_over}"
    raise Fault(Kind.UNSUPPORTED, message, "image")


def _check_control(loaded: Loaded, generation: Generation, task: Task) -> None:
    if not _steered(generation) or task in loaded.controls:
        return
    message = (
        "this model follows a control only where it paints from words alone; leave out the image"
        if loaded.controls
        else "this model takes no ControlNet; leave it out or ask another model"
    )
    raise Fault(Kind.UNSUPPORTED, message, "control")


def _check_ip_adapter(loaded: Loaded, generation: Generation, task: Task) -> None:
    if not _image_prompted(generation):
        return
    assert generation.ip_adapter is not None
    adapter, pipes = loaded.ip_adapter, loaded.controls if _steered(generation) else loaded.pipes
    if adapter is None or IMAGE_ARGUMENT not in parameters(type(pipes[task])):
        message = (
            "this model takes no IP-Adapter"
            if adapter is None
            else "this model follows an IP-Adapter only where it paints from words alone"
        )
        ways = "leave it out, or ask for a whole image of another model"
        raise Fault(Kind.UNSUPPORTED, f"{message}; {ways}", "ip_adapter")
    if generation.ip_adapter.mask is not None and not adapter.family.masks:
        message = (
            f"an IP-Adapter of {adapter.family.name} acts on the whole image, and knows no mask"
        )
        raise Fault(Kind.UNSUPPORTED, f"{message}; leave the mask out", "ip_adapter_mask")


def _image_prompted(generation: Generation) -> bool:
    return generation.ip_adapter is not None and generation.ip_adapter.acts


def _steered(generation: Generation) -> bool:
    return generation.control is not None and generation.control.acts


def _unsupported(field: str, what: str) -> Fault:
    message = f"this model cannot {what}; leave {field} out or ask another model"
    return Fault(Kind.UNSUPPORTED, message, field)


@dataclass
class Painter:
    """One picture on its way."""

    loaded: Loaded
    generation: Generation
    index: int
    decoded: DecodedInputs
    stepped: Stepped
    flag: Callable[[], None]
    remark: Callable[[str], None]
    done: int = 0  # steps

    def paint(self) -> Picture:
        todo, sources = self._planned()
        if todo is None:  # nothing is to be repainted
            assert self.decoded.picture is not None
            return self.decoded.picture
        generator = noise.generator(self.generation.seed_of(self.index))
        return self._whole(self._called(todo, generator, sources), todo)

    def _planned(self) -> tuple[PipelineCall | None, Mapping[str, Any]]:
        """The call, None where nothing is to be repainted, and what it is given to see."""
        family, generation = self.loaded.family, self.generation
        todo = planned(family, generation)
        if todo is None or todo.task != "edit":
            self.decoded = painted_over(generation, self.decoded)
            return todo, {} if todo is None else self._sources(todo)
        if self.loaded.editor is None:
            self._tell_of_guidance(todo)
            return todo, {"image": referred(family, self.decoded, todo)}
        edit = plan(self.loaded, generation, self.decoded, todo)
        for each in edit.remarks:
            self.remark(each)
        self.decoded = replace(self.decoded, picture=edit.picture, mask=edit.mask)
        return edit.call, edit.wishes

    def _tell_of_guidance(self, call: PipelineCall) -> None:
        own = image_guidance(parameters(type(self.loaded.pipes[call.task])))
        if self.generation.image_guidance_scale is not None and own is None:
            self.remark("image_guidance_scale: this model has none")

    def _called(
        self, call: PipelineCall, generator: torch.Generator, sources: Mapping[str, Any]
    ) -> Picture:
        family, generation = self.loaded.family, self.generation
        steered = _steered(generation)
        pipe = (self.loaded.controls if steered else self.loaded.pipes)[call.task]
        wishes = {
            "prompt": prompt_of(family, generation),
            "negative_prompt": generation.negative_prompt or None,
            "guidance_scale": family.applied(generation.guidance_scale),
            "image_guidance_scale": generation.image_guidance_scale,
            **sources,
        }
        wishes |= self._control(pipe, call) if steered else {}
        image_prompt = self._image_prompt(call) if _image_prompted(generation) else None
        if image_prompt is not None:
            wishes[IMAGE_ARGUMENT] = Image.fromarray(image_prompt.image)
        return ask(
            CallSetup(
                pipe,
                family,
                call,
                scheduler_for(pipe, generation.scheduler, family, generation.spacing),
                generator,
                {name: value for name, value in wishes.items() if value is not None},
                lambda: guided(family, generation, self.done, call.steps),
                lambda look: self._ended(call, look),
                generation.acceleration,
                steered,
                generation.safety.wanted is not False,
                self.flag,
                image_prompt,
            )
        )

    def _control(self, pipe: DiffusionPipeline, call: PipelineCall) -> dict[str, Any]:
        control, image = self.generation.control, self.decoded.control
        assert control is not None
        assert image is not None
        return {
            image_argument(pipe, call.task): Image.fromarray(placed(image, call)),
            "controlnet_conditioning_scale": control.scale,
            "control_guidance_start": control.start,
            "control_guidance_end": control.end,
        }

    def _image_prompt(self, call: PipelineCall) -> AdapterCall:
        said, adapter, image = (
            self.generation.ip_adapter,
            self.loaded.ip_adapter,
            self.decoded.ip_image,
        )
        assert said is not None
        assert adapter is not None
        assert image is not None
        mask = None
        if self.decoded.ip_mask is not None:
            mask = placed_mask(self.decoded.ip_mask, call) >= 255 * said.mask_threshold
        return AdapterCall(adapter, image, said.scale, mask)

    def _ended(self, call: PipelineCall, look: Look | None) -> None:
        self.done += 1
        if look is None or self.loaded.family.latents is None:
            self.stepped(None)
        else:
            self.stepped(lambda: kept(self.decoded, self._whole(look(), call)))

    def _sources(self, call: PipelineCall) -> dict[str, Any]:
        if call.task == "paint":
            return {}
        assert self.decoded.picture is not None
        open_to = self.decoded.open_to
        mask = None if open_to is None else placed_mask(open_to, call)
        sources = {
            "image": Image.fromarray(placed(self.decoded.picture, call)),
            "strength": call.strength(self.loaded.family.floors),
        }
        if call.task == "inpaint":
            mask = np.full((call.height, call.width), 255, np.uint8) if mask is None else mask
            cells = cellwise(mask, self.loaded.pipes[call.task].vae_scale_factor)
            sources["mask_image"] = Image.fromarray(cells)
        return sources

    def _whole(self, painted: Picture, call: PipelineCall) -> Picture:
        """In the size asked for, and with what a mask leaves; a foreground comes last of all."""
        whole = finished(painted, call, (self.generation.width, self.generation.height))
        return whole if self.decoded.foreground is not None else kept(self.decoded, whole)
