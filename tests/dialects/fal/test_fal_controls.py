"""ControlNets by fal's page of Stable Diffusion 3.5, in a whole server with an engine of plain
colour.
"""

import base64
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from imagemill.conditions import Control
from imagemill.images.decode import size_of
from imagemill.model_spec import ModelSpec, controlled
from imagemill.pico import folder
from imagemill.pipelines.families import EMBEDDED
from tests.conftest import Serving
from tests.engines import PlainEngine
from tests.jobs.test_weight_files import hosting
from tests.studio import png

pytestmark = pytest.mark.anyio

PAGE = "fal-ai/stable-diffusion-v35-large"
WEIGHTS = "/models/sd35"  # nobody reads them here
MODELS = {PAGE: ModelSpec(WEIGHTS)}
WIDTH, HEIGHT = 128, 96  # px of the control's image
EDGES = png(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
IMAGE = f"data:image/png;base64,{base64.b64encode(EDGES).decode()}"
ALIAS = {"canny": "owner/canny"}


async def ask(client: httpx.AsyncClient, control: dict[str, Any], **more: Any) -> httpx.Response:
    net = {"path": "canny", "control_image_url": IMAGE} | control
    body = {"prompt": "a cat", "num_inference_steps": 1, "seed": 7, "controlnet": net, **more}
    return await client.post(f"/fal/run/{PAGE}", json=body)


async def test_an_alias_of_the_operator_s_steers_in_the_size_of_its_image(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine, models=MODELS, controlnets=ALIAS) as client:
        said = {"conditioning_scale": 0.5, "start_percentage": 0.1, "end_percentage": 0.6}
        reply = await ask(client, said)
        assert reply.status_code == 200, reply.text
        (image,) = reply.json()["images"]
    assert engine.sources == [controlled(WEIGHTS, "owner/canny")]
    (generation,), (inputs,) = engine.submitted, engine.inputs
    assert generation.control is not None
    assert generation.control == Control(
        generation.control.image, "owner/canny", scale=0.5, start=0.1, end=0.6
    )
    assert size_of(inputs[generation.control.image]) == (WIDTH, HEIGHT)
    assert (generation.width, generation.height) == (WIDTH, HEIGHT)
    assert (image["width"], image["height"]) == (WIDTH, HEIGHT)


async def test_a_size_that_was_named_is_painted(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine, models=MODELS, controlnets=ALIAS) as client:
        assert (await ask(client, {}, image_size={"width": 64, "height": 64})).status_code == 200
    assert [(each.width, each.height) for each in engine.submitted] == [(64, 64)]


async def test_an_alias_may_be_a_folder_here(serving: Serving, tmp_path: Path) -> None:
    engine, folder = PlainEngine(), tmp_path / "canny"
    folder.mkdir()
    async with serving(engine, models=MODELS, controlnets={"canny": str(folder)}) as client:
        assert (await ask(client, {})).status_code == 200
    assert engine.sources == [controlled(WEIGHTS, str(folder))]


async def test_what_changes_nothing_is_not_loaded(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine, models=MODELS, controlnets=ALIAS) as client:
        for control in ({"conditioning_scale": 0}, {"start_percentage": 1}):
            assert (await ask(client, control | {"path": "nobody/has-this"})).status_code == 200
    assert engine.sources == [WEIGHTS, WEIGHTS]


async def test_weights_come_by_url_once_and_lie_here_by_their_content(
    serving: Serving, tmp_path: Path
) -> None:
    engine, content = PlainEngine(), b"weights of a network"
    async with hosting(net=content) as host, serving(engine, models=MODELS) as client:
        for _ in range(2):
            assert (await ask(client, {"path": f"{host.url}net"})).status_code == 200
        assert host.asked == ["net"]
    name = f"{sha256(content).hexdigest()}.safetensors"
    place = tmp_path / "controlnets" / name
    assert engine.sources == [controlled(WEIGHTS, str(place))] * 2
    assert place.read_bytes() == content


@pytest.mark.parametrize(
    ("control", "loc", "type", "words"),
    [
        ({"start_percentage": 0.8, "end_percentage": 0.2}, "start_percentage", "value_error",
         "starts at 0.8 of the steps and ends at 0.2"),
        ({"conditioning_scale": 3}, "conditioning_scale", "less_than_equal", "2"),
        ({"end_percentage": 1.5}, "end_percentage", "less_than_equal", "1"),
        ({"path": ""}, "path", "string_too_short", "1 character"),
        ({"path": "what is this"}, "path", "value_error", "is no address"),
        ({"control_image_url": "data:image/png;base64,bm8="}, "control_image_url",
         "image_load_error", "no picture that is read"),
        ({"control_image_url": "http://127.0.0.1:9/x.png"}, "control_image_url",
         "file_download_error", "127.0.0.1"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_in_the_words_of_the_page(
    control: dict[str, Any], loc: str, type: str, words: str, serving: Serving
) -> None:
    engine = PlainEngine()
    async with serving(engine, models=MODELS, controlnets=ALIAS) as client:
        reply = await ask(client, control)
    assert reply.status_code == 422, reply.text
    (detail,) = reply.json()["detail"]
    assert (detail["loc"], detail["type"]) == (["body", "controlnet", loc], type)
    assert words in detail["msg"]
    assert engine.submitted == []


async def test_the_embedded_model_has_one_of_its_own_for_whatever_is_named(
    serving: Serving,
) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        reply = await ask(client, {"path": "somebody/canny"})
    assert reply.status_code == 200, reply.text
    assert engine.sources == [controlled(EMBEDDED, str(folder("control")))]
