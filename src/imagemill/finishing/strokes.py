"""Filters that draw: outlines, hatching, dots, scribbles, the tremble of a hand."""

import math

import numpy as np

from imagemill.finishing.planes import (
    Colour,
    Picture,
    Plane,
    blur,
    edges,
    figure,
    figure_colours,
    filled,
    grid,
    length,
    luminance,
    noise,
    over,
    ramp,
    sampled,
    shift,
)
from imagemill.finishing.shapes import WHITE, paper

INK: Colour = (0.1, 0.1, 0.13)
Inks = tuple[Colour, ...]
_LEGIBLE = 0.55  # luminance above which a line is hard to see on white


def outline(
    picture: Picture,
    width: float,
    inks: Inks = (INK,),
    keep: float = 0.0,
    gaps: float = 0.0,
) -> Picture:
    """Lines where colours meet, on white paper or over as much of the picture as `keep` says.

    inks: one colour, two that run from top to bottom, or none for the picture's own. gaps: the
    lengths after which the line breaks.
    """
    line = edges(picture, width)
    if gaps:
        line = line * _dashes(picture, gaps)
    sheet = picture * keep + (1 - keep)
    return over(sheet, _inked(picture, inks, width), line)


def _inked(picture: Picture, inks: Inks, width: float) -> Picture:
    if not inks:
        own = figure_colours(picture, figure(picture), width * 1.5)
        return own * np.minimum(1, _LEGIBLE / np.maximum(luminance(own), 1e-3))[..., None]
    down, _ = grid(picture)
    return over(filled(picture, inks[0]), inks[-1], ramp(down / picture.shape[0], 0.2, 0.8))


def _dashes(picture: Picture, gaps: float) -> Plane:
    """Breaks in lines of every direction, for none runs along both of the waves."""
    down, right = grid(picture)
    turn = 2 * math.pi / length(picture, gaps)
    wave = np.sin((down + right * 0.6) * turn) + np.sin((right - down * 0.6) * turn)
    return ramp(wave, -0.75, -0.45)


def stripes(
    picture: Picture, pitch: float, slope: float, darkness: Plane, bend: Plane | None = None
) -> Plane:
    """Parallel lines, as thick as `darkness` asks at each place, pushed aside by `bend` pitches."""
    down, right = grid(picture)
    width = max(3, length(picture, pitch))
    phase = (down * math.cos(slope) + right * math.sin(slope)) / width
    if bend is not None:
        phase = phase + bend
    ridge = np.abs(phase % 1 * 2 - 1)
    return np.clip(0.5 + (darkness - ridge) * width / 2, 0, 1) * (darkness > 0.02)


def engrave(picture: Picture, pitch: float, ink: Colour | None, sheet: Colour) -> Picture:
    """Cut lines that swell with darkness and bend over what is shown; `ink` None: its own."""
    shown = figure(picture)
    height = blur(shown, length(picture, 0.05)) + blur(shown, length(picture, 0.015))
    depth = (1 - luminance(picture)) * 0.8 + shown * 0.18
    lines = stripes(picture, pitch, 0.35, np.clip(depth * 0.9, 0, 0.85), height)
    crossed = stripes(picture, pitch, -0.95, np.clip(depth - 0.5, 0, 0.6), height)
    cut = np.maximum(np.maximum(lines, crossed), edges(picture, 0.008))
    drawn = picture * 0.75 if ink is None else filled(picture, ink)
    return over(filled(picture, sheet), drawn, cut)


def halftone(picture: Picture, pitch: float, ink: Colour, amount: float) -> Picture:
    """Printed dots over the picture, larger where it is darker."""
    down, right = grid(picture)
    turn = math.pi / max(3, length(picture, pitch))
    dots = np.sin((down + right) * turn) * np.sin((down - right) * turn) * 0.5 + 0.5
    size = np.clip(1 - luminance(picture), 0.05, 0.85)
    return over(picture, ink, ramp(dots - 1 + size, -0.1, 0.1) * amount)


def wobble(picture: Picture, amount: float, cell: float) -> Picture:
    """Drawn by a hand that trembles by `amount`, in waves of `cell`."""
    down, right = grid(picture)
    reach = amount * min(picture.shape[:2]) * 2
    return sampled(
        picture,
        down + (noise(picture, cell, 3) - 0.5) * reach,
        right + (noise(picture, cell, 4) - 0.5) * reach,
    )


def scribble(
    picture: Picture, pitch: float, cover: float, wave: float, line: float, inks: Inks = (INK,)
) -> Picture:
    """Filled to and fro with a pen in the picture's own colours, and outlined, on paper.

    cover: how much of each stripe is inked. wave: how far it strays, in stripes. line: the width of
    the outline, drawn in `inks`.
    """
    shown = figure(picture)
    bend = (noise(picture, 0.12, 5) - 0.5) * wave
    pen = stripes(picture, pitch, 0.8, np.full_like(shown, cover), bend)
    own = figure_colours(picture, shown, 0.01)
    drawn = over(filled(picture, paper(picture, shown)), own, pen * shown)
    return over(drawn, _inked(picture, inks, line), edges(picture, line))


def crayon(picture: Picture, tooth: float) -> Picture:
    """Wax on rough paper: strokes leave the paper's pits white."""
    grain = noise(picture, 0.004, 6) * 0.6 + noise(picture, 0.03, 7) * 0.4
    strokes = stripes(picture, 0.02, 0.9, np.full_like(grain, 0.7), noise(picture, 0.2, 8))
    wax = ramp(grain * 0.6 + strokes * 0.4, tooth - 0.15, tooth + 0.15)
    return over(filled(picture, WHITE), picture, wax)


def offset_fill(picture: Picture, reach: float, width: float, ink: Colour) -> Picture:
    """The fill lies beside its outline, as in a careless print."""
    shown, step = figure(picture), length(picture, reach)
    own = figure_colours(picture, shown, 0.01)
    sheet = filled(picture, paper(picture, shown))
    printed = over(sheet, shift(own, step, step), shift(shown, step, step))
    line = ink if paper(picture, shown) == WHITE else WHITE
    return over(printed, line, edges(picture, width))


def uneven_fill(picture: Picture, amount: float) -> Picture:
    """A dry brush: the fill has holes and frays, on paper."""
    shown = figure(picture)
    dry = noise(picture, 0.05, 9) * 0.5 + noise(picture, 0.012, 10) * 0.5
    cover = ramp(blur(shown, length(picture, 0.012)) - dry * amount, 0.3, 0.42)
    own = figure_colours(picture, shown, 0.02)
    return over(filled(picture, paper(picture, shown)), own, cover)


def linocut(picture: Picture, pitch: float, ink: Colour, sheet: Colour) -> Picture:
    """Ink or paper, nothing between; the ground keeps the marks of the gouge."""
    shown = figure(picture)
    marks = stripes(picture, pitch, 0.2, noise(picture, 0.07, 11) * 0.42, noise(picture, 0.2) * 3)
    carved = marks * ramp(blur(shown, length(picture, 0.02)), 0.25, 0.02)
    rim = ramp(blur(shown, length(picture, 0.014)), 0.08, 0.3) * (1 - shown)
    inner = edges(picture, 0.01) * ramp(blur(shown, length(picture, 0.01)), 0.75, 0.98)
    inked = np.maximum(np.maximum(shown, carved) * (1 - inner) * (1 - rim), 0)
    return over(filled(picture, sheet), ink, inked)
