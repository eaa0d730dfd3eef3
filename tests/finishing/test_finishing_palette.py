"""Palettes: a picture comes closer to the colours asked for, and shows what it showed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from imagemill.conditions import Swatch
from imagemill.finishing import finish
from imagemill.finishing.clusters import clusters
from imagemill.finishing.colour import to_oklab, to_srgb
from tests.finishing.test_finishing import (
    BLACK,
    GREEN,
    ORANGE,
    YELLOW,
    Pixels,
    alike,
    contours,
    draw,
)

WHITE = (250, 250, 250)
TWO = (Swatch(20, 30, 90), Swatch(230, 180, 60))
FOUR = (Swatch(107, 45, 30), Swatch(220, 90, 40), Swatch(250, 160, 60), Swatch(255, 220, 150))
PASTELS = (
    Swatch(255, 200, 210),
    Swatch(200, 220, 255),
    Swatch(210, 255, 210),
    Swatch(255, 250, 200),
    Swatch(230, 210, 250),
)
MANY = tuple(Swatch(*np.random.default_rng(i).integers(0, 256, 3).tolist()) for i in range(32))
NAVY, RED, DARK, LIGHT = (
    Swatch(20, 30, 90),
    Swatch(255, 0, 0),
    Swatch(0, 0, 0),
    Swatch(255, 255, 255),
)


def landscape() -> Pixels:
    """No flat colour anywhere: two gradients under noise, as a photograph has them."""
    down, right = np.mgrid[0:160, 0:160] / 159
    picture = np.stack([down * 200 + 30, right * 180 + 40, (1 - down) * right * 200 + 30], -1)
    noise = np.random.default_rng(0).normal(0, 6, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


PICTURES = {
    "on blue": draw(),
    "on white": draw(ground=WHITE, body=(200, 40, 50)),
    "on black": draw(ground=(20, 20, 30), body=YELLOW),
    "photograph": landscape(),
}


def recoloured(pixels: Pixels, *palette: Swatch) -> Pixels:
    return finish(pixels, None, palette, filters=True)


def colours(palette: tuple[Swatch, ...]) -> NDArray[np.floating]:
    rgb = np.array([(each.red, each.green, each.blue) for each in palette], np.float32)
    return to_oklab(rgb / 255)


def distances(pixels: Pixels, palette: tuple[Swatch, ...]) -> NDArray[np.floating]:
    """Of every pixel to every colour, in Oklab."""
    own = to_oklab(pixels.reshape(-1, 1, 3).astype(np.float32) / 255)
    return np.asarray(np.sqrt(((own - colours(palette)) ** 2).sum(2)))


def distance(pixels: Pixels, palette: tuple[Swatch, ...]) -> float:
    return float(distances(pixels, palette).min(1).mean())


def shares(pixels: Pixels, palette: tuple[Swatch, ...]) -> list[float]:
    """How much of the area is nearest to each colour."""
    nearest = distances(pixels, palette).argmin(1)
    return [float((nearest == number).mean()) for number in range(len(palette))]


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize(
    "palette", [TWO, FOUR, PASTELS, MANY, (NAVY,), (RED,), (DARK,), (LIGHT,)], ids=range(8)
)
def test_a_picture_comes_twice_as_close_at_least(picture: str, palette: tuple[Swatch, ...]) -> None:
    plain = PICTURES[picture]
    assert distance(recoloured(plain, *palette), palette) < 0.5 * distance(plain, palette)


@pytest.mark.parametrize("picture", ["on blue", "on white", "on black"])
@pytest.mark.parametrize("palette", [TWO, FOUR, PASTELS, MANY], ids=range(4))
def test_shapes_stay(picture: str, palette: tuple[Swatch, ...]) -> None:
    plain = PICTURES[picture]
    assert alike(contours(recoloured(plain, *palette)), contours(plain)) > 0.7


@pytest.mark.parametrize("swatch", [NAVY, RED, DARK, LIGHT])
@pytest.mark.parametrize("picture", ["on blue", "on white", "on black"])
def test_a_palette_of_one_colour_leaves_the_subject_visible(picture: str, swatch: Swatch) -> None:
    made = recoloured(PICTURES[picture], swatch).astype(int)
    ground, body = made[5, 5], made[110, 75]
    assert np.abs(ground - body).max() > 20
    assert alike(contours(made.astype(np.uint8)), contours(PICTURES[picture])) > 0.7


@pytest.mark.parametrize("picture", ["on blue", "on white", "on black"])
def test_a_colour_of_more_weight_covers_more(picture: str) -> None:
    def covered(dark: float) -> float:
        palette = (Swatch(0, 0, 0, dark), Swatch(255, 255, 255, 1 - dark))
        return shares(recoloured(PICTURES[picture], *palette), palette)[0]

    assert covered(0.9) > 0.6 > 0.4 > covered(0.1)


def test_weights_of_nothing_are_equal_weights() -> None:
    def swatches(weight: float) -> tuple[Swatch, ...]:
        return Swatch(0, 0, 0, weight), Swatch(255, 255, 255, weight)

    plain = draw()
    assert np.array_equal(recoloured(plain, *swatches(0)), recoloured(plain, *swatches(0.5)))


def test_what_was_lighter_stays_lighter() -> None:
    for plain in (draw(ground=WHITE), draw(ground=BLACK)):
        made = recoloured(plain, Swatch(20, 30, 90), Swatch(240, 220, 160)).astype(int).sum(2)
        assert (made[5, 5] > made[110, 75]) == (plain[5, 5].sum() > plain[110, 75].sum())


def test_a_flat_area_gets_the_colour_itself() -> None:
    made = recoloured(draw(ground=WHITE), *TWO).astype(int)
    assert np.abs(made[5, 5] - (230, 180, 60)).max() < 6
    assert made[:20].std(axis=(0, 1)).max() < 1


def test_edges_stay_smooth() -> None:
    plain = draw(ground=WHITE)
    made = recoloured(plain, DARK, LIGHT)
    assert len(np.unique(made[..., 0])) > 20


def test_a_picture_that_has_the_colours_stays_as_it_is() -> None:
    plain = draw(ground=WHITE, body=ORANGE)
    palette = tuple(Swatch(*colour) for colour in (WHITE, ORANGE, GREEN, BLACK, YELLOW))
    assert np.abs(recoloured(plain, *palette).astype(int) - plain).mean() < 2


def test_the_same_picture_and_palette_give_the_same_pixels() -> None:
    assert np.array_equal(recoloured(landscape(), *MANY), recoloured(landscape(), *MANY))


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (90, 140, 60)])
def test_a_picture_of_one_colour_becomes_the_nearest(colour: tuple[int, int, int]) -> None:
    made = recoloured(np.full((64, 80, 3), colour, np.uint8), DARK, LIGHT)
    assert made.shape == (64, 80, 3)
    assert len(np.unique(made.reshape(-1, 3), axis=0)) == 1


def test_a_palette_comes_after_a_style() -> None:
    made = finish(draw(), "recraft/icon/outline", TWO, filters=True)
    assert distance(made, TWO) < 0.05
    assert alike(contours(made), contours(draw())) > 0.6


def test_clusters_are_the_flat_colours_and_their_areas() -> None:
    found = clusters(draw(ground=WHITE), 12)
    known = colours(tuple(Swatch(*each) for each in (WHITE, ORANGE, GREEN, BLACK)))
    off = np.sqrt(((found.colours[:, None] - known) ** 2).sum(2))
    assert off.min(0).max() < 0.03
    assert off[0].argmin() == 0
    assert found.shares[0] > 0.6
    assert found.shares.sum() == pytest.approx(1)


def test_oklab_is_that_of_its_author() -> None:
    # Red as published implementations of his formula give it.
    assert to_oklab(np.array([1, 1, 1], np.float32)) == pytest.approx([1, 0, 0], abs=1e-4)
    red = to_oklab(np.array([1, 0, 0], np.float32))
    assert red == pytest.approx([0.62796, 0.22486, 0.12585], abs=1e-4)


def test_oklab_goes_there_and_back() -> None:
    srgb = np.random.default_rng(0).random((500, 3), np.float32)
    assert to_srgb(to_oklab(srgb)) == pytest.approx(srgb, abs=1e-3)
