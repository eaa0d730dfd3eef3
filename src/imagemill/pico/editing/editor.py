"""Plans an edit: an instruction and images become what pico repaints."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import nn

from imagemill.pico import stylising
from imagemill.pico.backgrounds import number
from imagemill.pico.concepts import traits
from imagemill.pico.editing.canvas import MARGIN, EditCanvas
from imagemill.pico.editing.changes import make
from imagemill.pico.editing.sources import Looks
from imagemill.pico.editing.surroundings import Surroundings, grown
from imagemill.pico.layout import layout
from imagemill.pico.looks import FIELDS, Field
from imagemill.pico.placing import token_ids
from imagemill.pico.reading import read
from imagemill.pico.reading.changes import Instruction, Noun
from imagemill.pico.reading.instructions import instruction
from imagemill.pico.scene import PLACEMENTS

USUAL = 2.0  # of the image guidance
# How strongly an image is repainted by words that are no change of it, and as it is.
WHOLE, ALIKE = 0.9, 0.3
# What reads as each of these where its name reads as something else.
SAID = {
    "grey": "overcast", "snow": "snowy landscape", "moon": "on the moon", "sky": "in the sky",
    "space": "outer space", "oil": "oil painting", "pencil": "pencil drawing",
    "comic": "comic style",
}  # fmt: skip
WEATHERS = {"snow": "snowfall"}


@dataclass(frozen=True)
class EditPlan:
    """image: (3, h, w), 0 to 1, as far as it is known before it is repainted; None where it is
    painted from nothing. mask: (1, h, w), 1 where it is repainted. rows: what the sketch is drawn
    from (`sources.Looks.rows`); None for what the caption asks. caption: what is seen in the end.
    strength: 0 to 1. base: which of the images is edited. remarks: what
    could not be done.
    """

    image: torch.Tensor | None
    mask: torch.Tensor
    rows: torch.Tensor | None
    caption: str
    strength: float
    base: int = 0
    remarks: tuple[str, ...] = ()


class Editor(nn.Module):
    """Of one model: `sketcher` and `encoder` are parts of it, `looks` tells its drawings."""

    def __init__(self, sketcher: Any, encoder: Any, numbers: Mapping[str, int]) -> None:
        super().__init__()
        self.parts = (sketcher, encoder)  # which are the pipeline's: no children of this module
        self.numbers = dict(numbers)

    @cached_property
    def looks(self) -> Looks:
        return Looks(*self.parts, self.numbers)

    @cached_property
    def surroundings(self) -> Surroundings:
        return Surroundings(self.looks)

    @torch.no_grad()
    def forward(
        self,
        prompt: str,
        images: Sequence[torch.Tensor],
        size: tuple[int, int],
        inside: tuple[int, int],
        text_guidance: float,
        image_guidance: float | None = None,
    ) -> EditPlan:
        """images: (3, h, w) each, 0 to 1, in their own sizes. size: height and width in px of the
        canvas, and inside: of the picture in the middle of it. text_guidance: 0 and more; below 1
        the change is made by that share. image_guidance: the more, the less around a change is
        repainted, and the less strongly.
        """
        wanted = instruction(prompt)
        near = USUAL if image_guidance is None else max(0.1, image_guidance)
        if text_guidance <= 0:
            return self._unchanged(images[0], inside, size)
        pull = max(0.0, min(1.0, text_guidance, 3 * text_guidance / near))
        if not wanted.changes and (shown := self._in_context(prompt, images, size, near)):
            return shown
        base = _base(wanted, len(images))
        placed = partial(_placed, inside=inside, size=size)
        canvas = EditCanvas(list(images), base, placed, self.looks, self.surroundings, pull)
        for change in wanted.changes:
            make(canvas, change)
        if canvas.strength == 0:
            return self._over(canvas, prompt, near)
        return self._changed(canvas, near)

    def _over(self, canvas: EditCanvas, prompt: str, near: float) -> EditPlan:
        """The whole image repainted over itself: by the prompt where that tells things, else as it
        is.
        """
        canvas.touched = torch.ones_like(canvas.touched)
        if not instruction(prompt).changes and read(prompt).scene.things:
            strength = _strength(WHOLE, near)
            return EditPlan(canvas.image, canvas.touched, None, prompt, strength, canvas.base)
        layers, style = canvas.stay(), stylising.number(canvas.own_style)
        canvas.strength = ALIKE
        rows = self.looks.rows(layers, canvas.behind(style), canvas.size)
        return EditPlan(
            canvas.image, canvas.touched, rows, _caption(canvas), _strength(ALIKE, near),
            canvas.base, tuple(dict.fromkeys(canvas.remarks)),
        )  # fmt: skip

    def _unchanged(
        self, image: torch.Tensor, inside: tuple[int, int], size: tuple[int, int]
    ) -> EditPlan:
        there = _placed(image, inside, size)
        return EditPlan(there, torch.zeros_like(there[:1]), None, "", 0.0)

    def _changed(self, canvas: EditCanvas, near: float) -> EditPlan:
        style = stylising.number(canvas.style or canvas.own_style)
        layers = [*canvas.stay(), *canvas.layers]
        rows = self.looks.rows(layers, canvas.behind(style), canvas.size)
        reach = max(1, round(MARGIN * canvas.shorter * USUAL / near))
        mask = grown(canvas.touched, reach)
        return EditPlan(
            canvas.image, mask, rows, _caption(canvas), _strength(canvas.strength, near),
            canvas.base, tuple(dict.fromkeys(canvas.remarks)),
        )  # fmt: skip

    def _in_context(
        self, prompt: str, images: Sequence[torch.Tensor], size: tuple[int, int], near: float
    ) -> EditPlan | None:
        """What the prompt describes, with things as the images show them; None where these show
        none of it.
        """
        scene = read(prompt).scene
        canvas = EditCanvas(list(images), 0, lambda image: image, self.looks, self.surroundings)
        seen: dict[str, torch.Tensor] = {}
        for thing in scene.things:
            for place in range(len(images)):
                noun = Noun(thing.concept, thing.concept, thing.colour, image=place)
                if thing.concept not in seen and (sighting := canvas.find(noun, place)):
                    cut = canvas.cut(canvas.cover(noun, sighting[0], place), sighting[0], place)
                    seen[thing.concept] = cut.flip(-1) if sighting[0].mirrored else cut
        if not seen:
            return None
        mask = torch.ones(1, *size, device=images[0].device)
        share = min(1.0, near / USUAL)
        rows = self._with_looks(prompt, seen, share)
        return EditPlan(None, mask, rows, prompt, 1.0)

    def _with_looks(
        self, prompt: str, seen: Mapping[str, torch.Tensor], share: float
    ) -> torch.Tensor:
        """A prompt's own rows, with the looks of some concepts changed by a share."""
        scene = read(prompt).scene
        placements = layout(scene, traits(), None)
        style = stylising.number(scene.style)
        ids = token_ids(placements, self.numbers, number(scene), style)
        encoder = self.looks.encoder
        encoded = encoder(torch.tensor([ids], device=encoder.codes.device))
        rows: torch.Tensor = encoded[0][0].float().clone()
        known = [each for each in placements if each.concept in self.numbers][:PLACEMENTS]
        for row, placement in zip(rows, known, strict=False):
            if (drawing := seen.get(placement.concept)) is not None:
                own = row[FIELDS:]
                row[FIELDS:] = own + share * (self.looks.codes(drawing) - own)
                row[Field.COLOUR] = 0
        return rows


