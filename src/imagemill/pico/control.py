"""The ControlNet of pico: it moves the things of a scene to where a control image has them.

What pico paints follows its sketch, and the sketch follows the placements of its things. So this
ControlNet adds nothing to the transformer's hidden states: it looks for every thing in the control
image, edges or layers of depth, and tells by how much its placement changes, as the one tensor that
the transformer adds to its placements (`denoiser.SketchTransformer`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from diffusers import ModelMixin, SD3ControlNetModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.controlnets.controlnet_sd3 import SD3ControlNetOutput
from torch import nn
from torch.nn import functional as F

from imagemill.pico.denoiser import LOOK_DIM, Sketches, choices
from imagemill.pico.looks import FIELDS, FIXED, FLIPPED, ROWS, Choice, Field, Sketcher
from imagemill.pico.matching import Box, Matcher, edges, template
from imagemill.pico.scene import PLACEMENTS

FINE = 4  # pixels of a map on a side of a latent position
SURE = 3.0  # the score from which on a thing is there
APART, TAKEN = 0.2, 0.4  # overlaps of things that are apart, and of those in one place
TURNING = 0.3  # by which a thing's mirror image has to be likelier for it to turn round
BLANK = 0.03  # the deviation of a map in which nothing is to be seen


class PlacementControlNet(SD3ControlNetModel, ModelMixin):
    """Stock pipelines take it where Stable Diffusion 3 has its ControlNet.

    It reads the control image in latents and the looks at the end of `encoder_hidden_states`, and
    gives one tensor (n, ROWS, FIELDS + 1): by how much the numbers of each placement change, and a
    one, all times the conditioning scale; more than 1 is no more than 1 (`denoiser.controlled`).
    It is the same at all steps, and worked out once.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 49,
        width: int = 24,
        joint_attention_dim: int = LOOK_DIM,
        force_zeros_for_pooled_projection: bool = False,
    ) -> None:
        # The layers of Stable Diffusion 3's ControlNet, which its own constructor makes, are none
        # of this one; its pipelines ask for the class.
        nn.Module.__init__(self)
        # From latents to FINE x FINE pixels of a map each.
        self.reading = nn.Conv2d(in_channels - 1, FINE**2, 1).requires_grad_(False)
        self.matcher = Matcher(width)
        self.sketcher, self.changes = Sketcher(), Sketches()

    def forward(
        self,
        hidden_states: torch.Tensor,
        controlnet_cond: torch.Tensor,
        conditioning_scale: float = 1.0,
        encoder_hidden_states: torch.Tensor | None = None,
        pooled_projections: torch.Tensor | None = None,
        timestep: torch.Tensor | None = None,
        joint_attention_kwargs: dict[str, Any] | None = None,
        return_dict: bool = True,
    ) -> SD3ControlNetOutput | tuple[tuple[torch.Tensor]]:
        assert encoder_hidden_states is not None
        looks = encoder_hidden_states[:, -ROWS:]
        chosen = choices(hidden_states[:, -1:].float())
        changes = torch.stack(
            [self._change(*each) for each in zip(controlnet_cond, looks, chosen, strict=True)]
        )
        samples = ((conditioning_scale * F.pad(changes, (0, 1), value=1)).to(hidden_states.dtype),)
        return SD3ControlNetOutput(controlnet_block_samples=samples) if return_dict else (samples,)

    def map(self, latents: torch.Tensor) -> torch.Tensor:
        """(n, in_channels, h, w) to (n, 1, FINE * h, FINE * w): bright lines or layers, 0 to 1."""
        weight, bias = self.reading.weight.float(), self.reading.bias
        assert bias is not None
        values = F.pixel_shuffle(F.conv2d(latents[:, :-1].float(), weight, bias.float()), FINE)
        values = values.clamp(0, 1)
        dark = values.mean((1, 2, 3), keepdim=True) > 0.5  # lines on paper
        return torch.where(dark, 1 - values, values)

    def _change(self, latents: torch.Tensor, looks: torch.Tensor, choice: Choice) -> torch.Tensor:
        """Of one picture, worked out once for all its steps: (ROWS, FIELDS)."""
        latents, looks = latents.float(), looks.float()
        height, width = latents.shape[-2:]

        def change() -> torch.Tensor:
            return self.change(self.map(latents[None])[0], looks, choice)

        both = torch.cat([latents.flatten(), looks.flatten()])
        return self.changes.of(both, choice, (height, width), change)

    @torch.no_grad()
    def change(self, values: torch.Tensor, looks: torch.Tensor, choice: Choice) -> torch.Tensor:
        """values: a map (1, h, w). looks: (ROWS, FIELDS + CELLS * CODES). To (ROWS, FIELDS)."""
        if float(values.std()) < BLANK:
            return looks.new_zeros(ROWS, FIELDS)
        scene = _Scene(looks, choice, values.shape[-1], values.shape[-2])
        before = {i: scene.box(i) for i in range(PLACEMENTS) if looks[i, Field.LOOK] > 0}
        after, mirrored = dict[int, Box](), set[int]()
        # The surest first: no two go to one place that did not stand in one before.
        for score, i, mirror, box in sorted(self._places(values, scene, before), reverse=True):
            beside = (after[j] for j in after if before[i].overlap(before[j]) < APART)
            if score > SURE and i not in after and all(box.overlap(x) < TAKEN for x in beside):
                after[i] = box
                mirrored |= {i} if mirror else set()
        change = looks.new_zeros(ROWS, FIELDS)
        for i, box in before.items():
            change[i] = scene.change(i, after.get(i) or carried(box, before, after))
        for i in mirrored:
            change[i, Field.FLIP] = FLIPPED - 2 * looks[i, Field.FLIP]
        return change

    def _places(
        self, values: torch.Tensor, scene: "_Scene", before: Mapping[int, Box]
    ) -> Iterator[tuple[float, int, bool, Box]]:
        """Where each thing may go, also as its mirror image: score, number, mirrored, place."""
        steps = edges(values[None])[0]
        for i, box in before.items():
            if scene.looks[i, Field.FLIP] == FIXED:
                continue
            drawing = scene.drawing(self.sketcher, i)
            for mirrored in (False, True):
                drawn = template(drawing.flip(-1) if mirrored else drawing)
                for score, place in self.matcher.places(values, steps, drawn, box):
                    yield score - TURNING * mirrored, i, mirrored, place


