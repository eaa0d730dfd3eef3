"""Which call of a pipeline makes a picture, and what is guided: plain numbers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.generation import MAX_SIDE, MIN_SIDE, Generation
from imagemill.pipelines.calls import PipelineCall, guided, planned, repainting_steps
from imagemill.pipelines.families import FAMILIES, PICO, Family

ASKED = Generation("a red cat", "m", 200, 136, 10, 4.0, seed=1)
OVER = replace(ASKED, image="i", strength=0.5)
STOCK = FAMILIES["StableDiffusion3Pipeline"]

sides = st.integers(MIN_SIDE, MAX_SIDE)
strengths = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)


def test_a_stock_picture_is_painted_in_one_call_on_a_canvas_of_whole_multiples() -> None:
    assert planned(STOCK, ASKED) == PipelineCall("paint", 208, 144, 10, 10, (200, 136))


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
    call = planned(STOCK, replace(OVER, steps=schedule, strength=strength))
    assert (call is None) == (strength == 0)
    if call:
        # Both formulas are diffusers' own: the first of SD3's and FLUX's, the second of SDXL's.
        up, down = call.strength(floors=False), call.strength(floors=True)
        assert schedule - int(max(schedule - min(schedule * up, schedule), 0)) == call.steps
        assert min(int(schedule * down), schedule) == call.steps
        assert max(up, down) <= 1


@given(sides, sides, st.sampled_from([None, "m"]), st.sampled_from([PICO, STOCK]))
def test_a_picture_that_is_painted_over_lies_whole_within_the_canvas(
    width: int, height: int, mask: str | None, family: Family
) -> None:
    call = planned(family, replace(OVER, width=width, height=height, mask=mask))
    assert call is not None
    assert call.task == ("inpaint" if mask else "repaint")
    for inside, canvas in zip(call.inside, (call.width, call.height), strict=True):
        assert 0 <= canvas - inside < family.multiple_of
        assert canvas % family.multiple_of == 0


@pytest.mark.parametrize(
    ("size", "canvas", "inside"),
    [
        ((512, 512), (512, 512), (512, 512)),
        ((64, 64), (256, 256), (256, 256)),
        ((100, 200), (192, 384), (181, 362)),
        ((720, 480), (736, 480), (720, 480)),
        ((1920, 1080), (832, 480), (832, 468)),
        ((2048, 2048), (640, 640), (640, 640)),
        ((2048, 64), (2048, 64), (2048, 64)),
    ],
)
def test_the_embedded_model_paints_what_is_small_larger_and_what_is_large_smaller(
    size: tuple[int, int], canvas: tuple[int, int], inside: tuple[int, int]
) -> None:
    call = planned(PICO, replace(ASKED, width=size[0], height=size[1]))
    assert call is not None
    assert ((call.width, call.height), call.inside) == (canvas, inside)


def test_guidance_is_given_in_the_steps_of_its_range() -> None:
    asked = replace(ASKED, guidance_range=(0.2, 0.6))
    assert [step for step in range(10) if guided(STOCK, asked, step, 10)] == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("family", "asked"),
    [(FAMILIES["FluxPipeline"], ASKED), (STOCK, replace(ASKED, guidance_scale=1.0))],
)
def test_what_has_no_pairs_of_rows_is_never_guided(family: Family, asked: Generation) -> None:
    assert not any(guided(family, asked, step, 10) for step in range(10))


def test_the_embedded_model_takes_the_guidance_scales_of_others() -> None:
    assert [PICO.applied(scale) for scale in (0.0, 1.0, 3.5, 7.0)] == pytest.approx(
        [0, 1, 1.5, 2.2]
    )
    assert STOCK.applied(7.0) == 7.0
