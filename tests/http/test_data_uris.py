"""Pictures within requests, written as clients write them: every dialect reads them by one reader.

Line breaks were refused by five of them, and `DATA:` and `;BASE64,` by two.
"""

import base64
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

SIZE = {"width": 64, "height": 64}
ASKED = {"prompt": "a red cat", **SIZE}
URI = "the picture"  # stands for it in a body
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "hf": ("/hf-inference/models/a/b", {"inputs": URI}),
    "hf mask": (
        "/hf-inference/models/a/b",
        {"inputs": URI, "parameters": {"prompt": "a cat", "mask_image": URI}},
    ),
    "fal": (
        "/fal/run/fal-ai/ideogram/v3/reframe",
        {"image_url": URI, "image_size": {"width": 128, "height": 64}, "sync_mode": True},
    ),
    "fal by the router": ("/fal-ai/fal-ai/flux/dev", ASKED | {"image_url": URI}),
    "together": ("/together/v1/images/generations", {"model": "a/b", **ASKED, "image_url": URI}),
    "together, in base64": (
        "/together/v1/images/generations",
        {"model": "a/b", **ASKED, "image_base64": URI},
    ),
    "openai": (
        "/openai/v1/images/edits",
        {"model": "a/b", "prompt": "a cat", "images": [{"image_url": URI}]},
    ),
    "replicate": ("/replicate/v1/models/a/b/predictions", {"input": ASKED | {"image": URI}}),
    "nebula": (
        "/nebula/api/v1/images/generation",
        {"model_name": "a/b", **ASKED, "num_steps": 1, "guidance_scale": 1, "image": URI},
    ),
    "sdapi": ("/sdapi/v1/img2img", {"prompt": "a cat", "init_images": [URI], "steps": 1}),
}


def picture() -> str:
    """A PNG in base64."""
    file = BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


PICTURE = picture()
BROKEN = base64.encodebytes(base64.b64decode(PICTURE)).decode()
WRITTEN = {
    "in lines": f"data:image/png;base64,{BROKEN}",
    "in lines of Windows": "data:image/png;base64,\r\n" + BROKEN.replace("\n", "\r\n"),
    "behind a blank": f" data:image/png;base64,{PICTURE}",
    "in capitals": f"DATA:IMAGE/PNG;BASE64,{PICTURE}",
    "without a type": f"data:;base64,{PICTURE}",
    "with a parameter": f"data:image/png;charset=utf-8;base64,{PICTURE}",
    "without its end": f"data:image/png;base64,{PICTURE.rstrip('=')}",
    "for addresses": f"data:image/png;base64,{PICTURE.replace('+', '-').replace('/', '_')}",
}


def filled(body: Any, uri: str) -> Any:
    if isinstance(body, dict):
        return {name: filled(each, uri) for name, each in body.items()}
    if isinstance(body, list):
        return [filled(each, uri) for each in body]
    return uri if body == URI else body


@pytest.mark.parametrize("dialect", CALLS)
async def test_a_data_uri_is_read_however_it_is_written(serving: Serving, dialect: str) -> None:
    path, body = CALLS[dialect]
    engine = PlainEngine()
    async with serving(engine) as client:
        for uri in WRITTEN.values():
            headers = {"prefer": "wait"}  # Replicate's
            reply = await client.post(path, json=filled(body, uri), headers=headers)
            assert reply.status_code in (200, 201), (uri[:60], reply.text[:200])
    assert engine.inputs
    assert all(engine.inputs)
