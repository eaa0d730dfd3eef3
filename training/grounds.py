"""What lies behind the things: plain colours, gradients, and four simple landscapes.

What is repeated lies on a lattice, so that a latent's cell shows few different things.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 48, 49),
    "orange": (243, 135, 34),
    "yellow": (250, 211, 62),
    "green": (46, 160, 67),
    "cyan": (52, 199, 222),
    "blue": (37, 99, 217),
    "purple": (128, 68, 182),
    "pink": (244, 143, 187),
    "brown": (122, 78, 44),
    "black": (24, 24, 27),
    "gray": (140, 143, 148),
    "white": (250, 250, 250),
}
GRADIENT = "gradient"
DEFAULT_GROUND = "white"

CELL = 32  # px of one token of the denoiser: patch 2 on latents of 1/16
LATTICE = 16  # px of a latent
CLEAR = 75  # least distance of an ink from the ground it is seen on; orange and yellow are 81 apart
SPECKS = 0.03  # of the ground may be nearer, such as the stars of the night

Pixels = NDArray[np.float32]  # (height, width, 3), 0..255
Shape = tuple[int, int]  # cells wide and high


def _blend(pixels: Pixels, mask: NDArray[np.float32], colour: tuple[int, int, int]) -> None:
    pixels += mask[..., None] * (np.asarray(colour, np.float32) - pixels)


def _ramp(
    width: int, height: int, top: tuple[int, int, int], bottom: tuple[int, int, int]
) -> Pixels:
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    high, low = np.asarray(top, np.float32), np.asarray(bottom, np.float32)
    return np.broadcast_to(high + (low - high) * down, (height, width, 3)).copy()


def _places(width: int, height: int, scale: int) -> tuple[Pixels, Pixels]:
    """x and y of each pixel, in pixels of the native size."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return (x + 0.5) / scale, (y + 0.5) / scale


def _soft(distance: Pixels, scale: int) -> Pixels:
    """1 where `distance` is below 0, with an edge of a pixel."""
    mask: Pixels = np.clip(0.5 - distance * scale, 0, 1)
    return mask


def _sky(width: int, height: int, scale: int) -> Pixels:
    """Light blue, lighter below, with a white cloud in every square of four cells."""
    pixels = _ramp(width, height, (112, 182, 242), (196, 226, 248))
    x, y = _places(width, height, scale)
    x, y = (x + 64 * (np.floor(y / 128) % 2)) % 128 - 56, y % 128 - 40
    puffs = ((-18, 4, 12), (0, -4, 18), (20, 4, 12))
    parts = [np.hypot(x - left, y - down) - radius for left, down, radius in puffs]
    bottom = np.maximum(np.minimum.reduce(parts), y - 12)
    _blend(pixels, 0.85 * _soft(bottom, scale), (252, 253, 255))
    return pixels


def _night(width: int, height: int, scale: int) -> Pixels:
    """Dark blue, with four small stars in every square of four cells."""
    pixels = _ramp(width, height, (18, 22, 60), (18, 22, 60))
    x, y = _places(width, height, scale)
    for left, down in ((24, 24), (88, 40), (40, 104), (104, 88)):  # in the middle of latents
        off = np.abs(x % 128 - left) + np.abs(y % 128 - down)
        _blend(pixels, _soft(off - 6, scale), (248, 240, 200))
    return pixels


def _below(
    pixels: Pixels, eighths: int, colour: tuple[int, int, int], scale: int
) -> tuple[Pixels, Pixels, Pixels]:
    """Paints what is below a horizon so many eighths down; x, depth below it, and rows of it."""
    height, width, _ = pixels.shape
    horizon = height // scale * eighths // 8 // LATTICE * LATTICE
    pixels[horizon * scale :] = colour
    x, y = _places(width, height, scale)
    return x, y - horizon, np.floor((y - horizon) / 32)


def _sea(width: int, height: int, scale: int) -> Pixels:
    """Pale air above, and from three eighths on blue water with rows of waves."""
    pixels = _ramp(width, height, (222, 238, 246), (222, 238, 246))
    x, depth, row = _below(pixels, 3, (24, 104, 182), scale)
    crest = depth % 32 - 16 - 2.5 * np.cos(x * (2 * np.pi / 32))
    dash = (x + 32 * (row % 2)) % 64 < 32
    wave = _soft(np.abs(crest) - 2, scale) * dash * (row >= 0)
    _blend(pixels, wave, (96, 166, 222))
    return pixels


def _grass(width: int, height: int, scale: int) -> Pixels:
    """Pale sky, and from five eighths on green with darker blades."""
    pixels = _ramp(width, height, (186, 222, 246), (186, 222, 246))
    x, depth, row = _below(pixels, 5, (98, 178, 72), scale)
    side, up = np.abs((x + 16 * (row % 2)) % 32 - 16), depth % 32 - 8
    blade = np.maximum(side - up / 4, np.abs(up - 8) - 8)
    _blend(pixels, _soft(blade, scale) * (row >= 0), (62, 138, 50))
    return pixels


LANDSCAPES: dict[str, Callable[[int, int, int], Pixels]] = {
    "sky": _sky, "night": _night, "sea": _sea, "grass": _grass,
}  # fmt: skip
KINDS = (GRADIENT, *LANDSCAPES)
GRADIENTS = tuple(f"{colour} {GRADIENT}" for colour in COLOURS)
GROUNDS: tuple[str, ...] = (*COLOURS, *GRADIENTS, *LANDSCAPES)


def kind(ground: str) -> str:
    """One of KINDS, or "plain"."""
    if ground in COLOURS:
        return "plain"
    return ground if ground in LANDSCAPES else GRADIENT


def pixels(ground: str, shape: Shape, scale: int = 1) -> Pixels:
    """A ground at `scale` times its native size; not to be written to."""
    return _kept(ground, shape) if scale == 1 else _make(ground, shape, scale)


@cache
def _kept(ground: str, shape: Shape) -> Pixels:
    made = _make(ground, shape, 1)
    made.flags.writeable = False
    return made


def _make(ground: str, shape: Shape, scale: int) -> Pixels:
    width, height = (n * CELL * scale for n in shape)
    if ground in LANDSCAPES:
        return LANDSCAPES[ground](width, height, scale)
    colour = ground.removesuffix(f" {GRADIENT}")
    top = COLOURS[colour]
    if ground == colour:
        return _ramp(width, height, top, top)
    return _ramp(width, height, top, COLOURS["gray" if colour == "white" else "white"])


@cache
def inks(ground: str) -> list[str]:
    """The colours that are seen wherever they lie on the ground."""
    behind = pixels(ground, (8, 8)).reshape(-1, 3)
    palette = np.array(list(COLOURS.values()), np.float32)
    near = np.stack([np.linalg.norm(behind - colour, axis=-1) < CLEAR for colour in palette])
    return [colour for colour, share in zip(COLOURS, near.mean(1), strict=True) if share < SPECKS]
