"""Styles: each does something of its own to a picture, and leaves the subject where it was."""

from functools import cache
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from imagemill.errors import Fault, Kind
from imagemill.finishing import STYLES, finish, words
from imagemill.finishing.planes import figure, from_bytes
from imagemill.finishing.shapes import NAVY, WHITE, on_paper, paper
from imagemill.finishing.styles import find

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

# As the API's page lists them; the order is its own.
RECRAFT = [
    "any",
    "realistic_image",
    "digital_illustration",
    "vector_illustration",
    "realistic_image/b_and_w",
    "realistic_image/enterprise",
    "realistic_image/hard_flash",
    "realistic_image/hdr",
    "realistic_image/motion_blur",
    "realistic_image/natural_light",
    "realistic_image/studio_portrait",
    "digital_illustration/2d_art_poster",
    "digital_illustration/2d_art_poster_2",
    "digital_illustration/3d",
    "digital_illustration/80s",
    "digital_illustration/engraving_color",
    "digital_illustration/glow",
    "digital_illustration/grain",
    "digital_illustration/hand_drawn",
    "digital_illustration/hand_drawn_outline",
    "digital_illustration/handmade_3d",
    "digital_illustration/infantile_sketch",
    "digital_illustration/kawaii",
    "digital_illustration/pixel_art",
    "digital_illustration/psychedelic",
    "digital_illustration/seamless",
    "digital_illustration/voxel",
    "digital_illustration/watercolor",
    "vector_illustration/cartoon",
    "vector_illustration/doodle_line_art",
    "vector_illustration/engraving",
    "vector_illustration/flat_2",
    "vector_illustration/kawaii",
    "vector_illustration/line_art",
    "vector_illustration/line_circuit",
    "vector_illustration/linocut",
    "vector_illustration/seamless",
    "icon/broken_line",
    "icon/colored_outline",
    "icon/colored_shapes",
    "icon/colored_shapes_gradient",
    "icon/doodle_fill",
    "icon/doodle_offset_fill",
    "icon/offset_fill",
    "icon/outline",
    "icon/outline_gradient",
    "icon/uneven_fill",
]
VISIBLE = 3.0  # of 255, on average: thin lines on white differ in few places, but there wholly
IDEOGRAM = ("realistic", "design", "render_3d", "anime")
NAMES = [name for name in STYLES if name != "recraft/any"]  # which leaves the choice to the model

BLUE, ORANGE, GREEN, BLACK, YELLOW, PALE = (
    (150, 205, 235),
    (214, 80, 60),
    (60, 130, 70),
    (30, 30, 40),
    (250, 230, 120),
    (248, 248, 246),
)


@cache
def draw(
    width: int = 160, height: int = 160, ground: Colour = BLUE, body: Colour = ORANGE
) -> Pixels:
    """A cat's head and a box, flat, with smooth edges."""
    image = Image.new("RGB", (width * 4, height * 4), ground)
    pen, side = ImageDraw.Draw(image), min(width, height) * 4
    left, top = (width * 4 - side) / 2, (height * 4 - side) / 2

    def at(*numbers: float) -> list[float]:
        return [
            n * side / 100 + (left if even else top)
            for n, even in zip(numbers, [True, False] * 4, strict=False)
        ]

    pen.ellipse(at(22, 30, 72, 80), body)
    pen.polygon(at(24, 40, 28, 14, 46, 32), body)
    pen.polygon(at(50, 31, 67, 14, 71, 42), body)
    pen.ellipse(at(34, 46, 42, 54), BLACK)
    pen.ellipse(at(53, 46, 61, 54), BLACK)
    pen.polygon(at(44, 58, 51, 58, 47.5, 64), YELLOW)
    pen.rectangle(at(76, 60, 90, 82), GREEN)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def styled(name: str, pixels: Pixels) -> Pixels:
    return finish(pixels, name, (), filters=True)


def difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def contours(pixels: Pixels) -> NDArray[np.float64]:
    """How much happens in each of 20 x 20 places, whatever the colours."""
    picture = pixels.astype(float)
    across = np.abs(np.diff(picture, axis=1, prepend=picture[:, :1])).max(2)
    along = np.abs(np.diff(picture, axis=0, prepend=picture[:1])).max(2)
    size = pixels.shape[0] // 20
    return np.asarray(np.hypot(across, along).reshape(20, size, 20, size).mean((1, 3)))


def silhouette(pixels: Pixels) -> NDArray[np.float64]:
    """How unlike the border's colour each of 20 x 20 places is."""
    size = pixels.shape[0] // 20
    coarse = pixels.astype(float).reshape(20, size, 20, size, 3).mean((1, 3))
    border = np.concatenate([coarse[0], coarse[-1], coarse[:, 0], coarse[:, -1]])
    return np.asarray(np.abs(coarse - np.median(border, axis=0)).max(2))


def alike(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_every_style_of_both_apis_has_its_preset() -> None:
    assert set(STYLES) == {f"recraft/{name}" for name in RECRAFT} | {
        f"ideogram/{name}" for name in IDEOGRAM
    }


@pytest.fixture(scope="module")
def pictures() -> dict[str, Pixels]:
    return {name: styled(name, draw()) for name in STYLES}


@pytest.mark.parametrize("name", STYLES)
def test_a_style_keeps_size_and_type(pictures: dict[str, Pixels], name: str) -> None:
    assert pictures[name].shape == (160, 160, 3)
    assert pictures[name].dtype == np.uint8


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(64, 64), (203, 67)])
def test_a_style_works_at_odd_sizes(name: str, size: tuple[int, int]) -> None:
    width, height = size
    plain = draw(width, height)
    assert styled(name, plain).shape == (height, width, 3)
    assert difference(styled(name, plain), plain) > VISIBLE / 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255)])
