"""What the filters stand on: soft noise, edges, and what a picture shows apart from its ground.

Lengths are shares of a picture's shorter side, so that a style looks alike at every size. Nothing
here is random: noise comes from the picture's shape alone.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Picture = NDArray[np.floating]  # (h, w, 3), sRGB, 0 to 1; float32, which numpy does not tell
Plane = NDArray[np.floating]  # (h, w)
Colour = tuple[float, float, float]
_Either = TypeVar("_Either", bound=NDArray[np.floating])

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # Rec. 709


def from_bytes(pixels: NDArray[np.uint8]) -> Picture:
    return pixels.astype(np.float32) / 255


def to_bytes(picture: NDArray[np.floating]) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    return pixels


def length(picture: NDArray[np.floating], share: float) -> int:
    """`share` of the shorter side in pixels, one at least."""
    return max(1, round(int(min(picture.shape[:2])) * share))


def luminance(picture: Picture) -> Plane:
    return picture @ _LUMINANCE


def strongest(picture: Picture) -> Plane:
    """The largest of the three channels; numpy's own `max` takes eight times as long."""
    strong: Plane = np.maximum(np.maximum(picture[..., 0], picture[..., 1]), picture[..., 2])
    return strong


def ramp(plane: Plane, low: float, high: float) -> Plane:
    """0 up to `low`, 1 from `high`, smooth between; falling where `high` is the smaller."""
    t = np.clip((plane - low) / (high - low), 0, 1)
    smooth: Plane = t * t * (3 - 2 * t)
    return smooth


def over(base: Picture, ink: Picture | Colour, mask: Plane) -> Picture:
    """`ink` laid on `base` as far as `mask` says."""
    mask = np.clip(mask, 0, 1)[..., None]
    return base + (np.asarray(ink, np.float32) - base) * mask


def filled(picture: Picture, colour: Colour) -> Picture:
    return np.full_like(picture, colour)


def blur(array: _Either, radius: float) -> _Either:
    """By a Gaussian of `radius` pixels. In eight bits: what is read from it is never finer."""
    image = Image.fromarray(to_bytes(array)).filter(ImageFilter.GaussianBlur(radius))
    return from_bytes(np.asarray(image))  # type: ignore[return-value]


def mean_around(plane: Plane, reach: int) -> Plane:
    """Of the square that reaches so many pixels each way; what lies outside repeats the border."""
    length, mean = 2 * reach + 1, plane.astype(np.float64)
    for axis in (0, 1):
        around = [(0, 0), (0, 0)]
        around[axis] = (reach + 1, reach)
        sums = np.cumsum(np.pad(mean, around, mode="edge"), axis=axis)
        size = plane.shape[axis]
        ends, starts = sums.take(range(length, size + length), axis), sums.take(range(size), axis)
        mean = (ends - starts) / length
    return mean.astype(np.float32)


def shift(array: _Either, down: int, right: int) -> _Either:
    """Moved by pixels; what comes in repeats the border."""
    height, width = array.shape[:2]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return array[rows][:, columns]  # type: ignore[return-value]


def grid(picture: NDArray[np.floating]) -> tuple[Plane, Plane]:
    """How far down and right each pixel lies, in pixels."""
    height, width = picture.shape[:2]
    return (
        np.arange(height, dtype=np.float32)[:, None].repeat(width, 1),
        np.arange(width, dtype=np.float32)[None].repeat(height, 0),
    )


def distance(picture: NDArray[np.floating]) -> Plane:
    """From the middle: 0 there, 1 in the corners."""
    height, width = picture.shape[:2]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    right = np.linspace(-1, 1, width, dtype=np.float32)[None]
    return np.sqrt((down**2 + right**2) / 2)


def noise(picture: NDArray[np.floating], cell: float, salt: int = 0) -> Plane:
    """Between 0 and 1, as smooth as `cell` is large; another for each `salt`."""
    height, width = picture.shape[:2]
    rng = np.random.default_rng((salt, height, width))
    if (pixels := length(picture, cell)) == 1:
        return rng.random((height, width), np.float32)
    coarse = rng.random((height // pixels + 2, width // pixels + 2), np.float32)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    plane: Plane = np.clip(np.asarray(smooth), 0, 1)
    return plane


def edges(picture: Picture, width: float) -> Plane:
    """1 on lines of about `width` where colours meet, softly 0 elsewhere."""
    reach = length(picture, width / 2)
    soft = blur(picture, reach * 0.6)
    across = strongest(np.abs(shift(soft, 0, reach) - shift(soft, 0, -reach)))
    along = strongest(np.abs(shift(soft, reach, 0) - shift(soft, -reach, 0)))
    return ramp(np.hypot(across, along), 0.12, 0.32)


def ground(picture: Picture) -> NDArray[np.floating]:  # (3,)
    """The colour that the picture's border has most."""
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    middle: NDArray[np.floating] = np.median(border, axis=0)
    return middle


def figure(picture: Picture) -> Plane:
    """1 where the picture shows something, 0 where it has the colour of its ground."""
    soft = blur(picture, length(picture, 0.003))
    return ramp(strongest(np.abs(soft - ground(picture))), 0.1, 0.22)


def figure_colours(picture: Picture, shown: Plane, reach: float) -> Picture:
    """The colours of what is `shown`, spread by `reach` over its edges, which have the ground's."""
    radius = length(picture, reach)
    inner = shown * ramp(blur(shown, length(picture, 0.004)), 0.7, 0.98)
    weight = blur(inner, radius)[..., None]
    spread = blur(picture * inner[..., None], radius) / np.maximum(weight, 1 / 255)
    near = over(picture, np.clip(spread, 0, 1), ramp(weight[..., 0], 0.0, 0.05))
    return over(near, picture, inner)


def sampled(picture: Picture, down: Plane, right: Plane) -> Picture:
    """The picture's colours at those places, between pixels too; beyond the border, its own."""
    height, width = picture.shape[:2]
    down, right = np.clip(down, 0, height - 1.001), np.clip(right, 0, width - 1.001)
    y, x = down.astype(np.intp), right.astype(np.intp)
    v, u = (down - np.floor(down))[..., None], (right - np.floor(right))[..., None]
    upper = picture[y, x] * (1 - u) + picture[y, x + 1] * u
    lower = picture[y + 1, x] * (1 - u) + picture[y + 1, x + 1] * u
    mixed: Picture = upper * (1 - v) + lower * v
    return mixed
