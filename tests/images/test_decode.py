"""What is read of pictures that strangers gave."""

import base64
import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from imagemill.errors import Fault, Kind
from imagemill.images.data_uris import _PIECE, as_data_uri, data_uri
from imagemill.images.decode import MAX_SCANS, read_alpha, read_image, read_mask

FORMATS = ("png", "jpeg", "webp", "avif", "tiff", "gif", "bmp")
RED, BLUE, CLEAR = (255, 0, 0), (0, 0, 255), (0, 0, 0, 0)


def make_picture(mode: str = "RGB", width: int = 32, height: int = 24) -> Image.Image:
    """Blue with a red square in the upper left corner."""
    picture = Image.new("RGB", (width, height), BLUE)
    picture.paste(RED, (0, 0, 8, 8))
    return picture.convert(mode)


def written(picture: Image.Image, format: str = "png", **options: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def opened(content: bytes) -> Image.Image:
    picture = Image.open(BytesIO(content))
    picture.load()
    return picture


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def make_png(width: int, height: int) -> bytes:
    """A tiny file that declares any size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def make_gif(frame_width: int, frame_height: int) -> bytes:
    """A tiny file whose first frame is larger than its screen."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0x80, 0, 0) + bytes(6)
    frame = (
        b"," + struct.pack("<HHHHB", 0, 0, frame_width, frame_height, 0) + b"\x02\x02\x44\x01\0;"
    )
    return screen + frame


def refused(content: bytes, read: Callable[[bytes, str], bytes] = read_image) -> str:
    with pytest.raises(Fault) as caught:
        read(content, "image")
    assert (caught.value.kind, caught.value.field) == (Kind.UNREADABLE, "image")
    return caught.value.message


def outcome(content: bytes) -> str | None:
    """The format of what was read, or the kind of the fault."""
    try:
        return opened(read_image(content, "image")).format
    except Fault as fault:
        return fault.kind


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_becomes_a_png(format: str) -> None:
    picture = opened(read_image(written(make_picture(), format), "image"))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (32, 24))
    assert np.abs(np.asarray(picture).astype(int) - np.asarray(make_picture())).mean() < 8


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_every_opaque_mode_becomes_rgb(mode: str) -> None:
    picture = make_picture(mode)
    read = opened(read_image(written(picture, "jpeg" if mode == "CMYK" else "png"), "image"))
    assert read.mode == "RGB"
    assert read.getpixel((30, 20)) == pytest.approx(
        picture.convert("RGB").getpixel((30, 20)), abs=8
    )


def test_transparency_is_kept() -> None:
    picture = make_picture("RGBA")
    picture.putpixel((0, 0), (1, 2, 3, 40))
    read = opened(read_image(written(picture), "image"))
    assert (read.mode, read.getpixel((0, 0))) == ("RGBA", (1, 2, 3, 40))


def test_a_palette_with_transparency_keeps_both() -> None:
    picture = make_picture("P")
    blue = picture.getpixel((30, 20))
    read = opened(read_image(written(picture, transparency=blue), "image"))
    assert read.mode == "RGBA"
    assert read.getpixel((0, 0)) == (*RED, 255)
    assert read.getpixel((30, 20)) == (*BLUE, 0)


def test_a_palette_with_an_alpha_for_each_colour_keeps_it() -> None:
    picture = make_picture("RGBA")
    picture.putpixel((0, 0), (*RED, 0))
    read = opened(read_image(written(picture.quantize(8)), "image"))
    assert (read.mode, read.getpixel((0, 0))[3]) == ("RGBA", 0)  # type: ignore[index]


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    grey = (np.arange(32 * 32).reshape(32, 32) * 64).astype(np.uint16)
    read = np.asarray(opened(read_image(written(Image.fromarray(grey)), "image")))
    assert read.shape == (32, 32, 3)
    assert np.array_equal(read[:, :, 0], grey // 257)


def test_sixteen_bits_keep_their_transparent_grey() -> None:
    grey = np.full((32, 32), 30_000, np.uint16)
    grey[0, 0] = 700
    read = opened(read_image(written(Image.fromarray(grey), transparency=700), "image"))
    assert read.getpixel((0, 0)) == (2, 2, 2, 0)
    assert read.getpixel((1, 1)) == (116, 116, 116, 255)


def test_of_an_animation_the_first_frame_is_read() -> None:
    frames = [Image.new("RGB", (32, 24), colour) for colour in (RED, BLUE)]
    content = written(frames[0], "gif", save_all=True, append_images=frames[1:])
    assert opened(read_image(content, "image")).getpixel((5, 5)) == RED


# Where the red corner of the picture must be stored, so that each orientation brings it back.
CORNERS = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}


@pytest.mark.parametrize("orientation", CORNERS)
@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "avif", "tiff"])
def test_a_turned_picture_is_set_upright(orientation: int, format: str) -> None:
    stored = Image.new("RGB", (64, 32), BLUE)
    right, low = CORNERS[orientation]
    stored.paste(RED, (right * 48, low * 16, right * 48 + 16, low * 16 + 16))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    read = opened(read_image(written(stored, format, exif=exif), "image"))
    assert read.size == ((64, 32) if orientation < 5 else (32, 64))
    assert read.getpixel((4, 4)) == pytest.approx(RED, abs=24)
    assert not read.getexif()


