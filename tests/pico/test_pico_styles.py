"""What is known of a style before anything is learnt, and what the decoder evens out."""

from itertools import combinations

import pytest
import torch

from imagemill.pico.autoencoder import PATCH, SMALL, evened
from imagemill.pico.scene import STYLES
from imagemill.pico.stylising import in_few_colours, number, stylised

USUAL = number("3d")
GREY = ("outline", "pencil", "black and white")


@pytest.fixture(scope="module")
def sketch() -> torch.Tensor:
    """A shaded orange disc before a ground that is lighter on the left; (3, 96, 128), -1 to 1."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 128), indexing="ij")
    ground = torch.stack([0.2 - 0.2 * x, 0.3 - 0.1 * x, 0.5 - 0.1 * x])
    disc = torch.stack([0.8 - 0.2 * y, 0.1 - 0.2 * y, -0.6 - 0.1 * y])
    return torch.where(torch.hypot(x, y) < 0.5, disc, ground)


def in_style(sketch: torch.Tensor, style: str) -> torch.Tensor:
    return stylised(sketch, number(style))


def test_the_usual_style_changes_nothing(sketch: torch.Tensor) -> None:
    assert torch.equal(stylised(sketch, USUAL), sketch)
    assert torch.equal(stylised(sketch, len(STYLES)), sketch)


def test_styles_differ_and_keep_within_range(sketch: torch.Tensor) -> None:
    found = {style: in_style(sketch, style) for style in STYLES if style != "flat"}
    for one, other in combinations(found, 2):
        assert (found[one] - found[other]).abs().mean() > 0.005, (one, other)
    for style, picture in found.items():
        assert picture.shape == sketch.shape
        assert -1 <= picture.min() <= picture.max() <= 1, style


@pytest.mark.parametrize("style", GREY)
def test_styles_without_colour_have_none(sketch: torch.Tensor, style: str) -> None:
    red, green, blue = in_style(sketch, style)
    assert torch.allclose(red, green)
    assert torch.allclose(red, blue)


def test_an_outline_is_dark_where_things_end_and_white_elsewhere(sketch: torch.Tensor) -> None:
    grey = in_style(sketch, "outline")[0]
    assert grey[48, 64] == grey[4, 4] == 1
    assert grey[48, 94:99].min() < 0


def test_pixel_art_has_even_squares_of_few_colours(sketch: torch.Tensor) -> None:
    art = in_style(sketch, "pixel art")
    squares = art.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
    assert (squares.amax((2, 4)) == squares.amin((2, 4))).all()
    assert len(art.flatten(1).T.unique(dim=0)) <= 28


def test_a_watercolour_has_paper_around_it(sketch: torch.Tensor) -> None:
    painted = in_style(sketch, "watercolour")
    assert painted[:, 0].min() > 0.85
    assert painted[2, 48, 64] < 0.5


def test_colours_are_those_that_pixels_gather_round() -> None:
    generator = torch.Generator().manual_seed(1)
    wanted = torch.tensor([[0.1, 0.1, 0.1], [0.2, 0.7, 0.3], [0.9, 0.8, 0.9]])
    which = torch.randint(0, 3, (40, 30), generator=generator)
    noise = 0.02 * torch.randn(3, 40, 30, generator=generator)
    even = in_few_colours(wanted[which].permute(2, 0, 1) + noise, 3)
    assert torch.allclose(even, wanted[which].permute(2, 0, 1), atol=0.02)
    alone = in_few_colours(wanted[which].permute(2, 0, 1), 1, (which == 1).float())
    assert torch.allclose(alone[:, 0, 0], wanted[1], atol=1e-3)


def picture_with_a_step(size: float) -> torch.Tensor:
    """A slope across two squares, with a step between them; (1, 3, 16, 32)."""
    line = torch.linspace(-0.5, 0.5, 2 * PATCH)
    line = line + size * (torch.arange(2 * PATCH) >= PATCH)
    return line.expand(1, 3, PATCH, 2 * PATCH)


def step_of(picture: torch.Tensor) -> float:
    """Across the border, beyond the slope."""
    return float(picture[0, 0, 0, PATCH] - picture[0, 0, 0, PATCH - 1]) - 1 / (2 * PATCH - 1)


def test_small_steps_across_borders_are_evened_out() -> None:
    picture = picture_with_a_step(SMALL / 10)
    assert abs(step_of(evened(picture, -1))) < 0.15 * SMALL / 10
    upright = evened(picture.transpose(2, 3), -2).transpose(2, 3)
    assert torch.equal(upright, evened(picture, -1))


@pytest.mark.parametrize("size", [0.0, SMALL * 1.1, -1.0])
def test_slopes_and_edges_of_the_picture_stay(size: float) -> None:
    picture = picture_with_a_step(size)
    assert torch.allclose(evened(picture, -1), picture, atol=1e-6)
