"""Styles of images through OpenAI's client, as Recraft's documents ask for them."""

import io
from typing import Any

import numpy as np
import openai
import pytest
from PIL import Image

from imagemill.finishing.style_vectors import mean, measure
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

MODEL = "recraft-ai/recraft-v3"
KEY = {"authorization": "Bearer mine"}


def pixels(*colour: int) -> Any:
    image = np.full((64, 64, 3), colour, np.uint8)
    image[16:40, 16:50] //= 2
    return image


RED, BLUE = pixels(220, 60, 40), pixels(40, 60, 220)


def png(image: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def client_of(http: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"{http.base_url}/openai/v1", api_key="mine", http_client=http, max_retries=0
    )


async def test_the_client_makes_a_style_and_paints_in_it(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as http:
        client = client_of(http)
        made: Any = await client.post(
            "/styles",
            cast_to=object,
            options={"headers": {"Content-Type": "multipart/form-data"}},
            body={"style": "digital_illustration"},
            files={"file1": ("a.png", png(RED)), "file2": ("b.png", png(BLUE))},
        )
        await client.images.generate(
            model=MODEL, prompt="a potato masher", extra_body={"style_id": made["id"]}
        )
    (asked,) = engine.submitted
    assert asked.style_vector == mean([measure(RED), measure(BLUE)])
    assert asked.style == "recraft/digital_illustration"


@pytest.mark.parametrize(
    ("form", "files", "words"),
    [
        ({}, {}, "0 images came"),
        ({}, {f"file{n}": png(RED) for n in range(6)}, "6 images came"),
        ({"style": "oil"}, {"file1": png(RED)}, "unknown style 'oil'"),
        ({}, {"file1": b"no picture"}, "is text, no picture"),
        ({}, {"file1": png(RED) + bytes(11 * 2**20)}, "(10 MB)"),
    ],
)
async def test_what_is_wrong_with_a_style_is_told_in_openai_s_form(
    form: dict[str, str], files: dict[str, bytes], words: str, serving: Serving
) -> None:
    async with serving(PlainEngine()) as http:
        sent = {name: (f"{name}.png", content) for name, content in files.items()}
        body = {**form, "model": "recraftv3"}
        nothing = {"none": (None, "")}
        reply = await http.post("/openai/v1/styles", data=body, files=sent or nothing, headers=KEY)
    assert reply.status_code == 400, reply.text
    assert words in reply.json()["error"]["message"]


async def test_an_unknown_style_is_told_by_its_parameter(serving: Serving) -> None:
    async with serving(PlainEngine()) as http:
        body = {"model": MODEL, "prompt": "a cat", "style_id": "mine"}
        reply = await http.post("/openai/v1/images/generations", json=body, headers=KEY)
        json = await http.post("/openai/v1/styles", json={}, headers=KEY)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "style_id")
    assert json.status_code == 400
