"""Every field of a generation changes the image that pico paints, or what comes with it."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from imagemill.conditions import Control, ImagePrompt, Swatch
from imagemill.engine.stand_ins import prepare
from imagemill.finishing.style_vectors import from_code
from imagemill.generation import Generation
from imagemill.model_spec import AdapterPlace, controlled, image_prompted
from imagemill.pico import folder
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.loading import Loaded
from tests.studio import Studio, inference, pico, png

__all__ = ["inference", "pico"]

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
CORNER = np.kron([[255, 0], [0, 0]], np.ones((32, 32))).astype(np.uint8)
EDGES = np.zeros((64, 64, 3), np.uint8)
EDGES[8:40, 8:40] = 255
INPUTS = {
    "image": png(PIXELS),
    "other": png(255 - PIXELS),
    "mask": png(CORNER),
    "edges": png(EDGES),
    "source": png(PIXELS),
}

BASE = Generation("a red cat", "imagemill/pico", 64, 64, 2, 4.0, seed=1)
OVER = replace(BASE, image="image")
WITHIN = replace(OVER, mask="mask")
EDITED = replace(BASE, prompt="Make it night")
STEERED = replace(BASE, control=Control("edges", EMBEDDED))
# By field: what it is changed beside, and to what.
CHANGES: dict[str, tuple[Generation, Any]] = {
    "prompt": (BASE, "a blue dog"),
    "width": (BASE, 96),
    "height": (BASE, 96),
    "steps": (BASE, 3),
    "guidance_scale": (BASE, 9.0),
    "seed": (BASE, 2),
    "negative_prompt": (BASE, "snow"),
    "num_images": (BASE, 2),
    "scheduler": (BASE, "FlowMatchHeunDiscreteScheduler"),
    "format": (BASE, "jpeg"),
    "guidance_range": (BASE, (0.0, 0.5)),
    "image": (BASE, "image"),
    "mask": (OVER, "mask"),
    "strength": (OVER, 0.9),
    "control": (BASE, STEERED.control),
    "ip_adapter": (BASE, ImagePrompt("source", EMBEDDED)),
    "style": (BASE, "recraft/digital_illustration/pixel_art"),
    "palette": (BASE, (Swatch(200, 10, 10, 1.0),)),
    "style_vector": (BASE, from_code("0f1e2d3c")),
    "references": (EDITED, ("source",)),
    "image_guidance_scale": (replace(EDITED, references=("source",)), 5.0),
    "acceleration": (replace(BASE, steps=20), "high"),
}
# Fields that are settled before a painter sees them, shown where they are; and what pico has none
# of, or no choice in.
SETTLED = frozenset({
    "model", "outpaint", "image_sized", "expand", "style_images", "style_id", "keep_foreground",
    "safety", "loras", "spacing",
})  # fmt: skip


@pytest.fixture(scope="module")
def painted(pico: Loaded) -> Callable[[Generation], tuple[bytes, ...]]:
    """The files of a generation, of whatever field; all are painted in one company."""
    studio = Studio(inputs=INPUTS)
    steered = prepare(controlled(EMBEDDED, str(folder("control"))), [pico])
    prompted = prepare(image_prompted(EMBEDDED, AdapterPlace(EMBEDDED, EMBEDDED)), [pico])
    wanted = [each for name, (base, value) in CHANGES.items() for each in both(name, base, value)]
    distinct = list(dict.fromkeys(wanted))
    for number, generation in enumerate(distinct):
        loaded = steered if generation.control else prompted if generation.ip_adapter else pico
        studio.start(loaded, **{str(number): generation})
    studio.run()
    return lambda generation: studio.files(str(distinct.index(generation)))


def both(name: str, base: Generation, value: Any) -> tuple[Generation, Generation]:
    return base, replace(base, **{name: value})


@pytest.mark.parametrize("name", CHANGES)
def test_a_field_that_is_changed_alone_changes_the_image(
    name: str, painted: Callable[[Generation], tuple[bytes, ...]]
) -> None:
    before, after = both(name, *CHANGES[name])
    assert painted(before) != painted(after)


def test_no_field_is_left_out() -> None:
    assert CHANGES.keys() | SETTLED == {each.name for each in fields(Generation)}