def carried(box: Box, before: dict[int, Box], after: dict[int, Box]) -> Box:
    """Where something goes that stands within what moves: along with it."""
    within = [i for i in after if before[i].holds(box.x, box.y)]
    if not within:
        return box
    host = min(within, key=lambda i: before[i].side)
    old, new = before[host], after[host]
    grown = new.side / old.side
    return Box(new.x + grown * (box.x - old.x), new.y + grown * (box.y - old.y), grown * box.side)


class _Scene:
    """Placements as boxes in a map, as they are seen: the seed may turn them round."""

    def __init__(self, looks: torch.Tensor, choice: Choice, width: int, height: int) -> None:
        self.looks, self.width, self.height = looks, width, height
        placements = looks[:PLACEMENTS]
        lettered = bool((placements[:, Field.FLIP] == FIXED).any())
        self.turned = choice.turned and not lettered

    def box(self, i: int) -> Box:
        _, _, anchor_x, anchor_y, dx, dy, side, _ = self.looks[i, :FIELDS].tolist()
        shorter = min(self.width, self.height)
        x = anchor_x * self.width + dx * shorter
        return Box(
            self.width - x if self.turned else x, anchor_y * self.height + dy * shorter,
            side * shorter,
        )  # fmt: skip

    def drawing(self, sketcher: Sketcher, i: int) -> torch.Tensor:
        drawn = sketcher.drawing(self.looks[i])
        return drawn.flip(-1) if self.turned else drawn

    def change(self, i: int, box: Box) -> torch.Tensor:
        """By how much the numbers of a placement change for it to be in a box."""
        old, shorter = self.box(i), min(self.width, self.height)
        change = self.looks.new_zeros(FIELDS)
        change[Field.DX] = (old.x - box.x if self.turned else box.x - old.x) / shorter
        change[Field.DY] = (box.y - old.y) / shorter
        change[Field.SIDE] = (box.side - old.side) / shorter
        return change
