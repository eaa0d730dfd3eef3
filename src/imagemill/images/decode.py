"""Images from files: strangers' files as pixels, and our own files' sizes and texts.

What a stranger gave is read whatever its declared type says, and leaves as a plain PNG or as pixels
without metadata, so that nothing after this has to fear a file.
"""

import json
import math
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from xml.sax.saxutils import unescape

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imagemill.errors import Fault, Kind, invalid
from imagemill.images.avif_boxes import NotPlain, check_frames
from imagemill.images.encode import SVG_HEAD, encode_png
from imagemill.images.kinds import kind_of, unread
from imagemill.images.png_chunks import pixels_alone, with_texts
from imagemill.images.provenance import COMMENT, KEY, PARAMETERS

TILE_WIDTH, TILE_LENGTH = 322, 323  # tags of TIFF

MAX_PIXELS = 2**24  # of what is handed on; larger pictures are scaled down as they are read
MIN_SIDE, MAX_SIDE = 16, 8192  # px, of what is handed on
MOST_PIXELS = 2**28  # of a file, which covers what phones make: 12 to 200 megapixels
MOST_MEMORY = 3 * 2**27  # bytes that reading one image takes
MAX_SCANS = 100  # of a progressive JPEG: a few bytes each, and each a pass over every pixel
FACTORS = (1, 2, 4, 8)  # by which a picture may be scaled down
BAND = 64  # rows of the scaled picture that are made at a time

# Opened by class rather than by Image.open, which refuses large sizes without saying them.
_READERS: Mapping[str, Callable[[BytesIO], ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "WebP": WebPImageFile,
    "AVIF": AvifImageFile,
    "TIFF": TiffImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
}
# Bytes that each pixel takes beside Pillow's own while it is decoded, as measured.
_BESIDE: Mapping[str, int] = {"WebP": 12, "AVIF": 10, "TIFF": 8}
_BYTES: Mapping[str, int] = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}  # by mode; else 4
_UNREAD_MODES = frozenset({"I", "F", "LAB"})  # of TIFF: 32 bits, and colours by another system

# What each EXIF orientation but 1 asks for.
_TURNS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# One image at a time: Python filters warnings for the whole process, not for a thread, and
# images of strangers must not fill the memory together.
_DECODING = threading.Lock()


def open_image(content: bytes, field: str) -> Image.Image:
    """The pixels, RGB, or RGBA where there is transparency, upright; of a GIF the first frame."""
    with _decoded(content, field) as image:
        return _plain(image)


def open_mask(content: bytes, field: str) -> Image.Image:
    """8-bit grey, upright; what is transparent becomes black, which masks leave alone."""
    with _decoded(content, field) as image:
        return _grey(image)


def read_image(content: bytes, field: str) -> bytes:
    """What `open_image` gives, as a PNG."""
    with _decoded(content, field) as image:
        return encode_png(_plain(image))


def read_mask(content: bytes, field: str) -> bytes:
    """What `open_mask` gives, as a PNG."""
    with _decoded(content, field) as image:
        return encode_png(_grey(image))


