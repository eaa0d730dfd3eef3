"""The flat door, through a whole server."""

import base64
import io
import json

import httpx
import pytest
from PIL import Image

from imagemill.dialects.flat import STATUSES, refuse
from imagemill.errors import Fault, Kind
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio


def opened(reply: httpx.Response) -> Image.Image:
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json()) == ["image"]
    return Image.open(io.BytesIO(base64.b64decode(reply.json()["image"], validate=True)))


@pytest.mark.parametrize("path", ["/", "/flat/someone/something"])
@pytest.mark.parametrize("name", ["inputs", "prompt", "s"])
async def test_a_picture_comes_back_in_base64(serving: Serving, path: str, name: str) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        image = opened(await client.post(path, json={name: "a red cat"}))
    assert (image.size, image.format) == ((512, 512), "PNG")
    assert engine.submitted[0].prompt == "a red cat"
    assert engine.submitted[0].steps == 25


async def test_every_field_reaches_the_engine(serving: Serving) -> None:
    engine = PlainEngine()
    fields = {
        "inputs": "a red cat",
        "negative_prompt": "green",
        "height": 64,
        "width": 192,
        "guidance_scale": 7.5,
        "inference_steps": 5,
        "seed": 0,
    }
    async with serving(engine) as client:
        reply = await client.post("/flat/a/b", json=fields)
    assert opened(reply).size == (192, 64)
    generation = engine.submitted[0]
    assert (generation.model, generation.negative_prompt, generation.guidance_scale) == (
        "a/b",
        "green",
        7.5,
    )
    assert (generation.steps, generation.seed) == (5, 0)
    assert reply.headers["x-imagemill-seed"] == "0"
    assert reply.headers["x-imagemill-model"] == "pico"


async def test_the_bare_address_is_the_first_configured_model(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine, models={"a/b": "folder"}) as client:
        opened(await client.post("/", json={"inputs": "a red cat", "height": 64, "width": 64}))
    assert (engine.submitted[0].model, engine.sources) == ("a/b", ["folder"])


async def test_without_a_seed_every_call_paints_anew(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        for _ in range(2):
            reply = await client.post("/", json={"inputs": "a red cat"})
            assert reply.headers["x-imagemill-cache"] == "miss"
    assert len({generation.seed for generation in engine.submitted}) == 2


async def test_with_a_seed_the_second_call_is_a_hit(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        replies = [await client.post("/", json={"s": "a cat", "seed": 1}) for _ in range(2)]
    assert [each.headers["x-imagemill-cache"] for each in replies] == ["miss", "hit"]


@pytest.mark.parametrize(
    ("body", "came"),
    [({}, "none"), ({"inputs": "a", "s": "b"}, "inputs and s"), ({"inputs": None}, "none")],
)
async def test_there_must_be_one_prompt(serving: Serving, body: dict[str, str], came: str) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post("/", json=body)
    assert reply.status_code == 400
    assert reply.json() == {"error": f"the prompt goes into one of inputs, prompt, s; {came} came"}


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_fault_has_words_of_this_dialect(kind: Kind) -> None:
    reply = refuse(Fault(kind, "steps 0 is out of range", "steps", retry_after=2.1))
    assert reply.status_code == STATUSES[kind] >= 400
    assert reply.headers["retry-after"] == "3"
    body = json.loads(bytes(reply.body))
    assert body == {"error": "inference_steps: steps 0 is out of range"}
