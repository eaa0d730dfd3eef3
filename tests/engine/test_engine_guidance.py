"""Guidance in a part of the steps, and pictures shown before they are finished."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagemill.engine.events import Preview
from imagemill.engine.previews import SIDE, due, small
from imagemill.engine.stand_ins import prepare
from imagemill.pipelines.loading import Loaded
from imagemill.pipelines.painter import prompt_of
from tests.checkpoints import THREE, Checkpoint
from tests.studio import ASKED, Studio, alone, painted, png
from tests.studio import inference as inference
from tests.studio import pico as pico

SMALL = replace(ASKED, width=64, height=64, steps=5)


@pytest.fixture(scope="module", params=THREE)
def other(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> Loaded:
    return prepare(str(checkpoint(request.param)))


@contextmanager
def rows_run(loaded: Loaded) -> Iterator[list[int]]:
    """The rows of every forward of the transformer."""
    ran: list[int] = []

    def note(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        ran.append(kwargs["hidden_states"].shape[0])

    handle = loaded.pipe.transformer.real.register_forward_pre_hook(note, with_kwargs=True)
    yield ran
    handle.remove()


def test_outside_its_range_guidance_costs_no_rows(pico: Loaded) -> None:
    asked = [replace(ASKED, seed=seed, steps=10) for seed in range(2)]
    ranges = ((0.0, 1.0), (0.0, 0.4), (0.8, 1.0))
    needed = []
    for guidance_range in ranges:
        with rows_run(pico) as ran:
            studio = Studio()
            for _ in range(2):  # the first round proves the buckets
                ran.clear()
                studio.start(
                    pico,
                    **{
                        f"n{each.seed}": replace(each, guidance_range=guidance_range)
                        for each in asked
                    },
                )
                studio.run()
        needed.append(sum(ran))
    assert needed == [2 * 2 * 10, 2 * (2 * 4 + 6), 2 * (8 + 2 * 2)]


def test_the_picture_depends_on_the_range_and_the_whole_range_is_the_default(pico: Loaded) -> None:
    pictures = {
        guidance_range: alone(pico, replace(ASKED, guidance_range=guidance_range))
        for guidance_range in ((0.0, 1.0), (0.0, 0.4), (0.5, 1.0))
    }
    assert len(set(pictures.values())) == 3
    assert pictures[0.0, 1.0] == alone(pico, ASKED)


def test_an_empty_range_paints_what_no_guidance_paints(pico: Loaded, other: Loaded) -> None:
    for loaded, asked in ((pico, ASKED), (other, SMALL)):
        if not loaded.family.guided_pairs:
            continue
        nowhere = painted(loaded, replace(asked, guidance_range=(0.0, 0.0))).pictures[0]
        never = painted(loaded, replace(asked, guidance_scale=1.0)).pictures[0]
        assert np.array_equal(nowhere, never)


def test_a_range_holds_where_a_picture_is_painted_over(other: Loaded) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    given = {"image": png(pixels), "mask": png(np.full((64, 64), 255, np.uint8))}
    for mask in (None, "mask") if other.family.guided_pairs else ():
        asked = replace(SMALL, image="image", mask=mask, guidance_scale=9.0)
        half = painted(other, replace(asked, guidance_range=(0.0, 0.4)), given).pictures[0]
        whole = painted(other, asked, given).pictures[0]
        assert not np.array_equal(half, whole)


def test_company_changes_no_byte_of_a_picture_with_a_range(pico: Loaded) -> None:
    company = {
        "early": replace(ASKED, guidance_range=(0.0, 0.4)),
        "late": replace(ASKED, guidance_range=(0.5, 1.0), seed=2),
        "whole": replace(ASKED, seed=3),
        "none": replace(ASKED, guidance_scale=1.0, seed=4),
    }
    studio = Studio()
    for _ in range(2):
        studio.start(pico, **company)
        studio.run()
    for id, asked in company.items():
        assert studio.files(id) == alone(pico, asked), id


def shown(studio: Studio, id: str) -> list[Preview]:
    return [event for event in studio.said[id] if isinstance(event, Preview)]


def test_previews_are_small_and_come_near_the_picture(pico: Loaded) -> None:
    studio = Studio(previews=True)
    studio.start(pico, it=replace(ASKED, width=640, height=480, steps=12))
    studio.run()
    previews = shown(studio, "it")
    assert [(each.step, each.steps, each.index) for each in previews] == [
        (3, 12, 0), (6, 12, 0), (9, 12, 0),
    ]  # fmt: skip
    pictures = [Image.open(BytesIO(each.picture)) for each in previews]
    assert {(image.format, image.size) for image in pictures} == {("JPEG", (SIDE, 192))}
    end = np.asarray(Image.open(BytesIO(small(studio.picture("it")))), float)
    distances = [float(np.abs(np.asarray(image) - end).mean()) for image in pictures]
    assert distances[-1] == min(distances) < 10


def test_a_preview_shows_the_latents_without_their_noise(pico: Loaded) -> None:
    studio = Studio(previews=True)
    studio.start(pico, it=replace(ASKED, steps=8))
    studio.run()
    first = np.asarray(Image.open(BytesIO(shown(studio, "it")[0].picture)), float)
    assert np.abs(np.diff(first, axis=0)).mean() < 8  # a quarter of the way there is mostly noise


def test_previews_change_no_byte(pico: Loaded, other: Loaded) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    given = {"image": png(pixels), "mask": png(np.full((64, 64), 255, np.uint8))}
    for loaded in (pico, other):
        company = {
            "plain": SMALL,
            "over": replace(SMALL, image="image", num_images=2),
            "inside": replace(SMALL, image="image", mask="mask", strength=1.0),
        }
        studio = Studio(budget=10**6, inputs=given, previews=True)
        studio.start(loaded, **company)
        studio.run()
        for id, asked in company.items():
            assert studio.files(id) == alone(loaded, asked, given), id
            assert len(shown(studio, id)) >= 2 * asked.num_images
        assert {each.index for each in shown(studio, "over")} == {0, 1}


def test_none_are_shown_unasked(pico: Loaded) -> None:
    studio = Studio()
    studio.start(pico, it=ASKED)
    studio.run()
    assert not shown(studio, "it")


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 8, 30, 150])
def test_at_most_three_are_due_and_never_one_with_the_last_step(steps: int) -> None:
    times = [step for step in range(1, steps + 1) if due(step, steps)]
    assert len(times) == min(3, steps - 1)
    assert steps not in times


def test_a_style_is_told_in_words_to_models_that_read_them(pico: Loaded, other: Loaded) -> None:
    asked = replace(ASKED, style="recraft/digital_illustration/pixel_art")
    assert prompt_of(pico.family, asked) == asked.prompt
    told = prompt_of(other.family, asked)
    assert told.startswith(f"{asked.prompt}, ")
    assert "pixel" in told


def test_a_style_is_made_of_the_picture_of_a_model_that_does_not_read(pico: Loaded) -> None:
    styled = replace(ASKED, style="recraft/digital_illustration/pixel_art")
    assert np.array_equal(painted(pico, styled).pictures[0], painted(pico, ASKED).pictures[0])
    assert alone(pico, styled) != alone(pico, ASKED)


def test_a_vector_picture_is_traced(pico: Loaded) -> None:
    (file,) = alone(pico, replace(ASKED, format="svg"))
    assert b"<svg" in file
    assert b"<path" in file