def test_broken_exif_is_passed_over() -> None:
    content = written(make_picture(), "jpeg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(20))
    assert opened(read_image(content, "image")).size == (32, 24)


def test_no_remark_leaves_so_that_the_same_picture_gives_the_same_bytes() -> None:
    remarked = read_image(written(make_picture(), icc_profile=b"a profile"), "image")
    assert opened(remarked).info == {}
    assert remarked == read_image(written(make_picture(), "bmp"), "image")


@pytest.mark.parametrize("read", [read_image, read_mask])
@pytest.mark.parametrize(
    ("width", "height"),
    [(50_000, 50_000), (8_193, 16), (16, 8_193), (15, 64), (64, 15), (65_537, 64), (0, 0)],
)
def test_a_size_out_of_bounds_is_refused_before_decoding(
    read: Callable[[bytes, str], bytes], width: int, height: int
) -> None:
    message = refused(make_png(width, height), read)
    if width:
        assert f"{width}x{height} pixels; 16 to 65536 a side and {2**28} in all" in message


@pytest.mark.parametrize("side", [17_000, 65_535])
def test_a_gif_whose_frame_outgrows_its_screen_is_refused(side: int) -> None:
    # Pillow takes the larger of both sizes, and raises by itself from 2**27 px on.
    assert "pixels" in refused(make_gif(side, side))


def test_a_bomb_of_webp_is_refused() -> None:
    canvas = b"VP8X" + struct.pack("<II", 10, 0) + b"\xfe\x3f\x00" * 2  # 16383 x 16383
    content = b"RIFF" + struct.pack("<I", len(canvas) + 4) + b"WEBP" + canvas
    refused(content)


def test_a_jpeg_of_countless_scans_is_refused() -> None:
    content = written(make_picture(), "jpeg", progressive=True)
    head, marker, rest = content.partition(b"\xff\xda")
    assert read_image(content, "image")
    message = refused(head + marker + rest[:-2] + (marker + rest[:10]) * MAX_SCANS)
    assert f"at most {MAX_SCANS} are read" in message


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(format: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    content = written(Image.fromarray(noise), format)
    message = refused(content[: int(len(content) * share)])
    assert "broken or truncated" in message
    assert format.upper() in message.upper()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"no picture at all", "text"),
        (b"<!DOCTYPE html><html><body>Please sign in</body></html>", "a web page (HTML)"),
        (b"\xef\xbb\xbf\n<HTML>", "a web page (HTML)"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"\0\0\0\x20ftypheic\0\0\0\0mif1heic", "a HEIC picture"),
        (b"\0\0\0\x20ftypmp42\0\0\0\0isommp42", "a video file"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
        (b"8BPS\0\1", "a Photoshop file"),
        (b"PK\3\4", "a ZIP archive"),
        (b"\x00\x01\x02\x03", "unknown data"),
    ],
)
def test_what_is_no_picture_is_told_by_its_name(content: bytes, told: str) -> None:
    message = refused(content)
    assert message.startswith(f"the image is {told}, ")
    ways_out = ("give PNG, JPEG, WebP, AVIF, TIFF, GIF or BMP", "as a PNG", "export it as JPEG")
    assert any(each in message for each in ways_out)


@given(st.sampled_from(FORMATS), st.data())
def test_damage_gives_a_picture_or_a_fault_and_nothing_else(
    format: str, data: st.DataObject
) -> None:
    content = bytearray(written(make_picture(), format))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert outcome(bytes(content)) in ("PNG", Kind.UNREADABLE)


def test_a_mask_is_grey() -> None:
    mask = Image.new("RGB", (32, 24), "black")
    mask.paste((255, 255, 255), (0, 0, 8, 8))
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        read = opened(read_mask(written(mask.convert(mode)), "mask"))
        assert (read.format, read.mode, read.size) == ("PNG", "L", (32, 24))
        assert (read.getpixel((2, 2)), read.getpixel((20, 20))) == (255, 0)


def test_what_is_transparent_in_a_mask_is_black() -> None:
    mask = Image.new("RGBA", (32, 24), (255, 255, 255, 0))
    mask.paste((255, 255, 255, 255), (0, 0, 8, 8))
    read = opened(read_mask(written(mask), "mask"))
    assert (read.getpixel((2, 2)), read.getpixel((20, 20))) == (255, 0)