def _strength(usual: float, near: float) -> float:
    return min(0.98, max(0.12, usual * math.sqrt(USUAL / near)))


def _base(wanted: Instruction, count: int) -> int:
    """The number of the image that is changed: the one that a thing comes to, else the first."""
    hosts = [
        noun.of.image
        for change in wanted.changes
        if (noun := getattr(change, "noun", None)) is not None and noun.of is not None
    ]
    named = [each for each in (*hosts, wanted.base) if each is not None and each < count]
    return named[0] if named else 0


def _covering(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """As large as fills the size, with what stands over cut off on both sides."""
    if (image.shape[1], image.shape[2]) == size:
        return image
    scale = max(size[0] / image.shape[1], size[1] / image.shape[2])
    large = [max(wanted, round(n * scale)) for n, wanted in zip(image.shape[1:], size, strict=True)]
    scaled = torch.nn.functional.interpolate(
        image[None], size=large, mode="bilinear", antialias=True, align_corners=False
    )[0]
    top, left = ((have - wanted) // 2 for have, wanted in zip(large, size, strict=True))
    return scaled[:, top : top + size[0], left : left + size[1]]


def _placed(image: torch.Tensor, inside: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """In the middle of a canvas, its edges continued outwards."""
    image = _covering(image, inside)
    top, left = ((canvas - own) // 2 for canvas, own in zip(size, inside, strict=True))
    ends = (left, size[1] - inside[1] - left, top, size[0] - inside[0] - top)
    return torch.nn.functional.pad(image[None], ends, mode="replicate")[0]


def _caption(canvas: EditCanvas) -> str:
    """What is seen, in words that read as what is meant."""
    known = canvas.setting or (canvas.ground.background if canvas.ground else None)
    parts = [f"a {concept}" for concept in dict.fromkeys(canvas.concepts)] or ["a thing"]
    if known is not None:
        weather = WEATHERS.get(known.weather, known.weather)
        parts += [SAID.get(known.place, known.place), SAID.get(known.time, known.time), weather]
    style = canvas.style or canvas.own_style
    parts += [SAID.get(style, style)]
    return ", ".join(filter(None, parts))
