"""Pictures as cameras and scanners make them: large, of many kinds; and what passes for one."""

import base64
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from imagemill.errors import Fault, Kind
from imagemill.images.avif_boxes import Bits, NotPlain, check_frames
from imagemill.images.decode import MAX_SCANS, MOST_MEMORY, open_image, open_mask, read_alpha

RED, BLUE, WIDE = (255, 0, 0), (0, 0, 255), (8200, 64)  # px: one side is longer than is handed on


def written(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def halves(mode: str = "RGB", size: tuple[int, int] = WIDE) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def refused(content: bytes) -> str:
    with pytest.raises(Fault) as caught:
        open_image(content, "image")
    assert (caught.value.kind, caught.value.field) == (Kind.UNREADABLE, "image")
    return caught.value.message


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "avif", "tiff", "bmp", "gif"])
def test_a_large_picture_is_scaled_down_as_it_is_read(format: str) -> None:
    """Photos of 24 megapixels were refused, as every phone makes them."""
    size = (8200, 64) if format != "webp" else (4112, 4096)
    options = {"lossless": True, "quality": 0, "method": 0} if format == "webp" else {}
    image = open_image(written(halves(size=size), format, **options), "image")
    assert (image.mode, image.size) == ("RGB", (size[0] // 2, size[1] // 2))
    ends = [image.getpixel((8, 8)), image.getpixel((image.width - 8, image.height - 8))]
    assert ends == [pytest.approx(RED, abs=8), pytest.approx(BLUE, abs=8)]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "LA", "RGBA"])
def test_every_mode_is_scaled_by_its_colours(mode: str) -> None:
    """Of a palette the numbers were to be mixed, which are no colours."""
    large = halves(mode)
    image = open_image(written(large, "tiff" if mode == "CMYK" else "png"), "image")
    small = large.convert("RGBA" if "A" in mode else "RGB").resize(image.size, Image.Resampling.BOX)
    assert image.mode == small.mode
    assert np.abs(np.asarray(image).astype(int) - np.asarray(small)).max() <= 1


def test_sixteen_bits_are_scaled_too() -> None:
    grey = Image.fromarray(np.full(WIDE[::-1], 0x8080, np.uint16))
    assert open_image(written(grey, "png"), "image").getpixel((9, 9)) == (128, 128, 128)


def test_transparency_is_scaled_with_its_picture() -> None:
    image = halves("RGBA")
    image.paste((0, 255, 0, 0), (0, 0, 100, 64))
    content = written(image, "png")
    mask = Image.open(BytesIO(read_alpha(content, "mask") or b""))
    assert mask.size == open_mask(content, "mask").size == (4100, 32)
    assert (mask.getpixel((10, 10)), mask.getpixel((90, 10))) == (255, 0)


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff"])
def test_a_large_picture_stands_upright(format: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image = open_image(written(halves(), format, exif=exif), "image")
    assert image.size == (32, 4100)
    assert image.getpixel((8, 8)) == pytest.approx(RED, abs=8)


MEASURE = """
import resource, sys
from imagemill.images.decode import open_image
content = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
image = open_image(content, "image")
taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(*image.size, taken)
"""


def test_a_photo_of_108_megapixels_takes_less_memory_than_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpeg"
    Image.new("L", (12_000, 9_000), 90).save(path, "jpeg")
    command = [sys.executable, "-c", MEASURE, str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    width, height, taken = map(int, output.split())
    assert (width, height) == (3000, 2250)
    assert taken * (1 if sys.platform == "darwin" else 1024) < 12_000 * 9_000


def as_large(content: bytes, width: int, height: int) -> bytes:
    """A JPEG that says another size."""
    at = next(
        content.index(b"\xff" + bytes([n])) for n in (0xC0, 0xC2) if b"\xff" + bytes([n]) in content
    )
    return content[: at + 5] + struct.pack(">HH", height, width) + content[at + 9 :]


def test_a_progressive_jpeg_whose_waves_fill_the_memory_is_refused() -> None:
    """All of its waves are kept until the last scan: 6 bytes a pixel where colour is not halved."""
    content = written(halves(size=(64, 64)), "jpeg", progressive=True, subsampling="4:4:4")
    assert f"at most {MOST_MEMORY} are" in refused(as_large(content, 12_000, 9_000))


def test_the_larger_a_jpeg_is_the_fewer_scans_it_may_have() -> None:
    content = written(halves(size=(64, 64)), "jpeg")
    head, marker, rest = content.partition(b"\xff\xda")
    many = as_large(head + marker + rest[:-2] + (marker + rest[:10]) * 50, 12_000, 9_000)
    assert f"at most {MAX_SCANS * 2**24 // 108_000_000} are read" in refused(many)


def test_the_first_page_is_read() -> None:
    pages = [Image.new("RGB", (32, 24), colour) for colour in (RED, BLUE)]
    content = written(pages[0], "tiff", save_all=True, append_images=pages[1:])
    assert open_image(content, "image").getpixel((5, 5)) == RED


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "jpeg", "packbits"])
def test_tiffs_are_read_however_they_are_packed(compression: str) -> None:
    image = open_image(written(halves(size=(96, 64)), "tiff", compression=compression), "image")
    assert image.getpixel((5, 5)) == pytest.approx(RED, abs=8)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_what_has_32_bits_a_pixel_is_told_how_to_be_saved(mode: str) -> None:
    message = refused(written(Image.new(mode, (32, 24)), "tiff"))
    assert f"({mode}); save it in RGB, 8 bits each" in message