def test_a_style_bears_a_picture_of_one_colour(name: str, colour: Colour) -> None:
    pixels = np.full((64, 64, 3), colour, np.uint8)
    assert styled(name, pixels).shape == (64, 64, 3)


@pytest.mark.parametrize("name", NAMES)
def test_the_filters_of_a_style_stay_in_single_precision(name: str) -> None:
    picture = from_bytes(draw(64, 64))
    for step in STYLES[name].filters:
        picture = step(picture)
        assert picture.dtype == np.float32
        assert np.isfinite(picture).all()


def test_the_same_picture_gets_the_same_finish_each_time(pictures: dict[str, Pixels]) -> None:
    for name in STYLES:
        assert np.array_equal(styled(name, draw()), pictures[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_style_can_be_seen(pictures: dict[str, Pixels], name: str) -> None:
    assert difference(pictures[name], pictures["recraft/any"]) > VISIBLE


@pytest.mark.parametrize("family", ["recraft", "ideogram"])
def test_no_two_styles_look_the_same(pictures: dict[str, Pixels], family: str) -> None:
    names = [name for name in NAMES if name.startswith(family)]
    same = {
        (one, other): difference(pictures[one], pictures[other])
        for one, other in combinations(names, 2)
        if difference(pictures[one], pictures[other]) < VISIBLE
    }
    assert same == {}


@pytest.mark.parametrize("name", NAMES)
def test_the_subject_stays_where_it_was(pictures: dict[str, Pixels], name: str) -> None:
    # By one of two measures: hatching hides contours, and an outline has no silhouette.
    plain, made = pictures["recraft/any"], pictures[name]
    by_contour = alike(contours(made), contours(plain))
    by_silhouette = alike(silhouette(made), silhouette(plain))
    assert max(by_contour, by_silhouette) > 0.7


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("seamless")])
@pytest.mark.parametrize("ground", [BLUE, BLACK])
def test_a_seamless_picture_continues_over_its_edges(name: str, ground: Colour) -> None:
    plain = np.roll(draw(ground=ground), (50, 70), (0, 1))[:130, :140]  # edges that do not match
    tile = styled(name, plain).astype(int)
    assert np.abs(tile[0] - tile[-1]).max() <= 1
    assert np.abs(tile[:, 0] - tile[:, -1]).max() <= 1


def test_a_seamless_picture_shows_its_neighbours_in_the_corners() -> None:
    tile = styled("recraft/vector_illustration/seamless", draw())
    alone = styled("recraft/vector_illustration/cartoon", draw())
    for columns in (slice(0, 30), slice(-30, None)):
        assert tile[:30, columns].std((0, 1)).max() > 20
        assert alone[:30, columns].std((0, 1)).max() < 1


def test_pixel_art_has_few_colours_in_large_blocks() -> None:
    made = styled("recraft/digital_illustration/pixel_art", draw(256, 256))
    assert len(np.unique(made.reshape(-1, 3), axis=0)) <= 12
    blocks = made.reshape(64, 4, 64, 4, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()


def test_black_and_white_has_no_colour() -> None:
    made = styled("recraft/realistic_image/b_and_w", draw())
    assert (made == made[..., :1]).all()


def test_an_outline_is_dark_on_white() -> None:
    made = styled("recraft/icon/outline", draw())
    assert (made.min(2) > 245).mean() > 0.7
    assert (made.max(2) < 60).mean() > 0.05


def test_a_coloured_outline_has_the_colours_of_the_subject() -> None:
    made = styled("recraft/icon/colored_outline", draw()).astype(int)
    line = made[made.min(2) < 120]
    assert (np.abs(line - ORANGE).sum(1) < 120).mean() > 0.4


def test_a_pale_subject_is_seen_on_paper_too() -> None:
    pale = from_bytes(draw(body=PALE))
    shown = on_paper(pale)
    assert paper(pale, figure(pale)) == NAVY
    assert np.allclose(shown[0, 0], NAVY, atol=0.02)
    orange = on_paper(from_bytes(draw()))
    assert np.allclose(orange[0, 0], WHITE, atol=0.02)


def test_without_style_and_palette_nothing_is_done() -> None:
    assert np.array_equal(finish(draw(), None, (), filters=True), draw())


def test_a_model_that_read_the_words_needs_no_filters() -> None:
    assert np.array_equal(finish(draw(), "recraft/icon/outline", (), filters=False), draw())


def test_every_style_but_any_has_words() -> None:
    assert words(None) == words("recraft/any") == ""
    said = [words(name) for name in NAMES]
    assert all(said)
    assert len({words(name) for name in NAMES if name.startswith("recraft")}) == len(RECRAFT) - 1


def test_capitals_name_the_same_style() -> None:
    assert find("ideogram/render_3D") is find("ideogram/render_3d")
    assert find("ideogram/REALISTIC") is find("ideogram/realistic")


@pytest.mark.parametrize("filters", [True, False])
def test_an_unknown_style_is_told(filters: bool) -> None:
    with pytest.raises(Fault, match="unknown style 'recraft/oil'") as caught:
        finish(draw(), "recraft/oil", (), filters=filters)
    assert (caught.value.kind, caught.value.field) == (Kind.INVALID, "style")
    with pytest.raises(Fault, match="ideogram/anime"):
        words("oil")
