"""What a style is, and those that look painted: photographs and illustrations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from imagemill.finishing import filters as f
from imagemill.finishing import shapes as s
from imagemill.finishing import strokes as d
from imagemill.finishing.planes import Picture

Filter = Callable[[Picture], Picture]


@dataclass(frozen=True)
class Style:
    """words: added to a prompt. filters: for flat pictures by a model that reads no such words."""

    words: str
    filters: tuple[Filter, ...]


CREAM = (0.97, 0.93, 0.84)
SKY, ROSE = (0.75, 0.88, 1.0), (1.0, 0.86, 0.92)
MAGENTA, CYAN, VIOLET = (0.95, 0.15, 0.6), (0.25, 0.95, 0.95), (0.16, 0.05, 0.32)
WARM, COOL = (0.72, 0.64, 0.48), (0.38, 0.42, 0.5)


def style(words: str, *filters: Filter) -> Style:
    return Style(words, filters)


PHOTOGRAPHS: Mapping[str, Style] = {
    "": style(
        "realistic photograph, natural detail",
        partial(f.tone, contrast=0.86),
        partial(s.relief, roundness=0.05, amount=0.35),
        partial(s.shadow, reach=0.015, softness=0.02, amount=0.45),
        partial(f.vignette, amount=0.35),
        partial(f.grain, amount=0.02),
    ),
    "b_and_w": style(
        "black and white photograph",
        partial(f.tone, contrast=0.86),
        partial(s.relief, roundness=0.05, amount=0.35),
        partial(f.tone, contrast=1.2, saturation=0.0),
        partial(f.grain, amount=0.05),
        partial(f.vignette, amount=0.3),
    ),
    "enterprise": style(
        "corporate photograph, clean, bright office light",
        partial(s.backdrop, light=(1.0, 1.0, 1.0), dark=SKY, amount=0.75),
        partial(f.tone, brightness=0.05, saturation=0.85, tint=(0.96, 0.98, 1.0)),
        partial(s.shadow, reach=0.012, softness=0.03, amount=0.35),
    ),
    "hard_flash": style(
        "photograph with hard direct flash, dark surroundings",
        partial(f.tone, contrast=1.35, saturation=1.15),
        partial(s.shadow, reach=0.02, softness=0.002, amount=0.9),
        partial(f.spotlight, amount=0.85, radius=0.75),
    ),
    "hdr": style(
        "HDR photograph, high dynamic range, vivid colours",
        partial(s.relief, roundness=0.04, amount=0.4),
        partial(f.tone, saturation=1.5, contrast=0.9, brightness=-0.06),
        partial(f.local_contrast, radius=0.06, amount=0.8),
    ),
    "motion_blur": style(
        "photograph with motion blur, long exposure", partial(f.motion_blur, reach=0.12, slope=0.15)
    ),
    "natural_light": style(
        "photograph in natural light, warm sun",
        partial(f.tone, contrast=0.86),
        partial(s.relief, roundness=0.06, amount=0.3),
        partial(f.daylight, warm=WARM, cool=COOL, amount=1.0),
        partial(f.glow, radius=0.06, amount=0.25, floor=0.7),
    ),
    "studio_portrait": style(
        "studio portrait photograph, soft key light, plain backdrop",
        partial(s.relief, roundness=0.07, amount=0.5),
        partial(s.backdrop, light=(0.55, 0.55, 0.58), dark=(0.08, 0.08, 0.1), amount=0.85),
        partial(f.vignette, amount=0.3),
    ),
}

ILLUSTRATIONS: Mapping[str, Style] = {
    "": style(
        "digital illustration",
        partial(f.tone, contrast=0.9),
        partial(f.gradients, amount=0.3),
        partial(s.relief, roundness=0.04, amount=0.3),
        partial(d.outline, width=0.008, inks=(), keep=1.0),
    ),
    "2d_art_poster": style(
        "2D art poster, flat shapes, printed dots",
        partial(f.flatten, colours=4),
        partial(d.halftone, pitch=0.022, ink=(0.2, 0.12, 0.25), amount=0.55),
        partial(f.tone, tint=CREAM),
        partial(s.frame, width=0.05, colour=CREAM),
    ),
    "2d_art_poster_2": style(
        "2D art poster, two inks, screen print",
        partial(s.long_shadow, reach=0.25, amount=0.8),
        partial(f.duotone, dark=(0.05, 0.17, 0.36), light=(1.0, 0.78, 0.45)),
        partial(f.tone, contrast=1.25),
        partial(f.misprint, reach=0.008),
        partial(f.grain, amount=0.06),
    ),
    "3d": style(
        "3D render, smooth shading, soft shadow",
        partial(s.backdrop, light=(1.0, 1.0, 1.0), dark=(0.55, 0.57, 0.66), amount=0.35),
        partial(s.shadow, reach=0.04, softness=0.03, amount=0.7),
        partial(s.relief, roundness=0.08, amount=0.8, shine=0.8),
    ),
    "80s": style(
        "1980s retro style, neon, synthwave",
        partial(f.duotone, dark=VIOLET, light=CYAN, amount=0.45),
        partial(f.daylight, warm=MAGENTA, cool=(0.3, 0.6, 1.0), amount=0.7),
        partial(d.outline, width=0.01, inks=(MAGENTA, CYAN), keep=0.8),
        partial(f.glow, radius=0.03, amount=0.5),
        partial(f.scanlines, pitch=0.012, amount=0.35),
    ),
    "engraving_color": style(
        "colour engraving, hatched lines", partial(d.engrave, pitch=0.012, ink=None, sheet=CREAM)
    ),
    "glow": style(
        "glowing, neon light on a dark ground",
        partial(f.night, dark=(0.04, 0.04, 0.1)),
        partial(f.glow, radius=0.09, amount=0.5, floor=0.3),
        partial(f.glow, radius=0.02, amount=0.45, floor=0.3),
    ),
    "grain": style(
        "grainy illustration, stippled shading",
        partial(f.gradients, amount=0.25),
        partial(s.relief, roundness=0.08, amount=0.5),
        partial(f.grain, amount=0.22),
    ),
    "hand_drawn": style(
        "hand drawn illustration, coloured pencil",
        partial(d.wobble, amount=0.01, cell=0.1),
        partial(d.crayon, tooth=0.4),
        partial(f.tone, tint=(0.98, 0.96, 0.92)),
    ),
    "hand_drawn_outline": style(
        "hand drawn illustration with ink outlines",
        partial(d.wobble, amount=0.014, cell=0.11),
        partial(f.tone, brightness=0.12, saturation=0.8),
        partial(d.outline, width=0.014, keep=1.0),
        partial(f.tone, tint=CREAM),
    ),
    "handmade_3d": style(
        "handmade 3D, modelling clay, plasticine",
        partial(d.wobble, amount=0.01, cell=0.12),
        partial(f.grain, amount=0.04, cell=0.03),
        partial(s.shadow, reach=0.02, softness=0.012, amount=0.8),
        partial(s.relief, roundness=0.045, amount=0.9, shine=0.25),
    ),
    "infantile_sketch": style(
        "child's drawing, wax crayons, naive",
        partial(d.wobble, amount=0.026, cell=0.12),
        partial(d.scribble, pitch=0.024, cover=0.6, wave=3.0, line=0.018, inks=()),
    ),
    "kawaii": style(
        "kawaii, cute, pastel colours",
        partial(f.tone, contrast=0.6, brightness=0.28, saturation=1.25, tint=ROSE),
        partial(d.outline, width=0.014, inks=((0.45, 0.25, 0.4),), keep=1.0),
        partial(s.relief, roundness=0.05, amount=0.3, shine=0.6),
        partial(f.glow, radius=0.05, amount=0.15, floor=0.6),
    ),
    "pixel_art": style("pixel art, 8-bit", partial(s.pixelate, blocks=64, colours=12)),
    "psychedelic": style(
        "psychedelic, swirling colours",
        partial(f.hue_cycle, turns=1.5, swirl=0.8),
        partial(d.outline, width=0.012, keep=1.0),
    ),
    "seamless": style(
        "seamless pattern, tileable",
        partial(f.gradients, amount=0.12),
        partial(s.relief, roundness=0.04, amount=0.4),
        partial(s.seamless, margin=0.08, copy=0.55),
    ),
    "voxel": style("voxel art, small cubes", partial(s.voxels, blocks=32)),
    "watercolor": style("watercolor painting on paper", partial(f.washes, spread=0.008)),
}
