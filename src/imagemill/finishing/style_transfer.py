"""Brings an image near a style's vector: its light, its colours, its lines and its detail.

What the image shows stays where it is: every pixel is moved by what holds for all of them, and no
further than leaves it looking like itself. The medium is not made here; a model is told of it.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from imagemill.conditions import StyleVector
from imagemill.finishing.colour import Lab, to_oklab, to_srgb
from imagemill.finishing.planes import Plane, from_bytes, mean_around, to_bytes
from imagemill.finishing.style_vectors import AXES, SIDE, measured_size, measures_of

ROUNDS = 3  # after each, what came of it is measured
# How much a spread is multiplied by, at least and at most, by axis; others are moved.
SPREADS = {
    "contrast": (0.4, 1.8),
    "saturation": (0.0, 2.2),
    "lines": (0.4, 3.0),
    "detail": (0.4, 2.5),
}
FAINT = 0.004  # a saturation that is none
VIVID = 0.22  # in Oklab: colours come near it, and not beyond
LIKE = 4  # px at SIDE around a pixel that lines stand out from

Pixels = NDArray[np.uint8]  # (h, w, 3)


def bring_to_style(pixels: Pixels, vector: StyleVector) -> Pixels:
    """The same shapes, of a style; the same each time."""
    wanted = {axis.name: axis.value(level) for axis, level in zip(AXES, vector, strict=False)}
    small, moves = measured_size(pixels), _Moves(wanted)
    lab, seen = to_oklab(from_bytes(small)), small
    for _ in range(ROUNDS):
        moves.correct(dict(zip(wanted, measures_of(seen).values, strict=True)))
        seen = to_bytes(to_srgb(moves.applied(lab)))
    return to_bytes(to_srgb(moves.applied(to_oklab(from_bytes(pixels)))))


@dataclass
class _Moves:
    """What is done to every pixel, in Oklab."""

    #: By axis, the values that are to be measured in the end.
    wanted: dict[str, float]
    #: By axis, what spreads are multiplied by.
    gains: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SPREADS, 1.0))
    #: By axis, what the means of light and colours become; what is cut off makes others of them.
    means: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self.means = {name: self.wanted[name] for name in self.wanted.keys() - SPREADS.keys()}

    def correct(self, own: dict[str, float]) -> None:
        """own: what is measured as it is now."""
        for name, (least, most) in SPREADS.items():
            factor = self.wanted[name] / max(own[name], 1e-4)
            self.gains[name] = min(most, max(least, self.gains[name] * factor))
        if self.wanted["saturation"] < FAINT:
            self.gains["saturation"] = 0.0

    def applied(self, lab: Lab) -> Lab:
        gains, means = self.gains, self.means
        light = self._drawn(lab[..., 0])
        light = means["lightness"] + (light - light.mean()) * gains["contrast"]
        colours = lab[..., 1:]
        colours = (colours - colours.mean((0, 1))) * gains["saturation"]
        if gains["saturation"] > 0:
            colours = colours + np.array([means["tint"], means["warmth"]], np.float32)
        strength = np.hypot(colours[..., 0], colours[..., 1])[..., None]
        colours = colours * (VIVID * np.tanh(strength / VIVID) / np.maximum(strength, 1e-6))
        return np.concatenate([light[..., None], colours], -1).astype(np.float32)

    def _drawn(self, light: Plane) -> Plane:
        """With what is darker than its surroundings darker or less so, steps sharper or softer."""
        unit = min(light.shape) / SIDE
        around, near = (partial(mean_around, reach=max(1, round(n * unit))) for n in (LIKE, 1))
        light = light - (self.gains["lines"] - 1) * np.clip(around(light) - light, 0, None)
        soft = near(light)
        drawn: Plane = soft + (light - soft) * self.gains["detail"]
        return drawn
