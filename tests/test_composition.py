"""How any size is reached, in plain numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.generation import MAX_SIDE, MIN_SIDE
from imagemill.pipelines.composition import CELL, LARGEST, NATIVE, compose, refining_steps
from training import grounds, scenes

sides = st.integers(MIN_SIDE, MAX_SIDE)


def test_the_shapes_are_those_that_were_trained() -> None:
    assert set(NATIVE) == set(scenes.SHAPES)
    assert CELL == grounds.CELL


@given(sides, sides)
def test_the_picture_lies_inside_and_touches_two_edges(width: int, height: int) -> None:
    inner = compose(width, height).inner
    assert inner[0] <= width
    assert inner[1] <= height
    assert inner[0] == width or inner[1] == height


@given(sides, sides)
def test_nothing_is_stretched(width: int, height: int) -> None:
    made = compose(width, height)
    across, down = made.inner[0] / made.native[0], made.inner[1] / made.native[1]
    assert abs(across - down) * min(made.native) <= 1  # rounding to whole pixels


@given(sides, sides)
def test_the_second_stage_stays_on_the_trained_scales(width: int, height: int) -> None:
    made = compose(width, height)
    assert made.scale in (1, 2, 4)
    assert max(made.refined) <= LARGEST * CELL


@pytest.mark.parametrize(
    ("size", "native", "scale"),
    [
        ((64, 64), (256, 256), 1),
        ((256, 256), (256, 256), 1),
        ((320, 320), (256, 256), 1),
        ((512, 512), (256, 256), 2),
        ((1024, 1024), (256, 256), 4),
        ((2048, 2048), (256, 256), 4),
        ((1024, 768), (320, 192), 2),
        ((720, 1280), (192, 320), 2),
        ((2048, 64), (384, 160), 1),
    ],
)
def test_sizes_people_ask_for(size: tuple[int, int], native: tuple[int, int], scale: int) -> None:
    made = compose(*size)
    assert (made.native, made.scale) == (native, scale)


@given(st.integers(1, 150))
def test_refining_takes_few_steps(steps: int) -> None:
    assert 2 <= refining_steps(steps) <= max(2, steps / 4)
