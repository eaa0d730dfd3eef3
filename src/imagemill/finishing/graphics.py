"""Styles that look printed or drawn with few means: vector graphics and icons."""

from collections.abc import Mapping
from functools import partial

from imagemill.finishing import filters as f
from imagemill.finishing import shapes as s
from imagemill.finishing import strokes as d
from imagemill.finishing.presets import CREAM, Style, style

BLUE, PINK, TEAL = (0.16, 0.32, 0.95), (0.95, 0.2, 0.55), (0.0, 0.42, 0.47)

VECTORS: Mapping[str, Style] = {
    "": style(
        "vector illustration, flat colours",
        partial(f.flatten, colours=6),
        partial(f.tone, saturation=1.1),
        partial(s.long_shadow, reach=0.35, amount=0.6),
    ),
    "cartoon": style(
        "cartoon, bold outlines, flat shading",
        partial(f.flatten, colours=6),
        partial(s.halves, amount=0.15),
        partial(f.tone, contrast=1.15, saturation=1.35),
        partial(d.outline, width=0.022, keep=1.0),
    ),
    "doodle_line_art": style(
        "doodle line art, loose pen",
        partial(d.wobble, amount=0.02, cell=0.11),
        partial(d.outline, width=0.012, inks=((0.12, 0.2, 0.5),)),
    ),
    "engraving": style(
        "engraving, black hatched lines on white",
        partial(d.engrave, pitch=0.014, ink=d.INK, sheet=s.WHITE),
    ),
    "flat_2": style(
        "flat vector illustration, two tones",
        partial(f.flatten, colours=6),
        partial(f.tone, contrast=0.85, brightness=0.04, saturation=0.85),
        partial(s.halves, amount=0.25),
    ),
    "kawaii": style(
        "kawaii vector sticker, cute, pastel colours",
        partial(f.flatten, colours=6),
        partial(f.tone, contrast=0.7, brightness=0.1, saturation=1.1, tint=(1.0, 0.95, 0.92)),
        partial(d.outline, width=0.012, inks=((0.3, 0.2, 0.3),), keep=1.0),
        partial(s.sticker, width=0.03),
    ),
    "line_art": style("line art, thin black lines on white", partial(d.outline, width=0.006)),
    "line_circuit": style(
        "circuit line art, tracks with right angles and nodes",
        partial(s.circuit, blocks=30, ink=TEAL),
    ),
    "linocut": style(
        "linocut print, bold black and white",
        partial(d.linocut, pitch=0.02, ink=d.INK, sheet=CREAM),
    ),
    "seamless": style(
        "seamless vector pattern, flat colours, tileable",
        partial(f.flatten, colours=6),
        partial(d.outline, width=0.01, keep=1.0),
        partial(s.seamless, margin=0.05, copy=0.4),
    ),
}

ICONS: Mapping[str, Style] = {
    "broken_line": style("icon, broken line style", partial(d.outline, width=0.016, gaps=0.16)),
    "colored_outline": style("icon, coloured outline", partial(d.outline, width=0.018, inks=())),
    "colored_shapes": style(
        "icon, flat coloured shapes", partial(f.flatten, colours=5), s.on_paper
    ),
    "colored_shapes_gradient": style(
        "icon, coloured shapes with gradients",
        partial(f.flatten, colours=5),
        s.on_paper,
        partial(f.gradients, amount=0.8, everywhere=False),
    ),
    "doodle_fill": style(
        "icon, doodle with scribbled fill",
        partial(d.wobble, amount=0.012, cell=0.1),
        partial(d.scribble, pitch=0.034, cover=0.5, wave=1.5, line=0.014),
    ),
    "doodle_offset_fill": style(
        "icon, doodle with offset fill",
        partial(d.wobble, amount=0.018, cell=0.13),
        partial(d.offset_fill, reach=0.045, width=0.014, ink=d.INK),
    ),
    "offset_fill": style(
        "icon, outline with offset fill",
        partial(d.offset_fill, reach=0.03, width=0.018, ink=s.NAVY),
    ),
    "outline": style("icon, plain black outline", partial(d.outline, width=0.02)),
    "outline_gradient": style(
        "icon, gradient outline", partial(d.outline, width=0.02, inks=(BLUE, PINK))
    ),
    "uneven_fill": style("icon, uneven fill, dry brush", partial(d.uneven_fill, amount=0.75)),
}
