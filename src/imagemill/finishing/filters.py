"""Filters of tone and light: pure functions of a picture that leave every shape where it is."""

import math

import numpy as np
from PIL import Image

from imagemill.finishing.clusters import clusters, recolour
from imagemill.finishing.planes import (
    Colour,
    Picture,
    Plane,
    blur,
    distance,
    figure,
    filled,
    from_bytes,
    grid,
    length,
    luminance,
    noise,
    over,
    ramp,
    shift,
    strongest,
    to_bytes,
)

_HUES = 2 * math.pi * np.arange(3, dtype=np.float32) / 3  # of red, green and blue on a circle


def tone(
    picture: Picture,
    contrast: float = 1.0,
    brightness: float = 0.0,
    saturation: float = 1.0,
    tint: Colour = (1.0, 1.0, 1.0),
) -> Picture:
    """Contrast about the middle, then `brightness` added; a `saturation` of 0 leaves grays."""
    gray = luminance(picture)[..., None]
    coloured = gray + (picture - gray) * saturation
    toned = (coloured - 0.5) * contrast + 0.5 + brightness
    return np.clip(toned, 0, 1) * np.asarray(tint, np.float32)


def local_contrast(picture: Picture, radius: float, amount: float) -> Picture:
    """What differs from its surroundings differs more, as in a picture of high dynamic range."""
    soft = blur(picture, length(picture, radius))
    return np.clip(picture + (picture - soft) * amount, 0, 1)


def flatten(picture: Picture, colours: int) -> Picture:
    """Flat areas of few colours, with smooth edges."""
    pixels = to_bytes(picture)
    centres = clusters(pixels, colours).colours
    return from_bytes(recolour(pixels, centres, centres, sharpness=2.5))


def duotone(picture: Picture, dark: Colour, light: Colour, amount: float = 1.0) -> Picture:
    """Inks from `dark` to `light` by luminance, stretched to what the picture has."""
    gray = luminance(picture)
    low, high = float(gray.min()), float(gray.max())
    stretched = (gray - low) / max(high - low, 0.2)
    inked = over(filled(picture, dark), light, stretched)
    return picture + (inked - picture) * np.float32(amount)


def grain(picture: Picture, amount: float, cell: float = 0.0) -> Picture:
    """Brightness that varies by `amount` each way, from point to point or in spots of `cell`."""
    return np.clip(picture + (noise(picture, cell)[..., None] - 0.5) * (2 * amount), 0, 1)


def glow(picture: Picture, radius: float, amount: float, floor: float = 0.5) -> Picture:
    """What shines, in whatever colour, from `floor` on, lights its surroundings."""
    shining = picture * ramp(strongest(picture), floor, 1.0)[..., None]
    halo = blur(shining, length(picture, radius))
    return 1 - (1 - picture) * (1 - np.clip(halo * amount, 0, 1))


def night(picture: Picture, dark: Colour) -> Picture:
    """The ground gives way to `dark`; what the picture shows stays, a little lighter."""
    lit = tone(picture, 1.0, 0.12, 1.3)
    return over(filled(picture, dark), lit, figure(picture))


def vignette(picture: Picture, amount: float, begin: float = 0.35) -> Picture:
    """Darker by `amount` in the corners, unchanged within `begin` of the way there."""
    return picture * (1 - amount * ramp(distance(picture), begin, 1.0))[..., None]


def spotlight(picture: Picture, amount: float, radius: float) -> Picture:
    """A hard light from the middle: whiter there, dim from `radius` on."""
    lit = ramp(distance(picture), radius, radius * 0.35)
    bright = over(picture * (1 - amount * 0.75), picture, lit)
    return over(bright, (1.0, 1.0, 1.0), lit * amount * 0.35)


def daylight(picture: Picture, warm: Colour, cool: Colour, amount: float) -> Picture:
    """Light from the top left in one colour, shade at the bottom right in another."""
    height, width = picture.shape[:2]
    down, right = grid(picture)
    fall = (down / height + right / width) / 2
    light = over(filled(picture, warm), cool, fall)
    return np.clip(picture * (1 + (light * 2 - 1) * amount), 0, 1)


def motion_blur(picture: Picture, reach: float, slope: float) -> Picture:
    """Smeared over `reach` along a line that falls by `slope`; doubling keeps it smooth."""
    step, moved = 1, picture
    while step < length(picture, reach):
        ahead, behind = step // 2 + step % 2, step // 2
        forth = shift(moved, round(ahead * slope), ahead)
        back = shift(moved, -round(behind * slope), -behind)
        moved, step = (forth + back) / 2, step * 2
    return moved


def hue_cycle(picture: Picture, turns: float, swirl: float) -> Picture:
    """Colours run round the circle with luminance, in rings about the middle; light stays."""
    gray = luminance(picture)
    rings = distance(picture) + noise(picture, 0.2) * swirl
    angle = 2 * math.pi * (gray * turns + rings * 2.5)
    wheel = 0.5 + 0.5 * np.cos(angle[..., None] - _HUES)
    contrast = ramp(gray, 0.0, 1.0)[..., None] * 0.55
    return np.clip(wheel * 0.55 + contrast, 0, 1)


def scanlines(picture: Picture, pitch: float, amount: float) -> Picture:
    """Every other line is darker, as on a tube."""
    down, _ = grid(picture)
    wave: Plane = 0.5 + 0.5 * np.cos(down * (2 * math.pi / max(2, length(picture, pitch))))
    return picture * (1 - amount * wave)[..., None]


def misprint(picture: Picture, reach: float) -> Picture:
    """Red printed a little to the left, blue a little to the right."""
    step = length(picture, reach)
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    return np.stack([shift(red, -step // 2, -step), green, shift(blue, step // 2, step)], -1)


def washes(picture: Picture, spread: float) -> Picture:
    """Water colour: smooth areas with darker rims, uneven pigment, on paper with a tooth."""
    height, width = picture.shape[:2]
    small = Image.fromarray(to_bytes(picture)).reduce(max(1, length(picture, spread)))
    soft = from_bytes(np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)))
    rim = strongest(np.abs(soft - blur(soft, length(picture, spread * 2))))
    pigment = noise(picture, 0.06) * 0.5 + noise(picture, 0.15, 1) * 0.5
    pale: Picture = 1 - (1 - soft) * (0.5 + 0.6 * pigment)[..., None]
    dark: Picture = pale * (1 - 1.4 * np.clip(rim, 0, 0.35))[..., None]
    tooth: Plane = 0.93 + 0.07 * noise(picture, 0.006, 2)
    return np.clip(dark * tooth[..., None], 0, 1)


def gradients(picture: Picture, amount: float, everywhere: bool = True) -> Picture:
    """Runs from a lighter, warmer top to a darker, cooler foot; or what is shown alone does."""
    height = picture.shape[0]
    fall = (grid(picture)[0] / max(1, height - 1))[..., None] - 0.5
    warm = np.array([0.9, 1.1, 0.6], np.float32) * amount
    run = np.clip(picture - fall * warm * (0.35 + 0.65 * picture), 0, 1)
    return run if everywhere else over(picture, run, figure(picture))
