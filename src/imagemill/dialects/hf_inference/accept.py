"""The header Accept: which format the picture has."""

import re

from imagemill.errors import invalid
from imagemill.generation import Format
from imagemill.images import encode

PREFERRED: tuple[Format, ...] = ("jpeg", "png", "webp")
MEDIA_TYPES = {format: encode.MEDIA_TYPES[format] for format in PREFERRED}
FORMATS = {media_type: format for format, media_type in MEDIA_TYPES.items()} | {"image/jpg": "jpeg"}

_OFFERED = f"accept one of {', '.join(MEDIA_TYPES.values())}"
_QUALITY = re.compile(r"(0(\.\d*)?|1(\.0*)?)")


def accepted(accept: str) -> Format:
    """The format of the header Accept: by quality, then by place in it, then jpeg before others."""
    ranges = [_range(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]
    offers = [
        (-quality, place, format)
        for media_type, format in FORMATS.items()
        for place, quality in [_match(ranges, media_type)]
        if quality
    ]
    if not offers:
        raise invalid("accept", f"nothing in {accept!r:.200} can be given; {_OFFERED}")
    return min(offers, key=lambda offer: offer[:2])[2]


def _range(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            if not _QUALITY.fullmatch(value.strip()):
                raise invalid("accept", f"quality {value!r:.80} is out of range; give 0 to 1")
            return media_type, float(value)
    return media_type, 1.0


def _match(ranges: list[tuple[str, float]], media_type: str) -> tuple[int, float]:
    """Place and quality of the range that names `media_type` most closely."""
    for wanted in (media_type, "image/*", "*/*"):
        for place, (name, quality) in enumerate(ranges):
            if name == wanted:
                return place, quality
    return 0, 0.0
