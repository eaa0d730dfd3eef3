"""Painting over pictures, whole and inside a mask, alone and in company."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from imagemill.engine.events import Failed, Progress
from imagemill.engine.stand_ins import prepare
from imagemill.errors import Kind
from imagemill.pipelines.families import Family
from imagemill.pipelines.inputs import Mask, Picture
from imagemill.pipelines.loading import Loaded
from tests.checkpoints import THREE, Checkpoint
from tests.studio import ASKED, Studio, alone, painted, png
from tests.studio import inference as inference
from tests.studio import pico as pico

SMALL = replace(ASKED, width=72, height=64, steps=5, image="image", strength=0.6)
LARGE = replace(ASKED, image="image", strength=0.6)
LEADING = (
    "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "EulerDiscreteScheduler",
    "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "UniPCMultistepScheduler",
)  # fmt: skip


@pytest.fixture(scope="module", params=THREE)
def other(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> Loaded:
    return prepare(str(checkpoint(request.param)))


def scene(width: int, height: int) -> Picture:
    """A blue disc on sand, with a little noise, so that every pixel is known again."""
    y, x = np.mgrid[:height, :width]
    disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 3) ** 2
    pixels = np.where(disc[..., None], (40, 60, 200), (230, 220, 180))
    noise = np.random.default_rng(0).integers(-8, 9, pixels.shape)
    return (pixels + noise).astype(np.uint8)


def right_half(width: int, height: int) -> Mask:
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 255
    return mask


def inputs(width: int, height: int) -> dict[str, bytes]:
    return {"image": png(scene(width, height)), "mask": png(right_half(width, height))}


def distance(a: Picture, b: Picture) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_the_stronger_the_less_is_left_of_the_picture(pico: Loaded) -> None:
    given, original = inputs(256, 256), scene(256, 256)
    asked = [replace(LARGE, strength=strength) for strength in (0.0, 0.25, 1.0)]
    pictures = [painted(pico, each, given).pictures[0] for each in asked]
    assert np.array_equal(pictures[0], original)
    assert 0 < distance(pictures[1], original) < distance(pictures[2], original)
    assert distance(pictures[1], pictures[2]) > 5


def test_other_families_paint_over_what_they_are_given(other: Loaded) -> None:
    given = inputs(72, 64)
    whole = painted(other, SMALL, given).pictures[0]
    plain = painted(other, replace(SMALL, image=None)).pictures[0]
    assert whole.shape == (64, 72, 3)
    assert distance(whole, plain) > 0
    half = painted(other, replace(SMALL, mask="mask"), given).pictures[0]
    assert distance(half[:, 40:], scene(72, 64)[:, 40:]) > 0


@pytest.mark.parametrize(("width", "height"), [(256, 256), (200, 137), (400, 512), (96, 300)])
def test_what_the_mask_keeps_is_kept_to_the_byte(pico: Loaded, width: int, height: int) -> None:
    asked = replace(LARGE, width=width, height=height, mask="mask", steps=4)
    picture = painted(pico, asked, inputs(width, height)).pictures[0]
    kept = right_half(width, height) == 0
    assert np.array_equal(picture[kept], scene(width, height)[kept])
    assert distance(picture[~kept], scene(width, height)[~kept]) > 1


def test_other_families_keep_what_the_mask_keeps(other: Loaded) -> None:
    picture = painted(other, replace(SMALL, mask="mask"), inputs(72, 64)).pictures[0]
    kept = right_half(72, 64) == 0
    assert np.array_equal(picture[kept], scene(72, 64)[kept])


@pytest.mark.parametrize(("strength", "steps"), [(0.05, 1), (0.6, 3), (0.7, 4), (1.0, 5)])
@pytest.mark.parametrize("mask", [None, "mask"])
def test_progress_counts_the_steps_that_are_run(
    other: Loaded, strength: float, steps: int, mask: str | None
) -> None:
    studio = Studio(inputs=inputs(72, 64))
    studio.start(other, it=replace(SMALL, strength=strength, mask=mask))
    studio.run()
    if other.family.floors and strength == 0.7:  # of five steps 3.5
        steps -= 1
    assert studio.said["it"] == [Progress(done, steps) for done in range(1, steps + 1)]


def test_company_changes_no_byte_of_what_is_painted_over(pico: Loaded) -> None:
    company = {
        "over": LARGE,
        "inside": replace(LARGE, mask="mask", seed=3),
        "plain": replace(ASKED, steps=5),
        "more": replace(LARGE, strength=0.9, steps=5, num_images=2),
        "inside_too": replace(LARGE, mask="mask", steps=6, guidance_scale=2.0),
        "wide": replace(LARGE, width=320, height=200, steps=4),
    }
    given = inputs(256, 256)
    studio = Studio(inputs=given)
    for _ in range(2):  # the first round proves the buckets
        studio.start(pico, **company)
        studio.run()
    for id, asked in company.items():
        assert studio.files(id) == alone(pico, asked, given), id


def test_company_changes_no_byte_in_other_families(other: Loaded) -> None:
    company = {
        "over": SMALL,
        "again": replace(SMALL, seed=2),
        "inside": replace(SMALL, mask="mask", strength=1.0),
        "inside_too": replace(SMALL, mask="mask", strength=0.8, seed=5),
        "plain": replace(SMALL, image=None),
    }
    given = inputs(72, 64)
    studio = Studio(budget=10**6, inputs=given)
    for _ in range(2):
        studio.start(other, **company)
        studio.run()
    for id, asked in company.items():
        assert studio.files(id) == alone(other, asked, given), id


def test_pictures_are_encoded_together(pico: Loaded) -> None:
    ran: list[int] = []
    handle = pico.pipe.vae.real.encoder.register_forward_pre_hook(
        lambda _module, args: ran.append(args[0].shape[0])
    )
    studio = Studio(inputs=inputs(256, 256))
    for _ in range(5):  # four equal rows prove as much as one
        ran.clear()
        studio.start(pico, it=replace(LARGE, num_images=4, steps=1))
        studio.run()
    handle.remove()
    assert sum(ran) == 4
    assert len(ran) < 4 or pico.pipe.vae.dtype is torch.float32


def test_a_mask_of_white_paints_what_no_mask_paints(other: Loaded) -> None:
    """SD3's pipeline for masks once forgot a shift when it decoded, which changed all colours."""
    given = inputs(72, 64) | {"mask": png(np.full((64, 72), 255, np.uint8))}
    masked = painted(other, replace(SMALL, mask="mask"), given).pictures[0]
    most = 1 if other.pipe.dtype is torch.float32 else 4  # of 255, by rounding
    assert distance(masked, painted(other, SMALL, given).pictures[0]) < most


@pytest.mark.parametrize("scheduler", LEADING)
@pytest.mark.parametrize("mask", [None, "mask"])
def test_every_scheduler_paints_over(pico: Loaded, scheduler: str, mask: str | None) -> None:
    studio, asked = Studio(inputs=inputs(256, 256)), replace(LARGE, scheduler=scheduler, mask=mask)
    studio.start(pico, it=replace(asked, steps=10, strength=0.3))
    studio.run()
    assert studio.said["it"] == [Progress(done, 3) for done in range(1, 4)]
    assert 2 < distance(studio.picture("it"), scene(256, 256)) < 60


def test_what_a_model_cannot_paint_over_is_told_with_its_field(pico: Loaded) -> None:
    studio, unable = Studio(inputs=inputs(256, 256)), replace(pico, family=Family())
    studio.start(unable, over=LARGE)
    assert studio.fault("over") is Kind.UNSUPPORTED
    studio.start(unable, inside=replace(LARGE, mask="mask", num_images=3))
    last = studio.said["inside"][-1]
    assert isinstance(last, Failed)
    assert (last.fault.kind, last.fault.field) == (Kind.UNSUPPORTED, "image")