def read_alpha(content: bytes, field: str) -> bytes | None:
    """A mask, a PNG in 8-bit grey, white where an image is transparent; None where it is not."""
    with _decoded(content, field) as image:
        if not image.has_transparency_data:
            return None
        alpha = image.convert("RGBA").getchannel("A")
        clear = alpha.point([255 - value for value in range(256)])
        return encode_png(clear) if clear.getbbox() is not None else None


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height in px of a file of ours."""
    if head := SVG_HEAD.match(content):
        return int(head[1]), int(head[2])
    return open_file(content).size


def open_file(content: bytes) -> Image.Image:
    """A PNG, JPEG or WebP of ours, not yet decoded; raises a Fault where it is none."""
    try:
        return Image.open(BytesIO(content), formats=["PNG", "JPEG", "WEBP"])
    except UnidentifiedImageError:
        raise invalid("image", "the file is no PNG, JPEG or WebP image") from None


def open_png(content: bytes, field: str) -> Image.Image:
    """The pixels of a PNG that was read before; raises a Fault where it is none."""
    try:
        image = Image.open(BytesIO(content), formats=["PNG"])
        image.load()
    except (OSError, SyntaxError, ValueError):  # what Pillow raises for broken files
        raise Fault(Kind.UNREADABLE, f"the {field} is no whole PNG file", field) from None
    return image


def provenance_of(content: bytes) -> dict[str, str | int | float]:
    """What was written into a file; empty where it was not ours."""
    try:
        facts = json.loads(_text_of(content) or "{}")
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def texts_of(content: bytes, field: str) -> tuple[str, dict[str, str]]:
    """The parameters in a file, and its other texts; raises a Fault for what is no image."""
    open_image(content, field)
    try:
        whole = with_texts(content, field) if kind_of(content) == "PNG" else content
        with Image.open(BytesIO(whole), formats=["PNG", "JPEG", "WEBP"]) as image:
            image.load()  # texts may stand behind the pixels
            texts = {
                str(name): value for name, value in image.info.items() if isinstance(value, str)
            }
            parameters = texts.pop(PARAMETERS, None) or _comment(image)
    except Exception:  # decoders raise whatever they stumble over
        message = "the image is no PNG, JPEG or WebP that can be read; send one in base64"
        raise Fault(Kind.UNREADABLE, message, field) from None
    return parameters, texts


def _text_of(content: bytes) -> str | None:
    if head := SVG_HEAD.match(content):
        return unescape(head[3].decode("utf-8", "replace")) if head[3] else None
    image = open_file(content)
    return image.info.get(KEY) if image.format == "PNG" else _description(image)


def _description(image: Image.Image) -> str | None:
    # UTF-8, which Pillow reads as Latin-1.
    text = image.getexif().get(ExifTags.Base.ImageDescription)
    return text.encode("latin-1").decode("utf-8", "replace") if isinstance(text, str) else None


def parameters_of(content: bytes) -> str:
    """What a PNG, JPEG or WebP of ours says in the lines of A1111; empty where it says nothing."""
    image = open_file(content)
    return str(image.info.get(PARAMETERS) or _comment(image))


def _comment(image: Image.Image) -> str:
    comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
    if not isinstance(comment, bytes) or not comment.startswith(COMMENT):
        return ""
    return comment.removeprefix(COMMENT).decode("utf-16-be", "replace")


def _plain(image: Image.Image) -> Image.Image:
    plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
    plain.info.clear()
    return plain


def _grey(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        grey = image.convert("L")
    else:
        black = Image.new("RGBA", image.size, "black")
        grey = Image.alpha_composite(black, image.convert("RGBA")).convert("L")
    grey.info.clear()
    return grey


@contextmanager
def _decoded(content: bytes, field: str) -> Iterator[Image.Image]:
    """The image, upright, in 8 bits and scaled down to MAX_PIXELS; a Fault where that cannot be
    had.
    """
    kind = kind_of(content)
    if kind is None:
        raise _unreadable(field, f"is {unread(content)}")
    with _DECODING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            whole = pixels_alone(content, field) if kind == "PNG" else content
            with _READERS[kind](BytesIO(whole)) as image:
                factor = _factor(field, image.size)
                _check_costs(field, kind, image, whole, factor)
                plain, turn = _scaled(image, factor), _turn(image)
                yield plain if turn is None else plain.transpose(turn)
        except (Fault, MemoryError):
            raise
        except Image.DecompressionBombError:
            what = f"has far more than {MAX_PIXELS} pixels; scale it down"
            raise _unreadable(field, what) from None
        except Exception:  # decoders raise whatever they stumble over
            what = f"is a broken or truncated {kind} file; send it again, whole"
            raise _unreadable(field, what) from None


def _factor(field: str, size: tuple[int, int]) -> int:
    """By how much an image is scaled down; raises a Fault for one that is too large or small."""
    width, height = size
    fitting = (
        factor
        for factor in FACTORS
        if math.ceil(width / factor) * math.ceil(height / factor) <= MAX_PIXELS
        and math.ceil(max(size) / factor) <= MAX_SIDE
    )
    factor = next(fitting, None) if width * height <= MOST_PIXELS else None
    if factor is not None and math.ceil(min(size) / factor) >= MIN_SIDE:
        return factor
    raise _unreadable(
        field,
        f"has {width}x{height} pixels; {MIN_SIDE} to {MAX_SIDE * FACTORS[-1]} a side and "
        f"{MOST_PIXELS} in all are read, scaled down to {MAX_SIDE} a side and {MAX_PIXELS} in all; "
        "scale it",
    )


def _check_costs(field: str, kind: str, image: ImageFile, content: bytes, factor: int) -> None:
    """Raises a Fault for a file that takes too much memory or time, before it is decoded."""
    if image.mode in _UNREAD_MODES:
        what = f"is a {kind} of a kind that is not read ({image.mode}); save it in RGB, 8 bits each"
        raise _unreadable(field, what)
    if kind == "AVIF":
        _check_frames(field, content)
    pixels, size = image.width * image.height, _BYTES.get(image.mode, 4)
    if isinstance(image, JpegImageFile):
        _check_scans(field, content, pixels)
        memory = pixels * size // factor**2 + pixels * _coefficients(image, content)
    elif isinstance(image, TiffImageFile):
        tile = image.tag_v2.get(TILE_WIDTH, 1) * image.tag_v2.get(TILE_LENGTH, 1)
        memory = max(pixels, tile) * (size + _BESIDE[kind])
    else:
        memory = pixels * (size + _BESIDE.get(kind, 0))
    if memory > MOST_MEMORY:
        what = f"has {image.width}x{image.height} pixels, and reading it as {kind} takes {memory}"
        way_out = "scale it down, or send it as a JPEG that is not progressive"
        raise _unreadable(field, f"{what} bytes of memory; at most {MOST_MEMORY} are; {way_out}")


def _check_frames(field: str, content: bytes) -> None:
    try:
        check_frames(content)
    except NotPlain:
        what = "is an AVIF of a kind that is not read, as of tiles or moving pictures, or too large"
        raise _unreadable(field, f"{what}; save it anew as one still picture") from None


def _check_scans(field: str, content: bytes, pixels: int) -> None:
    # Within the image's data the marker cannot occur: there, 0xFF is always followed by 0x00.
    scans = content.count(b"\xff\xda")
    most = min(MAX_SCANS, MAX_SCANS * MAX_PIXELS // max(1, pixels))
    if scans > most:
        what = f"is a JPEG of {scans} scans; at most {most} are read; save it anew"
        raise _unreadable(field, what)


def _coefficients(image: JpegImageFile, content: bytes) -> float:
    """Bytes for each pixel where a JPEG comes in several scans: none is whole before the last, so
    that they are all kept.
    """
    assert image.fp is not None, "it is open"
    first = content.rfind(b"\xff\xda", 0, image.fp.tell())
    if not image.info.get("progressive") and content[first + 4] == len(image.layer):
        return 0
    shares = [across * down for _, across, down, _ in image.layer]
    return 2 * sum(shares) / max(shares)


def _scaled(image: ImageFile, factor: int) -> Image.Image:
    """The pixels in 8 bits, scaled down by a factor: a JPEG as it is decoded, else band by band."""
    if factor > 1 and isinstance(image, JpegImageFile):
        image.draft(None, (image.width // factor, image.height // factor))
        factor = 1
    image.load()
    if factor == 1:
        return _eight_bits(image)
    mode = "RGBA" if image.has_transparency_data else "RGB"
    size = math.ceil(image.width / factor), math.ceil(image.height / factor)
    scaled = Image.new(mode, size)
    for top in range(0, size[1], BAND):
        rows = top * factor, min((top + BAND) * factor, image.height)
        band = image.crop((0, rows[0], image.width, rows[1]))
        scaled.paste(_eight_bits(band).convert(mode).reduce(factor), (0, top))
    return scaled


def _eight_bits(image: Image.Image) -> Image.Image:
    """The same in 8 bits a channel: Pillow would clip 16-bit grey where it should scale it."""
    if not image.mode.startswith("I;16"):
        return image
    pixels = np.asarray(image)
    grey = Image.fromarray((pixels // 257).astype(np.uint8))
    if "transparency" in image.info:
        opaque = pixels != image.info["transparency"]
        grey.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
    return grey


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How the image has to be turned to stand upright."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # an image is not refused for broken remarks about it
        return None


def _unreadable(field: str, what: str) -> Fault:
    return Fault(Kind.UNREADABLE, f"the {field} {what}", field)
