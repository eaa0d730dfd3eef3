"""Families whose networks take more than rows of tensors: in company they give the same bytes."""

from collections.abc import Iterator
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from imagemill.engine.batch_axes import FACTS
from imagemill.engine.module_call import know_distributions
from imagemill.engine.stand_ins import stand_in
from imagemill.pipelines.cheap_kernels import spare
from tests.checkpoints import Checkpoint
from tests.company import Asked, Company
from tests.studio import inference_on_one_thread

PROMPTS = ("a red cat", "a blue dog on the yellow mat beside two small birds", "a large house")
PICTURE = Image.fromarray(np.full((64, 64, 3), 90, np.uint8))


@pytest.fixture(scope="module", autouse=True)
def inference() -> Iterator[None]:
    know_distributions()
    with inference_on_one_thread():
        yield


def opened(folder: Any) -> Any:
    pipe = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    spare(pipe)
    return pipe


def wishes(count: int = 4, **more: Any) -> list[Asked]:
    return [
        {
            "prompt": PROMPTS[i % 3], "height": 64, "width": 64, "num_inference_steps": 2 + i % 2,
            "guidance_scale": 3.0 + i, "output_type": "pt",
        }
        | more
        for i in range(count)
    ]  # fmt: skip


def seeded(wishes: list[Asked]) -> list[Asked]:
    return [wish | {"generator": torch.Generator().manual_seed(i)} for i, wish in enumerate(wishes)]


def in_company(pipe: Any, wishes: list[Asked]) -> Company:
    """Each picture has, at the first and the third time, the bytes that it has alone."""
    stand_in(pipe)
    alone = [Company(pipe).paint([wish])[0] for wish in seeded(wishes)]
    company = Company(pipe)
    for _ in range(3):
        company.forwards.clear()
        for a, b in zip(alone, company.paint(seeded(wishes)), strict=True):
            assert torch.equal(a, b)
    return company


def test_sizes_and_texts_of_other_lengths_share_a_forward_where_the_network_takes_lists(
    checkpoint: Checkpoint,
) -> None:
    asked = wishes(2) + wishes(2, height=96)
    company = in_company(opened(checkpoint("z-image")), asked)
    assert company.shared()["ZImageTransformer2DModel"] == 4


def test_texts_of_one_length_share_where_their_length_decides_the_shape(
    checkpoint: Checkpoint,
) -> None:
    company = in_company(opened(checkpoint("lumina2")), wishes())
    assert company.shared()["Lumina2Transformer2DModel"] >= 2
    assert company.shared()["Gemma2Model"] == 4


def test_lists_of_sizes_go_row_by_row(checkpoint: Checkpoint) -> None:
    more = {"true_cfg_scale": 4.0, "negative_prompt": "a dog", "num_inference_steps": 2}
    asked = wishes(3, prompt=PROMPTS[1], **more)
    company = in_company(opened(checkpoint("qwen-image")), asked)
    assert company.shared()["QwenImageTransformer2DModel"] == 3
    assert company.shared()["AutoencoderKLQwenImage"] == 3


def test_a_controlnet_shares_and_so_does_what_it_steers(checkpoint: Checkpoint) -> None:
    company = in_company(opened(checkpoint("sd15-controlnet")), wishes(2, image=PICTURE))
    assert company.shared()["ControlNetModel"] == company.shared()["UNet2DConditionModel"] == 2


class NewTransformer(diffusers.FluxTransformer2DModel):
    """Of a class that is not listed."""


class NewUNet(diffusers.UNet2DConditionModel):
    """Of a class that is not listed."""


@pytest.mark.parametrize(
    ("family", "part", "kind"),
    [("flux-dev", "transformer", NewTransformer), ("sdxl", "unet", NewUNet)],
)
def test_networks_that_nobody_has_heard_of_share_forwards_and_keep_their_bytes(
    checkpoint: Checkpoint, family: str, part: str, kind: type[torch.nn.Module]
) -> None:
    pipe = opened(checkpoint(family))
    getattr(pipe, part).__class__ = kind
    assert (kind.__name__, "forward") not in FACTS
    company = in_company(pipe, wishes(2))
    assert company.forwards[kind.__name__, "forward"] == [2, 2, 1]


def test_a_stand_in_is_of_the_class_of_what_it_stands_for(checkpoint: Checkpoint) -> None:
    pipe = opened(checkpoint("sd15-controlnet"))
    stand_in(pipe)
    assert isinstance(pipe.controlnet, diffusers.ControlNetModel)
    assert not isinstance(pipe.controlnet, diffusers.MultiControlNetModel)
