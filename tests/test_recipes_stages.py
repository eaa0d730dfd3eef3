"""Which calls of a pipeline make a picture, and what is guided: plain numbers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.generation import MAX_SIDE, MIN_SIDE, Generation
from imagemill.pipelines.composition import NATIVE, REFINING_STRENGTH, compose
from imagemill.pipelines.families import FAMILIES, PICO, Family
from imagemill.pipelines.stages import Stage, guided, repainting_steps, stages

ASKED = Generation("a red cat", "m", 200, 136, 10, 4.0, seed=1)
OVER = replace(ASKED, image="i", strength=0.5)
STOCK = FAMILIES["StableDiffusion3Pipeline"]

sides = st.integers(MIN_SIDE, MAX_SIDE)
strengths = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)


def test_a_stock_picture_is_painted_in_one_call_on_a_canvas_of_whole_multiples() -> None:
    assert stages(STOCK, ASKED) == (Stage("paint", 208, 144, 10, 10, (200, 136)),)


@pytest.mark.parametrize(
    ("strength", "steps"), [(0.0, 0), (0.01, 1), (0.3, 3), (0.31, 4), (0.7, 7), (1.0, 10)]
)
def test_a_share_of_the_steps_is_run_rounded_up(strength: float, steps: int) -> None:
    assert repainting_steps(STOCK, replace(OVER, strength=strength)) == steps


@pytest.mark.parametrize(("strength", "steps"), [(0.0, 0), (0.01, 1), (0.58, 5), (1.0, 10)])
def test_stable_diffusion_rounds_down_to_one_step_at_least(strength: float, steps: int) -> None:
    asked = replace(OVER, strength=strength)
    assert repainting_steps(FAMILIES["StableDiffusionXLPipeline"], asked) == steps


@given(st.integers(1, 150), strengths)
def test_every_pipeline_is_told_a_strength_that_makes_it_run_just_those_steps(
    schedule: int, strength: float
) -> None:
    for stage in stages(STOCK, replace(OVER, steps=schedule, strength=strength)):
        # Both formulas are diffusers' own: the first of SD3's and FLUX's, the second of SDXL's.
        up, down = stage.strength(floors=False), stage.strength(floors=True)
        assert schedule - int(max(schedule - min(schedule * up, schedule), 0)) == stage.steps
        assert min(int(schedule * down), schedule) == stage.steps
        assert max(up, down) <= 1


@given(sides, sides, strengths, st.sampled_from([None, "m"]), st.sampled_from([PICO, STOCK]))
def test_a_picture_that_is_painted_over_lies_whole_within_every_canvas(
    width: int, height: int, strength: float, mask: str | None, family: Family
) -> None:
    asked = replace(OVER, width=width, height=height, strength=strength, mask=mask)
    for stage in stages(family, asked):
        assert stage.task == ("inpaint" if mask else "repaint")
        assert stage.inside is not None
        assert stage.inside[0] <= stage.width
        assert stage.inside[1] <= stage.height
        assert stage.inside[0] == stage.width or stage.inside[1] == stage.height or family is STOCK
        assert 1 <= stage.steps <= stage.schedule


def test_the_embedded_model_paints_over_in_its_native_shapes_and_refines_large_ones() -> None:
    first, second = stages(PICO, replace(OVER, width=512, height=512))
    assert (first.width // 32, first.height // 32) in NATIVE
    assert (first.steps, first.schedule) == (5, 10)
    assert (second.width, second.height) == compose(512, 512).refined
    assert second.steps / second.schedule <= REFINING_STRENGTH


def test_a_light_change_of_a_large_picture_is_made_at_its_size_at_once() -> None:
    (only,) = stages(PICO, replace(OVER, width=512, height=512, strength=0.2))
    assert (only.width, only.height, only.steps) == (512, 512, 2)


def test_guidance_is_given_in_the_steps_of_its_range() -> None:
    asked = replace(ASKED, guidance_range=(0.2, 0.6))
    assert [step for step in range(10) if guided(STOCK, asked, step, 10)] == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("family", "asked"),
    [(FAMILIES["FluxPipeline"], ASKED), (STOCK, replace(ASKED, guidance_scale=1.0))],
)
def test_what_has_no_pairs_of_rows_is_never_guided(family: Family, asked: Generation) -> None:
    assert not any(guided(family, asked, step, 10) for step in range(10))
