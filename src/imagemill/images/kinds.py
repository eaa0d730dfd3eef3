"""Kinds of files, told by how they begin: whatever their names and declared types say."""

import re
from collections.abc import Mapping

READ_KINDS = ("PNG", "JPEG", "WebP", "AVIF", "TIFF", "GIF", "BMP")
READ = f"{', '.join(READ_KINDS[:-1])} or {READ_KINDS[-1]}"
SEARCHED = 1024  # bytes, of which the first tell the kind

_BEGINNINGS: Mapping[str, bytes] = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WebP": rb"RIFF....WEBP",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",  # with the length of its header
    # As HEIC, a box of MPEG-4; what it is compatible with may stand behind its own brand.
    "AVIF": rb"....ftyp(?:avi[fs]|(?:mi[af]\w|msf1).{4}(?:.{4}){0,12}?avi[fs])",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
}

# What else people send for pictures, in the order in which it is looked for, and the way out.
_RENDER = "render it as a PNG, and give that"
_OTHERS: tuple[tuple[str, bytes, str], ...] = (
    (
        "a HEIC picture",
        rb"....ftyp(?:he[iv]\w|mi[af]\w|msf1)",
        "export it as JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible)",
    ),
    ("a JPEG XL picture", rb"\xff\x0a(?=.{30})|\0\0\0\x0cJXL ", ""),
    ("a JPEG 2000 picture", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", ""),
    ("a video file", rb"....ftyp|\x1aE\xdf\xa3", ""),
    ("a PDF document", rb"%PDF-", _RENDER),
    ("a PostScript document", rb"%!PS", _RENDER),
    ("a Photoshop file", rb"8BPS\0", ""),
    ("an icon (ICO)", rb"\0\0\x01\0", ""),
    ("a ZIP archive", rb"PK\x03\x04", ""),
    ("a gzip archive", rb"\x1f\x8b\x08", ""),
    (
        "an SVG drawing",
        rb"(?:\xef\xbb\xbf)?\s*<(?i:svg\b|(?:\?xml|!--|!doctype svg).*<svg)",
        _RENDER,
    ),
)
_TEXTS: tuple[tuple[str, bytes], ...] = (
    ("a web page (HTML)", rb"(?i).*(?:<!doctype html|<html|<head)"),
    ("text", rb"[\t\r\n -~]+\Z"),
    ("empty", rb"\Z"),
)


def kind_of(content: bytes) -> str | None:
    """Which of READ_KINDS a file is; None where it is none of them."""
    return next((kind for kind, how in _BEGINNINGS.items() if _begins(content, how)), None)


def is_file(content: bytes) -> bool:
    """Whether it begins as a file does, of a kind that is read or of another; no text does."""
    return kind_of(content) is not None or any(_begins(content, how) for _, how, _ in _OTHERS)


def unread(content: bytes) -> str:
    """What a file is that is not read, and the way out."""
    for name, how, way_out in _OTHERS:
        if _begins(content, how):
            return f"{name}, which is not read; {way_out or f'give {READ}'}"
    name = next((name for name, how in _TEXTS if _begins(content, how)), "unknown data")
    return f"{name}, no picture that is read; give {READ}"


def _begins(content: bytes, how: bytes) -> bool:
    return re.match(how, content[:SEARCHED], re.DOTALL) is not None
