"""First-block cache: steps that change little take the rest from an earlier one, image by image."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from imagemill.engine.stand_ins import prepare
from imagemill.generation import Acceleration
from imagemill.pipelines.first_block import BLOCKS, METHODS, stages_of
from imagemill.pipelines.loading import Loaded, load
from tests.checkpoints import Checkpoint
from tests.studio import ASKED, Studio, alone, painted
from tests.studio import inference as inference
from tests.studio import pico as pico

LONG = replace(ASKED, steps=20)


def counted(loaded: Loaded) -> Counter[str]:
    """Rows that each part of the denoiser computes, from now on."""
    stages, rows = loaded.pipe.transformer.stages.real, Counter[str]()

    def counting(method: str) -> Any:
        own = getattr(type(stages), method)

        def count(**arguments: Any) -> Any:
            rows[method] += len(arguments["hidden_states"])
            return own(stages, **arguments)

        return count

    for method in METHODS:
        object.__setattr__(stages, method, counting(method))
    return rows


def first_call(loaded: Loaded) -> dict[str, Any]:
    """The arguments with which the pipeline calls its denoiser first."""
    calls = list[dict[str, Any]]()
    denoiser = loaded.pipe.transformer
    hook = denoiser.register_forward_pre_hook(
        lambda _module, _args, kwargs: calls.append(kwargs), with_kwargs=True
    )
    loaded.pipe("a red cat", width=64, height=64, num_inference_steps=1, output_type="latent")
    hook.remove()
    return calls[0]


@pytest.mark.parametrize("family", ["sd3", "flux-dev"])
def test_the_parts_of_a_denoiser_make_the_whole(family: str, checkpoint: Checkpoint) -> None:
    loaded = load(str(checkpoint(family)), "cpu")
    denoiser, arguments = loaded.pipe.transformer, first_call(loaded)
    assert type(denoiser).__name__ in BLOCKS
    stages, (whole,) = stages_of(denoiser), denoiser(**arguments)
    text, image, change = stages.first(**arguments)
    assert change.shape == image.shape
    (rest,), added = stages.rest(states=(text, image), **arguments)
    assert torch.equal(rest, whole)
    (skipped,) = stages.skip(states=(text, image + added), **arguments)
    assert torch.allclose(skipped, whole, atol=max(1e-5, 8 * torch.finfo(whole.dtype).eps))
    assert torch.equal(denoiser(**arguments)[0], whole)


def test_acceleration_saves_most_of_what_changes_little(pico: Loaded) -> None:
    exact = painted(pico, LONG).pictures[0].astype(float)
    rows, saved = counted(pico), list[float]()
    least: dict[Acceleration, float] = {"regular": 40.0, "high": 35.0}
    for acceleration, decibels in least.items():
        rows.clear()
        image = painted(pico, replace(LONG, acceleration=acceleration)).pictures[0]
        assert rows["first"] == 2 * 20
        assert rows["rest"] + rows["skip"] == 2 * 20
        saved.append(rows["skip"])
        error = ((image - exact) ** 2).mean()
        assert error > 0
        assert 10 * np.log10(255**2 / error) > decibels
    assert 2 * 6 <= saved[0] < saved[1]


def test_company_changes_no_byte_of_an_accelerated_image(pico: Loaded) -> None:
    company = {
        "regular": replace(LONG, acceleration="regular"),
        "high": replace(LONG, acceleration="high", seed=2, steps=16),
        "exact": replace(LONG, seed=3),
        "unguided": replace(LONG, acceleration="high", guidance_scale=1.0, seed=4),
        "short": replace(LONG, acceleration="regular", guidance_range=(0.0, 0.5), seed=5),
    }
    studio, rows = Studio(), counted(pico)
    for _ in range(2):
        studio.start(pico, **company)
        studio.run()
    assert rows["skip"]
    for id, generation in company.items():
        assert studio.files(id) == alone(pico, generation)


def test_where_no_step_can_be_saved_guidance_ends_earlier(checkpoint: Checkpoint) -> None:
    sdxl = prepare(str(checkpoint("sdxl")))
    small = replace(ASKED, width=64, height=64, steps=5)
    regular = painted(sdxl, replace(small, acceleration="regular")).pictures[0]
    ended = painted(sdxl, replace(small, guidance_range=(0.0, 0.7))).pictures[0]
    assert np.array_equal(regular, ended)
