"""Pictures whose remarks are too long or broken are pictures."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import pytest
from PIL import ExifTags, Image

from imagemill.errors import Fault, Kind
from imagemill.images.decode import read_image, texts_of
from imagemill.images.png_chunks import MAX_CHUNKS, MOST_TEXTS, pixels_alone

LONG = bytes(2**21)  # packed into some 2 KB
HEAD_END = 33  # of a PNG: where chunks may be put in
RED, BLUE = (255, 0, 0), (0, 0, 255)


def chunk(name: bytes, data: bytes, wrong: int = 0) -> bytes:
    checksum = zlib.crc32(name + data) ^ wrong
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def make_png(*chunks: bytes) -> bytes:
    """Blue, with a red upper half."""
    image, buffer = Image.new("RGB", (32, 24), BLUE), BytesIO()
    image.paste(RED, (0, 0, 32, 12))
    image.save(buffer, "png")
    content = buffer.getvalue()
    return content[:HEAD_END] + b"".join(chunks) + content[HEAD_END:]


def make_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif.tobytes()


REMARKS = {
    "profile of 2 MB": chunk(b"iCCP", b"a\0\0" + zlib.compress(LONG)),
    "packed text of 2 MB": chunk(b"zTXt", b"a\0\0" + zlib.compress(LONG)),
    "packed Unicode of 2 MB": chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(LONG)),
    "checksum of a text": chunk(b"tEXt", b"a\0b", wrong=1),
    "checksum of a profile": chunk(b"iCCP", b"a\0\0" + zlib.compress(b"b"), wrong=1),
    "checksum of a resolution": chunk(b"pHYs", bytes(9), wrong=1),
    "resolution cut short": chunk(b"pHYs", bytes(3)),
    "method of packing": chunk(b"zTXt", b"a\0\7nothing"),
    "text that is not packed": chunk(b"zTXt", b"a\0\0nothing"),
    "frames in no order": chunk(b"fcTL", bytes(26)) + chunk(b"fcTL", bytes(26)),
}
MANY = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20))) * 80


@pytest.mark.parametrize("remark", [*REMARKS.values(), MANY], ids=[*REMARKS, "texts of 80 MB"])
def test_a_picture_is_read_whatever_its_remarks_are(remark: bytes) -> None:
    """A whole PNG was "broken or truncated" for what is said beside it."""
    assert read_image(make_png(remark), "image") == read_image(make_png(), "image")


@pytest.mark.parametrize("remark", REMARKS.values(), ids=REMARKS.keys())
def test_texts_are_told_but_for_those_that_cannot_be_read(remark: bytes) -> None:
    kept = chunk(b"tEXt", b"parameters\0a cat")
    assert texts_of(make_png(remark, kept), "image")[0] == "a cat"


def test_a_text_of_a_megabyte_is_told_whole() -> None:
    long = chunk(b"zTXt", b"long\0\0" + zlib.compress(b"x" * 2**20))
    assert texts_of(make_png(long), "image")[1] == {"long": "x" * 2**20}


def test_texts_are_told_as_far_as_there_is_room_for_them() -> None:
    each = chunk(b"tEXt", b"a\0" + b"x" * (MOST_TEXTS // 3))
    last = chunk(b"tEXt", b"parameters\0" + b"y" * (MOST_TEXTS // 2))
    parameters, texts = texts_of(make_png(each, each, last), "image")
    assert (parameters, list(texts)) == ("", ["a"])


def raw_profile(exif: bytes) -> bytes:
    text = f"\nexif\n{len(exif):8}\n{exif.hex()}\n".encode()
    return chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))


def xmp(orientation: int) -> bytes:
    text = f'<x:xmpmeta tiff:Orientation="{orientation}"/>'.encode()
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + text)


@pytest.mark.parametrize(
    "turned",
    [chunk(b"eXIf", make_exif(3)[6:]), raw_profile(make_exif(3)), xmp(3)],
    ids=["eXIf", "ImageMagick", "XMP"],
)
def test_remarks_that_turn_a_picture_are_heard(turned: bytes) -> None:
    image = Image.open(BytesIO(read_image(make_png(turned), "image")))
    assert (image.getpixel((2, 2)), image.getpixel((2, 22))) == (BLUE, RED)


def test_a_picture_with_a_wrong_checksum_of_its_own_is_broken() -> None:
    content = bytearray(make_png())
    content[HEAD_END - 1] ^= 1
    with pytest.raises(Fault, match="broken or truncated PNG"):
        read_image(bytes(content), "image")


@pytest.mark.parametrize("make", [make_png, lambda: make_png()[:-20], lambda: make_png() + b"more"])
def test_a_file_of_pixels_alone_is_not_copied(make: Callable[[], bytes]) -> None:
    content = make()
    assert pixels_alone(content, "image") is content


def test_countless_chunks_are_refused() -> None:
    with pytest.raises(Fault, match=f"more than {MAX_CHUNKS} chunks") as caught:
        read_image(make_png(chunk(b"teXt", b"") * MAX_CHUNKS), "image")
    assert caught.value.kind is Kind.UNREADABLE
