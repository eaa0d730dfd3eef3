"""Styles as vectors: measured, written as codes, and brought upon other images."""

import numpy as np
import pytest
from numpy.typing import NDArray

from imagemill.conditions import style_code
from imagemill.errors import Fault
from imagemill.finishing import finish, medium_words
from imagemill.finishing.style_transfer import bring_to_style
from imagemill.finishing.style_vectors import (
    AXES,
    MEDIA,
    MEDIUM,
    distance,
    from_code,
    mean,
    measure,
)

Pixels = NDArray[np.uint8]


def scene(
    sky: tuple[int, int, int], thing: tuple[int, int, int], noise: int = 0, side: int = 128
) -> Pixels:
    """A disc before a slope."""
    down, right = np.mgrid[:side, :side] / side
    slope = (0.7 + 0.3 * down)[..., None] * np.array(sky)
    disc = ((down - 0.5) ** 2 + (right - 0.5) ** 2 < 0.09)[..., None]
    grain = np.random.default_rng(1).integers(-noise, noise + 1, (side, side, 1))
    return (np.where(disc, thing, slope) + grain).clip(0, 255).astype(np.uint8)


BLUE, WARM = scene((120, 160, 220), (230, 230, 80)), scene((200, 120, 60), (120, 40, 30), 20)


def level(pixels: Pixels, name: str) -> float:
    return measure(pixels)[[axis.name for axis in AXES].index(name)]


@pytest.mark.parametrize(
    ("name", "more", "less"),
    [
        ("lightness", scene((240, 240, 240), (200, 200, 200)), scene((60, 60, 60), (40, 40, 40))),
        ("contrast", scene((230, 230, 230), (10, 10, 10)), scene((130, 130, 130), (120, 120, 120))),
        ("saturation", scene((255, 0, 0), (0, 0, 255)), scene((130, 120, 120), (120, 120, 130))),
        ("warmth", scene((230, 180, 60), (220, 160, 40)), scene((60, 100, 230), (40, 80, 220))),
        ("tint", scene((230, 60, 160), (200, 40, 140)), scene((60, 200, 60), (40, 180, 40))),
        ("detail", scene((150, 150, 150), (90, 90, 90), 40), scene((150, 150, 150), (90, 90, 90))),
    ],
)
def test_each_level_says_what_it_is_called(name: str, more: Pixels, less: Pixels) -> None:
    assert level(more, name) > level(less, name) + 1


def test_lines_are_what_is_darker_than_its_surroundings() -> None:
    drawn = np.full((128, 128, 3), 230, np.uint8)
    before = level(drawn, "lines")
    drawn[::16] = 20
    assert level(drawn, "lines") > before + 4


def test_a_style_is_the_same_in_every_size() -> None:
    small, large = (scene((120, 160, 220), (230, 230, 80), side=side) for side in (256, 512))
    assert np.abs(np.subtract(measure(small), measure(large)))[:MEDIUM].max() < 0.5


def test_a_code_is_the_rounded_vector_and_nothing_else() -> None:
    digits = style_code(measure(WARM))
    assert len(digits) == 8
    assert style_code(from_code(digits)) == digits
    assert distance(from_code(digits), measure(WARM)) < 0.5
    assert from_code("0F3a0000") == (0, 15, 3, 10, 0, 0, 0, 0)


@pytest.mark.parametrize("wrong", ["", "1234567", "123456789", "12345G78", "0x123456", "-1234567"])
def test_what_is_no_code_is_refused_with_the_way_out(wrong: str) -> None:
    with pytest.raises(Fault, match="eight hexadecimal digits") as raised:
        from_code(wrong)
    assert raised.value.field == "style_codes"


def test_several_styles_are_their_mean_and_the_medium_of_most() -> None:
    both = mean([from_code("04400002"), from_code("08800005"), from_code("00000005")])
    assert both == (0, 4, 4, 0, 0, 0, 0, 5)


def test_a_medium_is_told_to_the_model_unless_it_is_open() -> None:
    words = [medium_words(from_code(f"0000000{digit:x}")) for digit in range(16)]
    assert words == [*MEDIA.values(), *[""] * (16 - len(MEDIA))]
    assert medium_words(None) == ""


def test_an_image_comes_near_the_style_of_another_and_of_no_third() -> None:
    wanted, other = measure(WARM), from_code("fa2228ff")
    moved = measure(bring_to_style(BLUE, wanted))
    before = distance(measure(BLUE)[:MEDIUM] + wanted[MEDIUM:], wanted)
    assert distance(moved[:MEDIUM] + wanted[MEDIUM:], wanted) < before / 2
    assert distance(moved, other) > distance(moved, wanted) + 1


def test_what_an_image_shows_stays_where_it_is() -> None:
    moved = bring_to_style(BLUE, measure(WARM)).astype(float).mean(2)
    disc = (np.indices((128, 128)) / 128 - 0.5).__pow__(2).sum(0) < 0.09
    inside, outside = moved[disc].mean(), moved[~disc].mean()
    assert abs(inside - outside) > 10, "the disc is still told from what lies behind it"


def test_grey_stays_grey_and_the_same_gives_the_same() -> None:
    grey = bring_to_style(BLUE, from_code("8408800f"))
    assert np.ptp(grey, axis=2).max() <= 2
    assert np.array_equal(grey, bring_to_style(BLUE, from_code("8408800f")))


def test_finishing_without_a_wish_gives_the_very_image() -> None:
    assert finish(BLUE, None, (), None, filters=True) is BLUE
    assert finish(BLUE, None, (), measure(WARM), filters=False) is not BLUE
