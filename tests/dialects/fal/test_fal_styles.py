"""Styles and backgrounds by fal's pages, in a whole server with an engine of plain colour."""

import base64
import io
import zipfile
from typing import Any

import httpx
import numpy as np
import pytest

from imagemill.finishing.style_vectors import mean, measure
from tests.conftest import Serving
from tests.engines import PlainEngine
from tests.studio import png

pytestmark = pytest.mark.anyio

V3, BACKGROUND = "fal-ai/ideogram/v3", "fal-ai/ideogram/v3/replace-background"
RECRAFT, MAKE = "fal-ai/recraft/v2/text-to-image", "fal-ai/recraft/v3/create-style"
KEY = {"authorization": "Key mine"}


def pixels(*colour: int) -> Any:
    image = np.full((96, 128, 3), colour, np.uint8)
    image[20:60, 30:90] //= 3
    return image


RED, BLUE = pixels(220, 60, 40), pixels(40, 60, 220)


def uri(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def archive(*contents: bytes) -> str:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as written:
        for number, content in enumerate(contents):
            written.writestr(f"{number}.png", content)
    return uri(out.getvalue(), "application/zip")


async def run(client: httpx.AsyncClient, app: str, **body: Any) -> httpx.Response:
    asked = {"prompt": "a cat", **body} if app != MAKE else body
    return await client.post(f"/fal/run/{app}", json=asked, headers=KEY)


def wrong(reply: httpx.Response) -> tuple[list[Any], str, str]:
    assert reply.status_code == 422, reply.text
    (detail,) = reply.json()["detail"]
    return detail["loc"][1:], detail["type"], detail["msg"]


async def test_references_become_the_style_that_they_have_in_common(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        reply = await run(client, V3, image_urls=[uri(png(RED)), uri(png(BLUE))], seed=1)
        assert reply.status_code == 200, reply.text
    (asked,), (inputs,) = engine.submitted, engine.inputs
    assert asked.style_vector == mean([measure(RED), measure(BLUE)])
    assert (asked.style_images, dict(inputs)) == ((), {}), "no pixel of them is wanted any more"


async def test_codes_become_their_style_without_an_image(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        assert (await run(client, V3, style_codes=["9468878f"])).status_code == 200
    assert engine.submitted[0].style_vector == (9, 4, 6, 8, 8, 7, 8, 15)


@pytest.mark.parametrize(
    ("body", "loc", "words"),
    [
        ({"style_codes": ["9468878f"], "style": "AUTO"}, ["style_codes"], "Cannot be used in"),
        ({"style_codes": ["9468878f"], "image_urls": [uri(png(RED))]}, ["style_codes"], "image_ur"),
        ({"style_codes": ["9468878f", "9468878g"]}, ["style_codes", 1], "match pattern"),
        ({"image_urls": [uri(png(RED)), uri(bytes(11 * 2**20))]}, ["image_urls"], "(10 MB)"),
        ({"image_urls": [uri(png(RED)), uri(b"GIF89a")]}, ["image_urls", 1], "is a GIF file"),
        ({"image_urls": [uri(b"")]}, ["image_urls", 0], "is empty"),
        ({"image_urls": ["http://127.0.0.1:9/x.png"]}, ["image_urls", 0], "127.0.0.1"),
    ],
)
async def test_what_is_wrong_with_a_style_is_said_in_the_words_of_the_page(
    body: dict[str, Any], loc: list[Any], words: str, serving: Serving
) -> None:
    async with serving(PlainEngine()) as client:
        place, _, message = wrong(await run(client, V3, **body))
    assert place == loc
    assert words in message


async def test_a_style_made_of_images_answers_to_its_id(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        made = await run(client, MAKE, images_data_url=archive(png(RED)), base_style="any")
        id = made.json()["style_id"]
        assert (await run(client, RECRAFT, style_id=id)).status_code == 200
    (asked,) = engine.submitted
    assert (asked.style_vector, asked.style, asked.style_id) == (measure(RED), None, None)


async def test_a_style_stands_on_its_base(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        for base in ("digital_illustration/pixel_art", "digital_illustration/noir"):
            body = {"images_data_url": archive(png(RED)), "base_style": base}
            id = (await run(client, MAKE, **body)).json()["style_id"]
            await run(client, RECRAFT, style_id=id)
    styles = [each.style for each in engine.submitted]
    assert styles == ["recraft/digital_illustration/pixel_art", "recraft/digital_illustration"]


async def test_a_request_for_a_style_is_complete_in_the_queue_at_once(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = {"images_data_url": archive(png(RED), png(BLUE))}
        queued = await client.post(f"/fal/queue/{MAKE}", json=body, headers=KEY)
        told = queued.json()
        status = (await client.get(told["status_url"], headers=KEY)).json()
        result = (await client.get(told["response_url"], headers=KEY)).json()
        cancelled = await client.put(told["cancel_url"], headers=KEY)
        stranger = await client.get(told["response_url"])
    assert (told["status"], status["status"]) == ("COMPLETED", "COMPLETED")
    assert result == {"style_id": told["request_id"]}
    assert cancelled.json() == {"status": "ALREADY_COMPLETED"}
    assert stranger.status_code == 404


@pytest.mark.parametrize(
    ("body", "loc", "words"),
    [
        ({}, ["images_data_url"], "is required"),
        ({"images_data_url": archive()}, ["images_data_url"], "0 images came"),
        ({"images_data_url": archive(*[png(RED)] * 6)}, ["images_data_url"], "has 6 files"),
        ({"images_data_url": archive(b"no")}, ["images_data_url", 0], "is text, no picture"),
        ({"images_data_url": uri(b"PK\3\4")}, ["images_data_url"], "broken ZIP archive"),
        ({"images_data_url": archive(png(RED)), "base_style": "oil"}, ["base_style"], "unknown"),
    ],
)
async def test_what_is_wrong_with_the_images_of_a_style_is_told(
    body: dict[str, Any], loc: list[Any], words: str, serving: Serving
) -> None:
    async with serving(PlainEngine()) as client:
        place, _, message = wrong(await run(client, MAKE, **body))
    assert place == loc
    assert words in message


async def test_an_unknown_style_and_that_of_another_are_refused_alike(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = {"images_data_url": archive(png(RED))}
        made = await client.post(f"/fal/run/{MAKE}", json=body, headers={"authorization": "Key b"})
        for id in (made.json()["style_id"], "229b2a75-05e4-4580-85f9-b47ee521a00d", "mine"):
            loc, _, message = wrong(await run(client, RECRAFT, style_id=id))
            assert loc == ["style_id"]
            assert "there is no style" in message


async def test_a_background_is_replaced_in_the_size_of_the_image(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        reply = await run(client, BACKGROUND, image_url=uri(png(RED)))
        assert reply.status_code == 200, reply.text
    (asked,) = engine.submitted
    assert (asked.keep_foreground, asked.width, asked.height) == (True, 128, 96)
