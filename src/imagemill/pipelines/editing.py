"""Edits: by pictures that the prompt speaks of. Most models read these themselves; of pico an edit
is planned, and what has changed is repainted.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from imagemill.errors import invalid
from imagemill.generation import Generation
from imagemill.images.geometry import covering, scaled
from imagemill.pico.editing import EditPlan
from imagemill.pico.looks import ROWS
from imagemill.pipelines.calls import PipelineCall
from imagemill.pipelines.families import Family
from imagemill.pipelines.inputs import DecodedInputs, Mask, Picture, cellwise, finished
from imagemill.pipelines.loading import Loaded

LEAST = 0.05  # of strength: less changes nothing
MOST_PIXELS = 768**2  # of a picture that an edit is planned with


@dataclass(frozen=True)
class PlannedEdit:
    """call: what is asked of the pipeline; None where nothing changes, and picture is all. wishes:
    its arguments. picture, mask: what is kept and where, in the size asked for; None where nothing
    is. remarks: what could not be done.
    """

    call: PipelineCall | None
    picture: Picture | None
    mask: Mask | None
    wishes: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def check_references(family: Family, generation: Generation) -> None:
    """Raises a Fault where there are more pictures than the model reads."""
    count, most = len(generation.references), family.references if family.edits else 1
    if count > most:
        images = "1 image" if most == 1 else f"{most} images"
        raise invalid("references", f"{count} images are too many: this model reads {images}")
    if count and generation.image is not None:
        message = "an image to paint over and images of an edit exclude each other; give either"
        raise invalid("references", message)


def painted_over(generation: Generation, decoded: DecodedInputs) -> DecodedInputs:
    """With the first reference as what is painted over, for models that edit nothing."""
    if not decoded.references or decoded.picture is not None:
        return decoded
    return replace(decoded, picture=_covering(decoded.references[0], generation))


def referred(family: Family, decoded: DecodedInputs, call: PipelineCall) -> list[Image.Image]:
    """The pictures as a model reads them that edits by itself: each in its own shape, with no more
    pixels than the canvas.
    """
    return [
        _fitting(each, call.width * call.height, family.multiple_of) for each in decoded.references
    ]


def _fitting(picture: Picture, pixels: int, multiple_of: int) -> Image.Image:
    height, width = picture.shape[:2]
    scale = min(1.0, math.sqrt(pixels / (width * height)))
    across, down = (
        max(1, round(side * scale / multiple_of)) * multiple_of for side in (width, height)
    )
    return Image.fromarray(scaled(picture, (across, down)))


def plan(
    loaded: Loaded, generation: Generation, decoded: DecodedInputs, call: PipelineCall
) -> PlannedEdit:
    """call: as it is asked of a model that edits by itself."""
    assert loaded.editor is not None
    edit: EditPlan = loaded.editor(
        generation.prompt,
        [_tensor(each) for each in decoded.references],
        (call.height, call.width),
        (call.inside[1], call.inside[0]),
        generation.guidance_scale,
        generation.image_guidance_scale,
    )
    if edit.image is None:
        painting = replace(call, task="paint")
        wishes = _words(loaded, generation, edit, loaded.pipes["paint"])
        return PlannedEdit(painting, None, None, wishes, edit.remarks)
    original = _covering(decoded.references[edit.base], generation)
    if edit.strength < LEAST:
        return PlannedEdit(None, original, None, {}, edit.remarks)
    repainting = replace(
        call, task="inpaint", schedule=max(call.steps, round(call.steps / edit.strength))
    )
    pipe = loaded.pipes["inpaint"]
    mask = _bytes(edit.mask)[0]
    wishes = _words(loaded, generation, edit, pipe) | {
        "image": Image.fromarray(_bytes(edit.image).transpose(1, 2, 0)),
        "mask_image": Image.fromarray(cellwise(mask, pipe.vae_scale_factor)),
        "strength": repainting.strength(loaded.family.floors),
    }
    size = generation.width, generation.height
    kept = None if mask.min() == 255 else finished(mask, call, size)
    return PlannedEdit(repainting, original, kept, wishes, edit.remarks)


def _words(
    loaded: Loaded, generation: Generation, edit: EditPlan, pipe: DiffusionPipeline
) -> dict[str, Any]:
    """What the pipeline is told instead of the prompt: a caption, with looks of the edit's own."""
    scale = loaded.family.applied(generation.guidance_scale)
    if edit.rows is None:
        return {"prompt": edit.caption}
    both = pipe.encode_prompt(
        edit.caption,
        None,
        None,
        negative_prompt=generation.negative_prompt or None,
        do_classifier_free_guidance=scale > 1,
    )
    names = (
        "prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    )  # fmt: skip
    embedded = dict(zip(names, both, strict=True))
    words = embedded["prompt_embeds"]
    rows = edit.rows[None].to(words)
    embedded["prompt_embeds"] = torch.cat([words[:, :-ROWS], rows], 1)
    return embedded | {"prompt": None, "negative_prompt": None}


def _covering(picture: Picture, generation: Generation) -> Picture:
    size = generation.width, generation.height
    return np.asarray(covering(Image.fromarray(picture), size))


def _tensor(picture: Picture) -> torch.Tensor:
    """(3, h, w), 0 to 1; a large one is made smaller."""
    height, width = picture.shape[:2]
    scale = math.sqrt(MOST_PIXELS / (width * height))
    if scale < 1:
        picture = scaled(picture, (max(1, round(width * scale)), max(1, round(height * scale))))
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255


def _bytes(planes: torch.Tensor) -> Any:
    return (planes.float().clamp(0, 1) * 255).round().byte().cpu().numpy()
