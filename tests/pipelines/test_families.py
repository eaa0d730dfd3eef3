"""Families of models: what each does, hears and says no to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from imagemill.engine.events import Failed, Progress
from imagemill.engine.stand_ins import prepare
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.pipelines.calls import planned
from imagemill.pipelines.deriving import family_of, parameters
from imagemill.pipelines.families import FAMILIES, OWN, Family
from imagemill.pipelines.loading import Loaded
from tests.checkpoints import Checkpoint
from tests.studio import ASKED, Models, Studio, alone, painted, png
from tests.studio import inference as inference
from tests.studio import model as model

SMALL = replace(ASKED, width=64, height=64, steps=2, guidance_scale=3.0)
OVER = replace(SMALL, image="image", strength=0.5)
INSIDE = replace(OVER, mask="mask")


def inputs() -> dict[str, bytes]:
    image, mask = np.full((64, 64, 3), 90, np.uint8), np.zeros((64, 64), np.uint8)
    image[:, ::2] = 200
    mask[:, 32:] = 255
    return {"image": png(image), "mask": png(mask)}


def fault(loaded: Loaded, generation: Generation) -> Fault:
    studio = Studio(inputs=inputs())
    studio.start(loaded, it=generation)
    studio.run()
    last = studio.said["it"][-1]
    assert isinstance(last, Failed)
    return last.fault


@contextmanager
def calls(loaded: Loaded) -> Iterator[list[dict[str, Any]]]:
    """The arguments of every forward of the denoiser."""
    part = getattr(loaded.pipe, "transformer", None) or loaded.pipe.unet
    ran: list[dict[str, Any]] = []
    handle = part.real.register_forward_pre_hook(
        lambda _module, _args, kwargs: ran.append(kwargs), with_kwargs=True
    )
    yield ran
    handle.remove()


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_class_of_the_table_is_in_diffusers_and_paints_something(name: str) -> None:
    family = FAMILIES[name]
    classes = (family.paints, family.repaints, family.inpaints, family.edits)
    assert any(classes)
    for each in filter(None, classes):
        parameters(getattr(diffusers, name if each == OWN else each))
    assert OWN in classes


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux-dev", "qwen-image", "sana"])
def test_a_class_that_nobody_wrote_about_paints_and_takes_pictures_if_it_can(
    family: str, model: Models
) -> None:
    """It was once taken for a flow model with Euler's settings, and failed at every request."""
    known = model(family)
    strange = replace(known, family=family_of(known.pipe, {}))
    assert strange.family.flow == known.family.flow
    assert painted(strange, SMALL).pictures[0].shape == (64, 64, 3)
    assert (strange.family.repaints is None) == (known.family.repaints is None)


@pytest.mark.parametrize("family", ["flux-fill", "sdxl-refiner", "flux-depth", "sd15-inpaint"])
def test_what_paints_only_over_pictures_says_so(family: str, model: Models) -> None:
    told = fault(model(family), SMALL)
    assert (told.kind, told.field) == (Kind.UNSUPPORTED, "image")
    assert "send an image" in told.message


@pytest.mark.parametrize("family", ["kolors", "flux-depth", "flux-kontext", "flux-fill"])
def test_what_the_mask_keeps_is_kept_by_every_family(family: str, model: Models) -> None:
    picture = painted(model(family), INSIDE, inputs()).pictures[0]
    original = np.full((64, 64, 3), 90, np.uint8)
    original[:, ::2] = 200
    assert np.array_equal(picture[:, :32], original[:, :32])
    assert np.abs(picture[:, 40:].astype(float) - original[:, 40:]).mean() > 5


@pytest.mark.parametrize("family", ["flux-kontext", "flux2-klein", "flux-depth", "qwen-image"])
def test_every_family_that_takes_a_picture_looks_at_it(family: str, model: Models) -> None:
    other = inputs() | {"image": png(np.full((64, 64, 3), 20, np.uint8))}
    first = painted(model(family), OVER, inputs()).pictures[0]
    assert not np.array_equal(first, painted(model(family), OVER, other).pictures[0])


def test_what_edits_runs_all_steps_whatever_the_strength(model: Models) -> None:
    studio = Studio(inputs=inputs())
    studio.start(model("flux-kontext"), it=replace(OVER, steps=3))
    studio.run()
    assert studio.said["it"] == [Progress(done, 3) for done in (1, 2, 3)]


def test_stable_diffusion_rounds_its_steps_down_as_stock_does(model: Models) -> None:
    for family, steps in {"sdxl": 3, "sd3": 4}.items():
        studio = Studio(inputs=inputs())
        studio.start(model(family), it=replace(OVER, steps=7))
        studio.run()
        assert len(studio.said["it"]) == steps, family


