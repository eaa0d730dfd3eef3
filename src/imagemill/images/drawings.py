"""Drawings of others, as SVG: written anew of what draws alone, so that nothing in them can act."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from imagemill.errors import Fault, Kind

MOST_ELEMENTS = 50_000
MOST_SIDE = 16_384  # px
_SPACE = "{http://www.w3.org/2000/svg}"
_DRAWING = frozenset({
    "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "defs",
    "linearGradient", "radialGradient", "stop", "clipPath", "mask",
})  # fmt: skip
_SAYING = frozenset({
    "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry", "fx", "fy", "points",
    "width", "height", "transform", "fill", "fill-rule", "fill-opacity", "stroke",
    "stroke-width", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit",
    "stroke-dasharray", "stroke-dashoffset", "stroke-opacity", "opacity", "id", "offset",
    "stop-color", "stop-opacity", "gradientUnits", "gradientTransform", "spreadMethod",
    "clip-path", "clip-rule", "clipPathUnits", "mask", "maskUnits", "maskContentUnits",
    "preserveAspectRatio",
})  # fmt: skip
_ELSEWHERE = re.compile(r"url\((?!\s*['\"]?#)|[a-z]+script:|\\", re.IGNORECASE)
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)(?:px)?\s*")


def is_drawing(content: bytes) -> bool:
    """Whether a file begins as an SVG does."""
    head = re.sub(rb"<!--.*?-->|<\?.*?\?>", b"", content[:4096], flags=re.DOTALL)
    return head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<svg")


def redrawn(content: bytes, field: str) -> bytes:
    """The same drawing, with its shapes and colours alone; raises a Fault for what is none."""
    if b"<!DOCTYPE" in content.upper() or b"<!ENTITY" in content.upper():
        raise _unreadable(field, "has entities of its own")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError):
        raise _unreadable(field, "is no whole SVG") from None
    if root.tag != f"{_SPACE}svg":
        raise _unreadable(field, "is no SVG")
    if sum(1 for _ in root.iter()) > MOST_ELEMENTS:
        raise _unreadable(field, f"has more than {MOST_ELEMENTS} elements")
    box = _box(root, field)
    left, top, width, height = box
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{round(width)}" height="{round(height)}" '
        f'viewBox="{left:g} {top:g} {width:g} {height:g}">\n'
    )
    return f"{head}{''.join(_inner(root))}</svg>\n".encode()


def _box(root: ElementTree.Element, field: str) -> tuple[float, float, float, float]:
    try:
        left, top, width, height = map(float, re.split(r"[\s,]+", root.get("viewBox", "").strip()))
    except ValueError:
        sides = [_NUMBER.fullmatch(root.get(name, "")) for name in ("width", "height")]
        if not all(sides):
            raise _unreadable(field, "has no size") from None
        left, top = 0.0, 0.0
        width, height = (float(side[1]) for side in sides if side)
    if not (1 <= width <= MOST_SIDE and 1 <= height <= MOST_SIDE):
        raise _unreadable(field, f"is not of 1 to {MOST_SIDE} px a side")
    return left, top, width, height


def _inner(element: ElementTree.Element) -> Iterator[str]:
    for child in element:
        name = str(child.tag).removeprefix(_SPACE)
        if name in _DRAWING:
            yield f"<{name}{''.join(_attributes(child))}>"
            yield from _inner(child)
            yield f"</{name}>\n"


def _attributes(element: ElementTree.Element) -> Iterator[str]:
    said = dict(_styled(element.get("style", ""))) | dict(element.items())
    for name, value in said.items():
        if name in _SAYING and not _ELSEWHERE.search(value):
            yield f" {name}={quoteattr(value)}"


def _styled(style: str) -> Iterator[tuple[str, str]]:
    """What a style sets, of what an attribute can set as well."""
    for part in style.split(";"):
        name, colon, value = part.partition(":")
        if colon:
            yield name.strip(), value.strip()


def _unreadable(field: str, what: str) -> Fault:
    return Fault(Kind.UNREADABLE, f"the {field} {what}", field)
