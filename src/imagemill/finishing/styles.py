"""Styles by name: what they say to a model that reads, and what they do to a picture."""

from collections.abc import Mapping
from functools import partial

from imagemill.errors import Fault, invalid
from imagemill.finishing import filters as f
from imagemill.finishing import shapes as s
from imagemill.finishing import strokes as d
from imagemill.finishing.graphics import ICONS, VECTORS
from imagemill.finishing.presets import CREAM, ILLUSTRATIONS, PHOTOGRAPHS, Style, style

_IDEOGRAM: Mapping[str, Style] = {
    "realistic": PHOTOGRAPHS[""],
    "design": style(
        "graphic design, bold flat shapes, poster",
        partial(f.flatten, colours=4),
        partial(f.tone, contrast=1.2, saturation=1.25),
        partial(s.long_shadow, reach=1.0, amount=0.8),
        partial(s.frame, width=0.04, colour=CREAM),
    ),
    "render_3d": ILLUSTRATIONS["3d"],
    "anime": style(
        "anime, cel shading, clean lines",
        partial(f.flatten, colours=8),
        partial(s.halves, amount=0.18),
        partial(f.gradients, amount=0.2),
        partial(f.tone, brightness=0.06, saturation=1.25),
        partial(d.outline, width=0.01, keep=1.0),
        partial(f.glow, radius=0.05, amount=0.3, floor=0.6),
    ),
}


def _named(family: str, styles: Mapping[str, Style]) -> dict[str, Style]:
    return {f"{family}/{name}".rstrip("/"): each for name, each in styles.items()}


STYLES: Mapping[str, Style] = {
    "recraft/any": style(""),  # the model is to choose: nothing is asked, nothing done
    **_named("recraft/realistic_image", PHOTOGRAPHS),
    **_named("recraft/digital_illustration", ILLUSTRATIONS),
    **_named("recraft/vector_illustration", VECTORS),
    **_named("recraft/icon", ICONS),
    **_named("ideogram", _IDEOGRAM),
}


def find(name: str) -> Style:
    """In small letters or capitals, as versions of one API differ in that."""
    try:
        return STYLES[name.lower()]
    except KeyError:
        raise unknown(name) from None


def unknown(name: str) -> Fault:
    return invalid("style", f"unknown style {name!r:.80}; one of {', '.join(STYLES)}")


def words(name: str | None) -> str:
    """What to add to a prompt; nothing where there is no style."""
    return "" if name is None else find(name).words
