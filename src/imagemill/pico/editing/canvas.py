"""An image while it is edited: what it shows by now, and what of it is to be repainted."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch

from imagemill.pico import stylising
from imagemill.pico.backgrounds import BACKGROUNDS, Background
from imagemill.pico.editing.finding import Sighting, places
from imagemill.pico.editing.matting import colour_in, cut_out, matted, square_around, window
from imagemill.pico.editing.sources import Layer, Looks, laid, over
from imagemill.pico.editing.surroundings import Ground, Surroundings, flowed, grown, things
from imagemill.pico.matching import Box
from imagemill.pico.reading.changes import Noun
from imagemill.pico.scene import CLOSED, STYLES

MARGIN = 0.018  # of the shorter side: how far beyond what has changed is repainted
SHADOW = 0.03  # below a thing: its shadow, which goes with it


@dataclass
class EditCanvas:
    """images: all that were given, (3, h, w), 0 to 1; base: the number of the one that is edited.
    placed: puts an image of its shape into the size of the result. pull: how far a change is made,
    0 to 1.
    """

    images: list[torch.Tensor]
    base: int
    placed: Callable[[torch.Tensor], torch.Tensor]
    looks: Looks
    surroundings: Surroundings
    pull: float = 1.0
    image: torch.Tensor = field(init=False)
    start: torch.Tensor = field(init=False)
    touched: torch.Tensor = field(init=False)
    strength: float = 0.0
    layers: list[Layer] = field(default_factory=list)
    concepts: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    colours: dict[str, str] = field(
        default_factory=dict
    )  # of what was found in another, by concept
    style: str = ""
    setting: Background | None = None  # another than it had, and what is seen of it
    ahead: torch.Tensor | None = None

    def __post_init__(self) -> None:
        self.image = self.start = self.placed(self.images[self.base])
        self.touched = torch.zeros_like(self.image[:1])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[1], self.image.shape[2]

    @property
    def shorter(self) -> int:
        return min(self.size)

    @cached_property
    def ground(self) -> Ground | None:
        """The background that the image had when it came."""
        return self.surroundings.ground(self.images[self.base])

    @property
    def own_style(self) -> str:
        """The style that it had when it came."""
        return STYLES[0] if self.ground is None else self.ground.style

    @cached_property
    def empty(self) -> torch.Tensor | None:
        """The image without its things, (3, h, w), as far as its background is known."""
        if self.ground is None:
            return None
        own = self.images[self.base]
        return self.placed(self.surroundings.shown(self.ground, (own.shape[1], own.shape[2])))

    @cached_property
    def occupied(self) -> torch.Tensor:
        """Where things stand: (1, h, w), 0 to 1."""
        if self.empty is None:
            return torch.zeros_like(self.touched)
        return things(self.start, self.empty)

    def find(self, noun: Noun, image: int | None = None) -> list[Sighting]:
        """Where a thing is, the surest first; what is not there is remarked upon."""
        where, picture = self._number(image), self._seen(image)
        sighting: list[Sighting] = []
        if noun.concept in self.looks.numbers:
            sighting = self._places(picture, noun)
        if not sighting:
            named = "the image" if len(self.images) == 1 else f"image {where + 1}"
            self.remarks.append(f"{noun.said}: not found in {named}")
        return sighting[: noun.count or 1]

    def _places(self, picture: torch.Tensor, noun: Noun) -> list[Sighting]:
        """Where a thing is for sure, in its own colours or, where none is said, in another."""
        likely = places(picture, self.looks.drawing(noun.concept, noun.colour))
        sure = [each for each in likely if each.sure]
        if sure or noun.colour or not likely:
            return sure
        colour = colour_in(picture, likely[0].box)
        again = places(picture, self.looks.drawing(noun.concept, colour))
        self.colours[noun.concept] = colour
        return [each for each in again if each.sure]

    def _drawing(self, noun: Noun) -> torch.Tensor:
        colour = noun.colour or self.colours.get(noun.concept, "")
        return self.looks.drawing(noun.concept, colour)

    def _number(self, image: int | None) -> int:
        return self.base if image is None or image >= len(self.images) else image

    def cover(self, noun: Noun, sighting: Sighting, image: int | None = None) -> torch.Tensor:
        """How far a thing that was found covers each pixel: (1, h, w)."""
        picture = self._seen(image)
        drawing = self._drawing(noun)
        drawing = drawing.flip(-1) if sighting.mirrored else drawing
        size = (picture.shape[1], picture.shape[2])
        whole = laid(drawing, sighting.box, size)[3:]
        part = window(sighting.box, size)
        whole[part] = matted(picture[part], whole[part], sighting.box.side)
        return whole

    def cut(
        self, cover: torch.Tensor, sighting: Sighting, image: int | None = None
    ) -> torch.Tensor:
        """A thing as the image shows it: (4, SIDE, SIDE), premultiplied."""
        return cut_out(self._seen(image), cover, sighting.box)

    def _seen(self, image: int | None) -> torch.Tensor:
        where = self._number(image)
        return self.image if where == self.base else self.images[where]

    def put(
        self, drawing: torch.Tensor, box: Box, concept: str, behind: torch.Tensor | None
    ) -> None:
        """A drawing comes into the image. behind: what it is covered by, (1, h, w)."""
        layer = laid(drawing, box, self.size)
        if behind is not None:
            layer = layer * (1 - behind)
        self.image = over(self.image, layer, self.pull)
        self.touch(layer[3:])
        self.layers.append((drawing, box))
        self.concepts.append(concept)

    def clear(self, cover: torch.Tensor, side: float) -> None:
        """What covers a part of the image goes, and what is behind it is seen, if it is known."""
        reach = max(2, round(MARGIN * self.shorter))
        near = (cover > 0.1).to(cover)
        around = grown(near, reach)
        around = torch.maximum(around, torch.roll(around, round(SHADOW * side), 1))
        # Of what is around it, another thing stays.
        hole = torch.maximum(grown(near, 2), around * (self._others(near) < 0.5))
        behind = flowed(self.image, hole) if self.empty is None else self.empty
        self.image = self.image + self.pull * hole * (behind - self.image)
        self.touch(hole)

    def _others(self, near: torch.Tensor) -> torch.Tensor:
        """Where other things stand than what is near."""
        return grown(self.occupied * (1 - grown(near, 3)), 2)

    def touch(self, cover: torch.Tensor) -> None:
        self.touched = torch.maximum(self.touched, (cover > 0.05).to(cover))

    def stay(self) -> list[Layer]:
        """What stands in the image and is not changed, as one drawing."""
        if self.ground is None:
            return []
        whole = bool(self.touched.min() > 0)
        kept = self.occupied if whole else self.occupied * (1 - self.touched)
        box = square_around(kept)
        return [] if box is None else [(cut_out(self.image, kept, box), box)]

    def settle(self, background: Background) -> torch.Tensor:
        """Another background comes, which is given: (3, h, w)."""
        assert self.ground is not None
        if background.place in CLOSED:
            background = Background(background.place, background.time, "")
        number = BACKGROUNDS.index(background)
        self.setting = background
        self.ahead = self.surroundings.shown(replace(self.ground, number=number), self.size)
        return self.ahead

    def behind(self, style: int) -> torch.Tensor:
        """What the sketch has for a background."""
        known = self.empty if self.ahead is None else self.ahead
        if known is None:
            return self.looks.of_image(self.image)  # in its style already
        return self.looks.of_image(known, style if style != self._number_of_style else 0)

    @property
    def _number_of_style(self) -> int:
        return stylising.number(self.own_style)
