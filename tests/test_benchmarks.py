"""The benchmarks that a suite can run in little: what they count holds. Their speeds are nobody's
business here."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import false_alarms, gpu, swapping
from benchmarks.true_shapes import SHAPES, pipeline


def cells(row: str) -> list[str]:
    return [each.strip() for each in row.strip("|").split("|")]


def test_two_models_in_turn_swap_at_each_picture_and_all_at_once_rarely(tmp_path: Path) -> None:
    table = [cells(row) for row in swapping.rows(4, tmp_path)][2:]
    counted = {row[0]: (int(row[1]), int(row[2])) for row in table}
    assert counted["imagemill, in turn"] == (4, 4)
    assert counted["imagemill, one of them alone"] == (4, 0)
    assert counted["stock diffusers, loaded anew"] == (4, 4)
    assert counted["imagemill, all at once"][1] <= 2


def test_what_is_painted_on_a_gpu_is_measured_in_every_way_and_has_its_own_bytes() -> None:
    head, _, *table, _, rates = gpu.rows(gpu.TINY, math.inf)
    columns, taken = cells(head), [cells(row) for row in table]
    assert [row[:3] for row in taken] == [
        [model, "64", count] for model in ("SDXL", "FLUX.1-schnell") for count in ("1", "3")
    ]
    for row in (dict(zip(columns, each, strict=True)) for each in taken):
        seconds = {name: float(row[name].removesuffix(" s")) for name in (*gpu.WAYS, "floor")}
        assert all(each > 0 for each in seconds.values())
        best = min(seconds[name] for name in gpu.OURS)
        assert float(row["times stock"]) == pytest.approx(seconds["stock"] / best, rel=0.02)
        share = float(row["of the floor's rate"].removesuffix(" %"))
        assert share == pytest.approx(100 * seconds["floor"] / best, rel=0.02)
        both = 2 * int(row["requests"])  # as it is and compiled
        assert row["same bytes"] == f"{both} of {both}"
    assert "SDXL" in rates


def test_the_floor_grows_with_the_steps_and_the_picture() -> None:
    it = gpu.subject(SHAPES[0], gpu.TINY)
    (small, beside), (large, more) = (gpu.operations(it, side) for side in (64, 128))
    assert 3 * small < large < 6 * small  # four times the pixels; attention takes more
    assert 3 * beside < 4 * more


def test_what_there_was_no_time_for_is_left_out() -> None:
    it = gpu.subject(SHAPES[1], gpu.TINY)
    sheet = gpu.Sheet((1, 1))
    sheet.take("ours", gpu.Ours("cpu"), it, 64, gpu.TINY, end=0.0)
    assert math.isnan(sheet.seconds("ours", 1))
    assert sheet.same(1) == (0, 0)


def test_a_picture_that_changes_in_company_is_counted() -> None:
    one, other = (np.full((2, 2, 3), value, np.uint8) for value in (0, 1))
    sheet = gpu.Sheet((1, 1), alone={"ours": [one, other]})
    sheet.times["ours", 4] = gpu.Measured(1.0, [one, one, one, one])
    assert sheet.same(4) == (1, 2)


@pytest.mark.parametrize(
    ("number", "denoiser", "billions"), [(0, "unet", 2.567), (1, "transformer", 11.891)]
)
def test_true_shapes_have_the_sizes_of_the_models_that_people_hold(
    number: int, denoiser: str, billions: float
) -> None:
    module = getattr(pipeline(SHAPES[number], "meta"), denoiser)
    assert sum(each.numel() for each in module.parameters()) == pytest.approx(
        billions * 1e9, rel=1e-3
    )
    assert {each.dtype for each in module.parameters()} == {SHAPES[number].dtype}
    assert torch.get_default_dtype() is torch.float32


def test_false_alarms_are_counted_at_each_threshold_over_prompts_that_differ() -> None:
    prompts = list(false_alarms.prompts())
    assert len(prompts) == len(set(prompts)) > false_alarms.IMAGES
    taken = [(0.05, "a"), (0.15, "b"), (0.5, "c"), (0.79, "d")]
    table = [cells(row) for row in false_alarms.rows(taken) if row.startswith("|")][2:]
    assert table == [["0.1", "3", "4"], ["0.2", "2", "4"], ["0.5", "2", "4"], ["0.8", "0", "4"]]
    assert "0.79 *d*; 0.50 *c*; 0.15 *b*" in list(false_alarms.rows(taken))[-1]


def test_an_image_that_is_looked_at_is_one_of_the_models_usual_steps() -> None:
    (first, second) = false_alarms.generations(2)
    assert (first.steps, first.width, first.seed, second.seed) == (12, 256, 0, 1)
