"""IP-Adapters by fal's page of Stable Diffusion 3.5, in a whole server with an engine of plain
colour.
"""

import base64
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from imagemill.images.decode import size_of
from imagemill.model_spec import AdapterPlace, ModelSpec, image_prompted
from imagemill.pipelines.families import EMBEDDED
from tests.conftest import Serving
from tests.engines import PlainEngine
from tests.jobs.test_weight_files import hosting
from tests.studio import png

pytestmark = pytest.mark.anyio

PAGE = "fal-ai/stable-diffusion-v35-large"
WEIGHTS = "/models/sd35"  # nobody reads them here
MODELS = {PAGE: ModelSpec(WEIGHTS)}
SIZE = 96, 64  # px of the reference
REFERENCE = png(np.full((SIZE[1], SIZE[0], 3), 200, np.uint8))
IMAGE = f"data:image/png;base64,{base64.b64encode(REFERENCE).decode()}"
MASK = f"data:image/png;base64,{base64.b64encode(png(np.eye(32, dtype=np.uint8) * 255)).decode()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As h94/IP-Adapter lies on the Hub."""
    root = tmp_path / "h94"
    for name in ("models/ip-adapter_sd15.safetensors", "models/image_encoder/model.safetensors"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"weights")
    return root


async def ask(client: httpx.AsyncClient, adapter: dict[str, Any], **more: Any) -> httpx.Response:
    usual = {"path": "mine", "image_encoder_path": "clip", "image_url": IMAGE, "scale": 0.7}
    body = {"prompt": "a cat", "num_inference_steps": 1, "seed": 7, **more}
    return await client.post(f"/fal/run/{PAGE}", json=body | {"ip_adapter": usual | adapter})


async def test_all_ten_fields_reach_the_engine(serving: Serving, folder: Path) -> None:
    engine = PlainEngine()
    said: dict[str, Any] = {
        "path": "h94/IP-Adapter", "subfolder": "models",
        "weight_name": "ip-adapter_sd15.safetensors", "image_encoder_path": "h94/IP-Adapter",
        "image_encoder_subfolder": "models/image_encoder",
        "image_encoder_weight_name": "model.safetensors", "mask_image_url": MASK,
        "mask_threshold": 0.25, "scale": 0.5,
    }  # fmt: skip
    aliases = {"h94/IP-Adapter": str(folder)}
    async with serving(engine, models=MODELS, ip_adapters=aliases) as client:
        reply = await ask(client, said)
    assert reply.status_code == 200, reply.text
    path, encoder = (str(folder / said["subfolder"] / each) for each in (
        said["weight_name"], "image_encoder/model.safetensors"
    ))  # fmt: skip
    assert engine.sources == [image_prompted(WEIGHTS, AdapterPlace(path, encoder))]
    (generation,), (inputs,) = engine.submitted, engine.inputs
    own = generation.ip_adapter
    assert own is not None
    assert (own.scale, own.mask_threshold) == (0.5, 0.25)
    assert size_of(inputs[own.image]) == SIZE
    assert size_of(inputs[own.mask or ""]) == (32, 32)


async def test_what_is_left_out_is_where_diffusers_has_it(serving: Serving, folder: Path) -> None:
    """A folder of an encoder is told as such, with the files that describe it."""
    engine = PlainEngine()
    (folder / "ip-adapter.safetensors").write_bytes(b"weights")
    aliases = {"mine": str(folder), "clip": str(folder / "models" / "image_encoder")}
    async with serving(engine, models=MODELS, ip_adapters=aliases) as client:
        assert (await ask(client, {})).status_code == 200
    place = AdapterPlace(str(folder / "ip-adapter.safetensors"), aliases["clip"])
    assert engine.sources == [image_prompted(WEIGHTS, place)]


async def test_weights_come_by_url_once_and_lie_here_by_their_content(
    serving: Serving, tmp_path: Path
) -> None:
    engine, contents = PlainEngine(), {"net": b"an adapter", "clip": b"an encoder"}
    async with hosting(**contents) as host, serving(engine, models=MODELS) as client:
        urls = {"path": f"{host.url}net", "image_encoder_path": f"{host.url}clip"}
        for _ in range(2):
            reply = await ask(client, urls)
            assert reply.status_code == 200, reply.text
        assert sorted(host.asked) == ["clip", "net"]
    adapter, encoder = (
        str(tmp_path / folder / f"{sha256(contents[name]).hexdigest()}.safetensors")
        for folder, name in (("ip_adapters", "net"), ("image_encoders", "clip"))
    )
    assert engine.sources == [image_prompted(WEIGHTS, AdapterPlace(adapter, encoder))] * 2


async def test_a_scale_of_nothing_loads_nothing(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine, models=MODELS) as client:
        assert (await ask(client, {"path": "nobody/has-this", "scale": 0})).status_code == 200
    assert engine.sources == [WEIGHTS]


async def test_the_embedded_model_has_one_of_its_own_for_whatever_is_named(
    serving: Serving,
) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        reply = await ask(client, {"path": "somebody/it"})
    assert reply.status_code == 200, reply.text
    assert engine.sources == [image_prompted(EMBEDDED, AdapterPlace(EMBEDDED, EMBEDDED))]


@pytest.mark.parametrize(
    ("adapter", "loc", "type", "words"),
    [
        ({"scale": 2.5}, "scale", "less_than_equal", "2"),
        ({"mask_threshold": 1.5}, "mask_threshold", "less_than_equal", "1"),
        ({"path": ""}, "path", "string_too_short", "1 character"),
        ({"path": "what is this"}, "path", "value_error", "is no address"),
        ({"path": "mine", "subfolder": "../.."}, "path", "value_error", "has no"),
        ({"path": "mine", "weight_name": "other.safetensors"}, "path", "value_error", "has no"),
        ({"path": "a/b", "weight_name": "ip.bin"}, "path", "value_error", "safetensors"),
        ({"image_encoder_path": "what is this"}, "image_encoder_path", "value_error",
         "is no address"),
        ({"image_url": "data:image/png;base64,"}, "image_url", "image_load_error", ""),
        ({"image_url": "data:image/png;base64,bm8="}, "image_url", "image_load_error",
         "no picture that is read"),
        ({"image_url": "http://127.0.0.1:9/x.png"}, "image_url", "file_download_error",
         "127.0.0.1"),
        ({"mask_image_url": "data:image/png;base64,bm8="}, "mask_image_url", "image_load_error",
         "no picture that is read"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_in_the_words_of_the_page(
    adapter: dict[str, Any], loc: str, type: str, words: str, serving: Serving, folder: Path
) -> None:
    engine, own = PlainEngine(), folder / "models"
    (own / "ip-adapter.safetensors").write_bytes(b"weights")
    aliases = {"mine": str(own), "clip": str(own / "image_encoder")}
    async with serving(engine, models=MODELS, ip_adapters=aliases) as client:
        reply = await ask(client, adapter)
    assert reply.status_code == 422, reply.text
    (detail,) = reply.json()["detail"]
    assert (detail["loc"], detail["type"]) == (["body", "ip_adapter", loc], type)
    assert words in detail["msg"]
    assert engine.submitted == []
