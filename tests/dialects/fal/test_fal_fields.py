"""Every field of every page means something: changed alone, it changes what the engine is to paint
or what is answered.

That each field of a generation changes the painted image is shown where pico paints
(`tests/engine/test_effects.py`); here it is which field of a page becomes which.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from imagemill.dialects.fal.pages import FAMILIES, PAGES, listed
from tests.conftest import Serving
from tests.dialects.fal.test_fal_styles import archive, uri
from tests.engines import PlainEngine
from tests.jobs.test_weight_files import hosting
from tests.studio import png

pytestmark = pytest.mark.anyio


def image(red: int) -> bytes:
    return png(np.full((64, 64, 3), (red, 90, 90), np.uint8))


RED, BLACK = uri(image(200)), uri(image(10))
SMALL, WIDE = ({"width": width, "height": 64} for width in (64, 128))
# What stands for a file that is fetched, which no engine reads here, and for a style that was made.
WEIGHTS, STYLE = "(weights)", "(style)"
# What fields are without a change, where a page has them; others are left out.
USUAL: dict[str, Any] = {
    "prompt": "a cat", "seed": 1, "num_inference_steps": 2, "image_size": SMALL,
    "image_url": BLACK, "mask_url": BLACK,
}  # fmt: skip
CHANGED: dict[str, Any] = {
    "acceleration": "high",
    "aspect_ratio": "4:3",
    "cfg_range_end": 0.5,
    "cfg_range_start": 0.5,
    "color_palette": {"name": "EMBER"},
    "colors": [{"r": 200, "g": 10, "b": 10}],
    "controlnet": {"path": WEIGHTS, "control_image_url": RED},
    "enable_safety_checker": False,
    "expand_prompt": False,
    "guidance_scale": 4.4,
    "image_guidance_scale": 1.4,
    "image_size": WIDE,
    "image_url": RED,
    "image_urls": [RED],
    "input_image_urls": [RED],
    "ip_adapter": {
        "path": WEIGHTS, "image_encoder_path": "owner/name", "image_url": RED, "scale": 0.7,
    },
    "loras": [{"path": WEIGHTS}],
    "mask_url": RED,
    "negative_prompt": "fog",
    "num_images": 2,
    "num_inference_steps": 3,
    "output_format": "png",
    "prompt": "a dog",
    "rendering_speed": "TURBO",
    "scheduler": "dpmsolver",
    "seed": 2,
    "strength": 0.3,
    "style": "realistic",
    "style_codes": ["0F1E2D3C"],
    "style_id": STYLE,
    "sync_mode": True,
    "text_guidance_scale": 4.4,
}  # fmt: skip
# By page and field, where a value is written otherwise.
OWN: dict[tuple[str, str], Any] = {
    ("fal-ai/recraft/v2/text-to-image", "style"): "digital_illustration/pixel_art",
} | {
    (id, "style"): "REALISTIC"
    for id in PAGES
    if id.startswith("fal-ai/ideogram/v3")
} | {(f"fal-ai/{id}/schnell", "output_format"): "jpeg" for id in ("flux", "flux-1")}  # fmt: skip
MAKE, STYLE_OF = "fal-ai/recraft/v3/create-style", {"images_data_url": archive(image(200))}
# What a field is changed beside, as it means nothing alone.
BESIDE = {"image_guidance_scale": ("input_image_urls",)}
TEN = [id for family in FAMILIES if family is not listed for id in (p.id for p in family.PAGES)]


async def seen(
    client: httpx.AsyncClient, engine: PlainEngine, id: str, said: dict[str, Any]
) -> tuple[Any, ...]:
    """What the engine was to paint, and what was answered but for what differs every time."""
    engine.submitted.clear()
    engine.inputs.clear()
    reply = await client.post(f"/fal/run/{id}", json=said)
    assert reply.status_code == 200, reply.text
    body = reply.json()
    images = [
        (each.get("content_type"), each["url"].startswith("data:")) for each in body["images"]
    ]
    return engine.submitted[:], engine.inputs[:], engine.sources[-1], images, body.get("prompt")


def changes(
    id: str, address: str, style: str
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """By field of a page, an input, and the same with another value of this field alone."""
    page = PAGES[id].Input.model_fields
    usual = {name: value for name, value in USUAL.items() if name in page}
    for name in page:
        value = json.dumps(OWN.get((id, name), CHANGED[name]))
        value = value.replace(WEIGHTS, address).replace(STYLE, style)
        base = usual | {other: CHANGED[other] for other in BESIDE.get(name, ())}
        yield name, base, base | {name: json.loads(value)}


@pytest.mark.parametrize("id", TEN)
async def test_every_field_that_is_changed_alone_changes_something(
    id: str, serving: Serving
) -> None:
    engine = PlainEngine()
    async with hosting(weights=b"weights") as host, serving(engine) as client:
        style = (await client.post(f"/fal/run/{MAKE}", json=STYLE_OF)).json()["style_id"]
        same = [
            name
            for name, before, after in changes(id, f"{host.url}weights", style)
            if await seen(client, engine, id, before) == await seen(client, engine, id, after)
        ]
    assert same == []
