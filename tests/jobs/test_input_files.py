"""Pictures that a request names: fetched, checked and handed to the engine, or clearly refused."""

import asyncio
import base64
import io
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

EDIT, REMIX, REFRAME = (f"fal-ai/ideogram/v3/{name}" for name in ("edit", "remix", "reframe"))
KEY = {"authorization": "Key id:secret"}


def png(width: int = 96, height: int = 64, colour: str = "yellow") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "png")
    return buffer.getvalue()


def data(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


@asynccontextmanager
async def web(content: bytes, head: str = "HTTP/1.1 200 OK") -> AsyncIterator[str]:
    """The address of a picture on a server on loopback."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"{head}\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/picture.png"


async def run(client: httpx.AsyncClient, app: str, **asked: Any) -> httpx.Response:
    body = {"seed": 1, "rendering_speed": "TURBO"} | asked
    return await client.post(f"/fal/run/{app}", json=body, headers=KEY)


async def test_a_picture_comes_by_url_by_upload_and_within_the_request(
    serving: Serving, tmp_path: Path
) -> None:
    engine = PlainEngine()
    async with serving(engine) as client, web(png()) as url:
        place = "/fal/cdn/files/upload"
        stored = await client.post(
            place, content=png(), headers=KEY | {"content-type": "image/png"}
        )
        for given in (url, stored.json()["access_url"], data(png())):
            reply = await run(client, REMIX, prompt="a cat", image_url=given)
            assert reply.status_code == 200, reply.text
            (content,) = engine.inputs[-1].values()
            assert Image.open(io.BytesIO(content)).getpixel((0, 0)) == (255, 255, 0)
    with sqlite3.connect(tmp_path / "imagemill.db") as database:
        rows = database.execute("SELECT generation ->> 'image' FROM jobs ORDER BY created")
        assert [image.startswith("file:") for (image,) in rows] == [False, True, True]


async def test_an_edit_has_the_size_of_its_image(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        asked = {"prompt": "a cat", "image_url": data(png(96, 64)), "mask_url": data(png(96, 64))}
        reply = await run(client, EDIT, **asked)
        assert reply.status_code == 200, reply.text
        generation = engine.submitted[-1]
        assert (generation.width, generation.height) == (96, 64)
        assert set(engine.inputs[-1]) == {generation.image, generation.mask}


async def test_a_mask_of_another_size_is_refused(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        asked = {"prompt": "a cat", "image_url": data(png(96, 64)), "mask_url": data(png(64, 64))}
        reply = await run(client, EDIT, **asked)
        assert reply.status_code == 422
        assert reply.json()["detail"][0]["loc"] == ["body", "mask_url"]
        assert "64x64" in reply.json()["detail"][0]["msg"]


async def test_reframing_paints_around_the_whole_image(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        size = {"width": 192, "height": 64}
        reply = await run(client, REFRAME, image_url=data(png(64, 64)), image_size=size)
        assert reply.status_code == 200, reply.text
    generation, inputs = engine.submitted[-1], engine.inputs[-1]
    assert generation.image is not None
    assert generation.mask is not None
    mask = np.asarray(Image.open(io.BytesIO(inputs[generation.mask])))
    assert mask.shape == (64, 192)
    assert (mask[:, 64:128] == 0).all()
    assert (mask[:, :64] == 255).all()
    assert (mask[:, 128:] == 255).all()


@pytest.mark.parametrize(
    ("content", "head", "type"),
    [
        (b"<html><body>a page</body></html>", "HTTP/1.1 200 OK", "image_load_error"),
        (png()[:40], "HTTP/1.1 200 OK", "image_load_error"),
        (png(), "HTTP/1.1 404 Not Found", "file_download_error"),
        (png(), "HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/x", "file_download_error"),
    ],
)
async def test_what_cannot_be_fetched_or_read_is_told(
    serving: Serving, content: bytes, head: str, type: str
) -> None:
    async with serving(PlainEngine()) as client, web(content, head) as url:
        reply = await run(client, REMIX, prompt="a cat", image_url=url)
        assert reply.status_code == 422
        (told,) = reply.json()["detail"]
        assert (told["loc"], told["type"]) == (["body", "image_url"], type)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/x.png", "http://169.254.169.254/latest", "file:///etc/passwd", "nope"]
)
async def test_nobody_is_led_into_the_local_network(serving: Serving, url: str) -> None:
    async with serving(PlainEngine(), host="0.0.0.0") as client:
        reply = await run(client, REMIX, prompt="a cat", image_url=url)
        assert reply.status_code == 422
        assert reply.json()["detail"][0]["loc"] == ["body", "image_url"]


async def test_a_server_for_others_does_not_fetch_from_itself(serving: Serving) -> None:
    async with serving(PlainEngine(), host="0.0.0.0") as client, web(png()) as url:
        assert (await run(client, REMIX, prompt="a cat", image_url=url)).status_code == 422


async def test_somebody_else_s_private_picture_is_not_there(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        lifecycle = '{"initial_acl": {"default": "forbid"}}'
        stored = await client.post(
            "/fal/cdn/files/upload",
            content=png(),
            headers={"authorization": "Key other:one", "x-fal-object-lifecycle": lifecycle},
        )
        reply = await run(client, REMIX, prompt="a cat", image_url=stored.json()["access_url"])
        assert reply.status_code == 422
        assert engine.submitted == []


@pytest.mark.parametrize(
    "target", ["http://10.0.0.1/hook", "http://169.254.169.254/hook", "ftp://a/b", "nope"]
)
async def test_a_webhook_into_the_local_network_is_refused(serving: Serving, target: str) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(
            "/fal/queue/fal-ai/flux/schnell",
            json={"prompt": "a cat"},
            params={"fal_webhook": target},
        )
        assert reply.status_code == 422


async def test_an_expanded_prompt_is_returned(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        reply = await run(client, "fal-ai/ideogram/v3", prompt="a cat", expand_prompt=True)
        assert reply.status_code == 200, reply.text
        assert engine.submitted[-1].prompt.startswith("a cat")
        assert len(engine.submitted[-1].prompt) > len("a cat")