@pytest.mark.parametrize(("family", "cells"), [("hidream-full", 16), ("flux-kontext", 2 * 16)])
def test_no_family_paints_a_megapixel_where_less_is_asked_for(
    family: str, cells: int, model: Models
) -> None:
    """Kontext reads the picture beside the one it paints, in the same size."""
    loaded = model(family)
    asked = OVER if family == "flux-kontext" else SMALL
    with calls(loaded) as ran:
        picture = painted(loaded, replace(asked, width=96, height=64), inputs()).pictures[0]
    assert picture.shape == (64, 96, 3)
    shape = ran[0]["hidden_states"].shape
    tokens = shape[1] if len(shape) == 3 else shape[2] * shape[3] // 4
    assert tokens == cells * 3 // 2


def test_what_knows_a_megapixel_at_most_is_enlarged() -> None:
    hidream = FAMILIES["HiDreamImagePipeline"]
    call = planned(hidream, replace(SMALL, width=2048, height=1024))
    assert call is not None
    assert call.width * call.height <= 1024**2
    assert abs(call.width / call.height - 2) < 0.1


@pytest.mark.parametrize("family", ["qwen-image", "chroma", "lumina2", "cogview4", "z-image"])
def test_guidance_and_negative_prompts_are_heard(family: str, model: Models) -> None:
    """Qwen-Image guides by `true_cfg_scale`; `guidance_scale` once changed nothing."""
    loaded = model(family)
    pictures = [
        painted(loaded, each).pictures[0].tobytes()
        for each in (
            replace(SMALL, guidance_scale=1.0),
            SMALL,
            replace(SMALL, guidance_scale=6.0),
            replace(SMALL, negative_prompt="blue birds and rivers"),
        )
    ]
    assert len(set(pictures)) == 4


@pytest.mark.parametrize("family", ["sana", "auraflow", "qwen-image", "chroma", "lumina2", "sd15"])
def test_outside_its_range_guidance_is_none(family: str, model: Models) -> None:
    loaded = model(family)
    nowhere = painted(loaded, replace(SMALL, guidance_range=(0.0, 0.0))).pictures[0]
    unguided = painted(loaded, replace(SMALL, guidance_scale=1.0)).pictures[0]
    assert np.abs(nowhere.astype(float) - unguided).mean() < 1


@pytest.mark.parametrize("family", ["flux-kontext", "flux2-klein", "lcm"])
@pytest.mark.parametrize(
    ("field", "value"), [("negative_prompt", "a dog"), ("guidance_range", (0.0, 0.5))]
)
def test_what_a_model_does_not_hear_is_told(
    family: str, field: str, value: Any, model: Models
) -> None:
    told = fault(model(family), replace(SMALL, **{field: value}))
    assert told.field == field
    assert f"leave {field.replace('_', ' ')} out" in told.message.replace("_", " ") or (
        "leave it out" in told.message
    )


@pytest.mark.parametrize("part", ["transformer", "vae"])
def test_numbers_that_are_not_finite_are_no_picture(part: str, checkpoint: Checkpoint) -> None:
    loaded = prepare(str(checkpoint("sd3")))
    with torch.inference_mode():
        for each in getattr(loaded.pipe, part).real.parameters():
            each.fill_(float("nan"))
    told = fault(loaded, SMALL)
    assert told.kind is Kind.FAILED
    assert "not finite" in told.message


LONG = " ".join(["red cat"] * 90)


def test_what_lies_beyond_the_text_encoders_is_told(model: Models) -> None:
    """Of SDXL's 77 tokens two are its own; SD3's T5 reads 256, FLUX's 512."""
    words = tuple(LONG.split())
    assert model("sdxl").unknown(LONG) == words[75:]
    beyond = [model(family).unknown(LONG) for family in ("sdxl", "sd3", "flux-dev")]
    assert all(each == words[len(words) - len(each) :] for each in beyond)
    assert len(beyond[0]) >= len(beyond[1]) > len(beyond[2])
    assert model("flux-dev").unknown("a red cat") == ()


def test_a_family_without_words_about_masks_takes_what_there_is() -> None:
    assert Family(repaints="X").task(True, True) == "repaint"
    assert Family(paints=None, inpaints="X").task(True, False) == "inpaint"
    assert Family().task(True, False) is None
    assert Family(paints=None, inpaints="X").task(False, False) is None


def test_noise_that_a_scheduler_draws_is_the_requests_own(model: Models) -> None:
    """HiDream-I1-Fast's pipeline calls its scheduler without a generator."""
    fast, files = model("hidream-fast"), set()
    small = replace(SMALL, guidance_scale=1.0)
    for seed in (1, 2):
        torch.manual_seed(seed)
        files.add(alone(fast, small))
    studio = Studio()
    studio.start(fast, other=replace(small, seed=5), it=small)
    studio.run()
    assert files == {studio.files("it")}
