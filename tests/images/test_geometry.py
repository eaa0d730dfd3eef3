"""Images scaled, fitted and continued: what lies where, and in which colour."""

import numpy as np
import pytest
from PIL import Image

from imagemill.images.geometry import (
    Collage,
    Size,
    contained,
    continued,
    covering,
    flattened,
    inside,
    margins,
    outpainted,
    scaled,
    surrounded,
)

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def halves(width: int = 96, height: int = 64) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, width // 2, height))
    return image


@pytest.mark.parametrize(
    ("size", "room", "expected"),
    [
        ((96, 64), (192, 64), (96, 64)),
        ((96, 64), (48, 64), (48, 32)),
        ((64, 64), (256, 512), (256, 256)),
        ((8192, 16), (64, 64), (64, 1)),
    ],
)
def test_what_lies_inside_keeps_its_shape(size: Size, room: Size, expected: Size) -> None:
    assert inside(size, room) == expected


def test_an_odd_margin_has_its_last_pixel_below_and_on_the_right() -> None:
    assert margins(np.zeros((2, 3), np.uint8), (6, 5)) == ((1, 2), (1, 2))


def test_edges_go_on_as_they_end() -> None:
    pixels = np.asarray(halves(2, 1))
    assert continued(pixels, (6, 3))[:, :3].tolist() == [[[*RED]] * 3] * 3
    assert continued(pixels, (6, 3))[:, 3:].tolist() == [[[*BLUE]] * 3] * 3


def test_around_a_mask_is_one_value() -> None:
    mask = surrounded(np.full((1, 1), 7, np.uint8), (3, 3), 0)
    assert mask.tolist() == [[0, 0, 0], [0, 7, 0], [0, 0, 0]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_what_is_contained_is_whole_in_any_mode(mode: str) -> None:
    image = contained(halves().convert(mode), (64, 64))
    assert (image.size, image.mode) == ((64, 64), mode)
    shown = image.convert("L")
    assert shown.getpixel((0, 0)) == shown.getpixel((0, 63))
    assert shown.getpixel((0, 0)) != shown.getpixel((63, 0))


def test_a_line_of_an_image_is_contained_too() -> None:
    """Its shorter side was scaled to nothing, which has no edge to go on with."""
    assert contained(halves(8192, 16), (64, 64)).size == (64, 64)


def test_outpainting_keeps_the_middle_and_masks_the_rest() -> None:
    image, mask = outpainted(halves(64, 64), (192, 64))
    assert (image.size, mask.size) == ((192, 64), (192, 64))
    assert (np.asarray(mask)[:, 64:128] == 0).all()
    assert (np.asarray(mask)[:, [*range(64), *range(128, 192)]] == 255).all()
    assert (image.getpixel((0, 0)), image.getpixel((191, 0))) == (RED, BLUE)


def test_what_lies_under_transparency_is_white_when_outpainted_too() -> None:
    """It showed its hidden colour in the middle, and all around."""
    hidden = Image.new("RGBA", (64, 64), (255, 0, 255, 0))
    image, _ = outpainted(hidden, (192, 64))
    assert (image.getpixel((96, 32)), image.getpixel((0, 0))) == (WHITE, WHITE)


def test_what_covers_loses_its_sides() -> None:
    image = covering(halves(128, 64), (64, 64))
    assert (image.size, image.getpixel((0, 0)), image.getpixel((63, 0))) == ((64, 64), RED, BLUE)


def test_pixels_of_the_size_are_not_copied() -> None:
    pixels = np.asarray(halves())
    assert scaled(pixels, (96, 64)) is pixels
    assert scaled(pixels, (48, 32)).shape == (32, 48, 3)


def test_what_is_transparent_lies_on_white() -> None:
    assert flattened(Image.new("RGBA", (16, 16), (0, 0, 0, 0))).getpixel((0, 0)) == WHITE
    assert flattened(Image.new("L", (16, 16), 255)).mode == "RGB"


def test_a_collage_fills_its_rows() -> None:
    collage = Collage(3, (64, 64))
    for colour in (RED, BLUE, RED):
        collage.add(Image.new("RGB", (32, 16), colour))
    corners = [collage.whole.getpixel(at) for at in ((0, 0), (63, 0), (0, 63), (63, 63))]
    assert corners == [RED, BLUE, RED, RED]