def test_a_tiff_of_one_enormous_tile_is_refused() -> None:
    tags = [
        (256, 64), (257, 64), (258, 8), (259, 8), (262, 1), (277, 1), (322, 60_000), (323, 60_000),
        (324, 8), (325, 4),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = struct.pack("<2sHI", b"II", 42, 8)
    content = head + struct.pack("<H", len(tags)) + entries + bytes(4)
    assert f"at most {MOST_MEMORY} are" in refused(content)


# An AVIF of 8193x4097 px, all of one grey, packed once more: writing one takes seconds.
GREY = (
    b"c-muNV30{GsVqn=%S>Yc0uY^>nP!-qnF!*)%uOvxWPkw0jFg-rD4U@mGr5ET4e%9YmgIt2j6f`xnUkLk;<$kLj1W;q"
    b"UIqpxkii<6nR#h&wNgM%Dif5KSY}}8oS%~qwkspEpr`;yduA3S=L2bx%;JJnh;<4;wE~O~dn+=*nmK?3Phy#&bEAL^"
    b"NI*C_Kc^@!Ii~_>E-wRH15ijjvmh7dBcQWb7@3+`fNsjmO-"
    b"U>fV&LMIF;`${VD@1#k!moy!XkS9tLXiII{z3<&Y#law-=X94)9xDUsgAB^O-"
    b"+4G+K77uUuA~@8HyNVnefs@eS5lXJ!N`I!>ORKkN1`#)3U<rsq$&Wc?4XKGWwq^X>N;PuOl$3j6&(X1}7-"
    b"JJA1}^NaaRZzL?<O>`=Yo_Td^=82=OHB8%1IW~}~EdZ}Jmj>%!n#F;uCRHA1Fj}|z`WnebhJYW=g32{tmZYa9Ua6b8"
    b"ui3wkPcTr{=3&|D{t(`s6+isQaY)W;^Yj0mMHnUWtZKJycIlWbz`1tGpMw7~?fiq?Jn9DE(e%R0X}sq(R1BL1G~V1T"
    b"cbLq$aq2`505hXoKL"
)


def test_an_avif_that_unfolds_to_more_than_it_says_is_refused() -> None:
    """300 MB came of two kilobytes that called themselves 64 px."""
    content = zlib.decompress(base64.b85decode(GREY))
    place = content.index(b"ispe") + 8
    assert struct.unpack(">II", content[place : place + 8]) == (8193, 4097)
    bomb = content[:place] + struct.pack(">II", 64, 64) + content[place + 8 :]
    assert "a kind that is not read" in refused(bomb)


def test_a_moving_avif_is_told_how_to_be_saved() -> None:
    pages = [Image.new("RGB", (32, 24), colour) for colour in (RED, BLUE)]
    moving = written(pages[0], "avif", save_all=True, append_images=pages[1:])
    assert "one still picture" in refused(moving)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_avif_of_one_frame_is_plain(mode: str) -> None:
    check_frames(written(Image.new(mode, (300, 40)), "avif"))


def test_bits_end_where_their_bytes_do() -> None:
    bits = Bits(b"\xa5\x0f")
    assert [bits.take(count) for count in (4, 0, 7, 5)] == [10, 0, 40, 15]
    with pytest.raises(NotPlain):
        bits.take(1)