@pytest.mark.parametrize(
    ("text", "content", "type"),
    [
        ("data:image/png;base64,/+8=", b"\xff\xef", "image/png"),
        ("data:image/png;base64,_-8=", b"\xff\xef", "image/png"),
        ("data:image/png;base64,/+8", b"\xff\xef", "image/png"),
        ("data:image/png;base64,%2F%2B8%3D", b"\xff\xef", "image/png"),
        ("DATA:Image/SVG+xml;charset=utf-8;BASE64,YQ==", b"a", "image/svg+xml"),
        ("data:;base64,YQ", b"a", "text/plain"),
        ("data:,", b"", "text/plain"),
        # What five dialects refused, and two.
        ("data:image/png;base64,/+\n8=\r\n", b"\xff\xef", "image/png"),
        ("data:image/png;base64, /+ 8 =", b"\xff\xef", "image/png"),
        ("data:image/png;base64,%2F%2B%0D%0A8%3D", b"\xff\xef", "image/png"),
        ("data:image/png;base64;charset=utf-8,YQ==", b"a", "image/png"),
        ("data:image/png;name=a b.png;base64,YQ", b"a", "image/png"),
        ("data:image;base64,YQ==", b"a", "text/plain"),
        ("\n data:image/png;BASE64,YQ==", b"a", "image/png"),
        ("data:base64,YQ==", b"YQ==", "text/plain"),
        ("data:text/plain;charset=utf-8,a%20b,%ff", b"a b,\xff", "text/plain"),
    ],
)
def test_a_data_uri_gives_content_and_type(text: str, content: bytes, type: str) -> None:
    assert data_uri(text, "image", 1000) == (content, type)


@given(st.binary(max_size=100))
def test_whatever_was_written_as_base64_is_read(content: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(content).decode()
        for payload in (text, text.rstrip("=")):
            assert data_uri(f"data:a/b;base64,{payload}", "image", 100) == (content, "a/b")


@pytest.mark.parametrize(
    "text",
    [
        *["", "data:image/png;base64", "http://host/data:,", "data:image/png;base64,Y\n"],
        *["data:image/png;base64,Y", "data:image/png;base64,YQ=", "data:image/png;base64,YQ==YQ=="],
        *["data:image/png;base64,é", "data:image/png;base64,%C3%A9"],
        *["data:text/plain,%zz", "data:text/plain,100%", "data:text/plain,é"],
    ],
)
def test_a_broken_data_uri_is_refused(text: str) -> None:
    with pytest.raises(Fault) as caught:
        data_uri(text, "mask", 1000)
    assert (caught.value.kind, caught.value.field) == (Kind.UNREADABLE, "mask")
    assert "data URI" in caught.value.message


def test_a_large_data_uri_is_refused() -> None:
    with pytest.raises(Fault, match="4 bytes; at most 3 are read") as caught:
        data_uri("data:,four", "image", 3)
    assert (caught.value.kind, caught.value.field) == (Kind.TOO_LARGE, "image")


def test_what_is_transparent_is_white_in_the_mask_that_is_read_of_it() -> None:
    picture = make_picture("RGBA")
    picture.putalpha(Image.new("L", picture.size, 255))
    picture.paste(CLEAR, (0, 0, 8, 8))
    picture.paste((0, 0, 0, 155), (8, 0, 16, 8))
    mask = opened(read_alpha(written(picture), "mask") or b"")
    assert (mask.mode, mask.size) == ("L", picture.size)
    assert [mask.getpixel(at) for at in ((0, 0), (8, 0), (16, 0))] == [255, 100, 0]


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_there_is_no_such_mask_where_nothing_is_transparent(mode: str) -> None:
    assert read_alpha(written(make_picture(mode)), "mask") is None


@pytest.mark.parametrize("shift", range(5))
def test_a_long_data_uri_is_what_a_short_one_is(shift: int) -> None:
    content = random.Random(shift).randbytes(2 * _PIECE + shift)
    plain = base64.b64encode(content).decode()
    for payload in (plain, plain.rstrip("="), quote(plain, safe=""), plain.replace("+", "%2b")):
        assert data_uri(f"data:a/b;base64,{payload}", "image", len(content)) == (content, "a/b")
    escaped = "x" * (_PIECE - shift) + "%41%42%7a"
    assert data_uri(f"data:,{escaped}", "image", _PIECE + 3)[0] == b"x" * (_PIECE - shift) + b"ABz"
    assert as_data_uri(content, "a/b") == f"data:a/b;base64,{plain}"


@pytest.mark.parametrize("payload", ["AA==" + "A" * _PIECE, "A" * (_PIECE - 4) + "AA==AAAA", "%"])
def test_a_long_data_uri_is_refused_as_a_short_one_is(payload: str) -> None:
    with pytest.raises(Fault, match="broken content"):
        data_uri(f"data:a/b;base64,{payload}", "image", 2 * _PIECE)


@pytest.mark.parametrize("escaped", ["data:,%s", "data:;base64,%s"])
def test_escapes_take_no_more_memory_than_the_text_has(escaped: str) -> None:
    text = escaped % ("%41" * 2**21)
    tracemalloc.start()
    data_uri(text, "image", len(text))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3 * len(text)


@pytest.mark.parametrize("form", ["data:,%s", "data:;base64,%s"])
def test_what_is_too_large_is_refused_before_it_is_read(form: str) -> None:
    text = form % ("%zz" * 2**21)  # which would be refused as broken, were it read
    with pytest.raises(Fault, match="at most 1000 are read"):
        data_uri(text, "image", 1000)
