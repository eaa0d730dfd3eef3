"""The matte of pico, as it is shipped: it tells what stands in a place from the place."""

from statistics import median

import pytest
import torch
from torch.nn import functional as F

from imagemill.pico.matte import foreground
from training.control_effect import placed, shipped
from training.looks import Looks
from training.matte import Layers, iou, solid

SIDE = 256
THINGS = ("teapot", "car", "cat", "guitar", "apple", "chair", "horse", "rocket")


@pytest.fixture(scope="module")
def layers() -> Layers:
    pipeline = shipped()
    names = [*pipeline.tokenizer_3.looks]
    return Layers(Looks(names, pipeline.text_encoder_3.float(), pipeline.transformer.sketcher))


def before(layers: Layers, concept: str, side: int = SIDE) -> tuple[torch.Tensor, torch.Tensor]:
    """A thing before a sky over a meadow, (3, side, side), and its alpha."""
    drawn = layers.of([placed(concept, 0.5, 0.6, 0.5)], (side, side))
    sky = torch.linspace(0.5, 0.9, side)[:, None].expand(side, side)
    behind = torch.stack([0.7 * sky, sky, torch.ones_like(sky)])
    behind[:, side // 2 :] = torch.tensor([0.4, 0.7, 0.3])[:, None, None]
    return drawn[:3] + behind * (1 - drawn[3:]), solid(drawn[3:])


def test_things_are_found_and_their_place_is_not(layers: Layers) -> None:
    overlaps = []
    for thing in THINGS:
        image, wanted = before(layers, thing)
        overlaps.append(iou(foreground(image), wanted))
    assert median(overlaps) > 0.8, overlaps
    assert min(overlaps) > 0.3, overlaps


def test_the_alpha_is_as_large_as_the_image_and_the_same_each_time(layers: Layers) -> None:
    image, wanted = before(layers, "car", 401)
    wide = F.pad(image[None], (40, 0, 0, 0), mode="replicate")[0]
    alpha = foreground(wide)
    assert alpha.shape == (1, 401, 441)
    assert torch.equal(alpha, foreground(wide))
    assert iou(alpha[..., 40:], wanted) > 0.7


def test_where_nothing_stands_out_nothing_is_foreground() -> None:
    for colour in (0.1, 0.5, 0.9):
        plain = torch.full((3, SIDE, SIDE), colour)
        assert foreground(plain).mean() < 0.002
