"""Who may use which stored file as an input: one rule, whatever the dialect that names it."""

import base64
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from imagemill.app import create_app
from imagemill.assembly import Backend
from imagemill.files.objects import Objects
from imagemill.jobs.input_files import KEPT_SECONDS, STORED, Caller, Inline, InputFiles
from imagemill.settings import Settings
from tests.databases import place_database
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

MINE, OTHER = "bWU6c2VjcmV0", "b3RoZXI6b25l"  # credentials that any scheme takes, Basic too
GONE = "there is no such file here, or no longer"
REMIX = "/fal/run/fal-ai/ideogram/v3/remix"


def png(width: int = 96, height: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(buffer, "png")
    return buffer.getvalue()


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def data(content: bytes) -> str:
    return f"data:image/png;base64,{base64_of(content)}"


@dataclass(frozen=True)
class Dialect:
    """How an image is painted over in one of them."""

    path: str
    body: Callable[[str], dict[str, Any]]
    scheme: str = "Bearer"


DIALECTS = {
    "fal": Dialect(
        REMIX,
        lambda image: {"prompt": "a cat", "image_url": image, "rendering_speed": "TURBO"},
        scheme="Key",
    ),
    "replicate": Dialect(
        "/replicate/v1/models/black-forest-labs/flux-dev/predictions",
        lambda image: {"input": {"prompt": "a cat", "image": image, "num_inference_steps": 2}},
    ),
    "hf-inference": Dialect(
        "/hf-inference/models/black-forest-labs/FLUX.1-schnell",
        lambda image: {"inputs": image, "parameters": {"prompt": "a cat"}},
    ),
    "together": Dialect(
        "/together/v1/images/generations",
        lambda image: {"model": "imagemill/pico", "prompt": "a cat", "image_url": image},
    ),
    "openai": Dialect(
        "/openai/v1/images/edits",
        lambda image: {"prompt": "a cat", "images": [{"image_url": image}]},
    ),
    "sdapi": Dialect(
        "/sdapi/v1/img2img",
        lambda image: {"prompt": "a cat", "init_images": [image], "steps": 2},
        scheme="Basic",
    ),
}
EACH = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


@dataclass(frozen=True)
class Door:
    client: httpx.AsyncClient
    backend: Backend
    engine: PlainEngine

    async def named(self, dialect: Dialect, image: str, credential: str = "") -> httpx.Response:
        """The reply to who names an image."""
        headers = {"prefer": "wait", "x-use-cache": "false"}
        if credential:
            headers["authorization"] = f"{dialect.scheme} {credential}"
        return await self.client.post(dialect.path, json=dialect.body(image), headers=headers)

    async def uses(self, dialect: Dialect, image: str, credential: str = "") -> None:
        before = len(self.engine.inputs)
        reply = await self.named(dialect, image, credential)
        assert reply.status_code in (200, 201), reply.text
        assert len(self.engine.inputs[before:]) == 1, reply.text

    async def lacks(self, dialect: Dialect, image: str, credential: str = "") -> None:
        before = len(self.engine.submitted)
        reply = await self.named(dialect, image, credential)
        assert GONE in reply.text
        assert len(self.engine.submitted) == before

    async def uploaded(self, credential: str, access: str = "allow") -> str:
        """The address of a file that its caller has uploaded."""
        headers = {
            "content-type": "image/png",
            "x-fal-object-lifecycle": f'{{"initial_acl": {{"default": "{access}"}}}}',
        }
        if credential:
            headers["authorization"] = f"Key {credential}"
        reply = await self.client.post("/fal/cdn/files/upload", content=png(), headers=headers)
        url: str = reply.json()["access_url"]
        return url


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(tmp_path) as door:
        yield door


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Door]:
    place_database(folder)
    engine = PlainEngine()
    app = create_app(Settings(data_dir=folder), engine)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield Door(client, app.state.backend, engine)


@EACH
async def test_a_public_file_is_everybody_s(door: Door, dialect: Dialect) -> None:
    url = await door.uploaded(MINE)
    for credential in (MINE, OTHER, ""):
        await door.uses(dialect, url, credential)


@EACH
async def test_a_private_file_is_for_the_credential_it_came_with(
    door: Door, dialect: Dialect
) -> None:
    url = await door.uploaded(MINE, "forbid")
    await door.uses(dialect, url, MINE)
    for credential in (OTHER, ""):
        await door.lacks(dialect, url, credential)


@EACH
async def test_a_private_file_of_nobody_s_is_not_for_others_without_a_credential(
    door: Door, dialect: Dialect
) -> None:
    """Those who send no credential cannot be told apart, and two roads in took them for one."""
    file = await door.backend.objects.put(png(), "image/png", public=False)
    for credential in ("", OTHER):
        await door.lacks(dialect, f"http://localhost/{file.key}", credential)


@EACH
@pytest.mark.parametrize("credential", ["", MINE])
async def test_what_comes_within_a_request_is_used_for_it(
    door: Door, dialect: Dialect, credential: str
) -> None:
    await door.uses(dialect, data(png()), credential)


@EACH
async def test_what_came_within_a_request_of_another_s_is_not_there(
    door: Door, dialect: Dialect
) -> None:
    reference = await door.backend.service.store_input(Inline(png()), "image", "")
    url = f"http://localhost/{reference.removeprefix(STORED)}"
    await door.lacks(dialect, url, OTHER)
    assert (await door.client.get(url)).status_code == 404


async def test_nebula_takes_images_within_a_request_alone(door: Door) -> None:
    path = "/nebula/api/v1/images/generation"
    body = {"model": "imagemill/pico", "prompt": "a cat", "num_steps": 2}
    url = await door.uploaded("")
    assert (await door.client.post(path, json=body | {"image": url})).status_code >= 400
    assert door.engine.submitted == []
    reply = await door.client.post(path, json=body | {"image": base64_of(png())})
    assert reply.status_code == 200, reply.text
    assert len(door.engine.inputs) == 1


@pytest.mark.parametrize("owner", ["", MINE])
async def test_an_upload_to_replicate_is_used_by_its_id(door: Door, owner: str) -> None:
    replicate = DIALECTS["replicate"]
    headers = {"authorization": f"Bearer {owner}"} if owner else {}
    upload = {"content": ("cat.png", png(), "image/png")}
    reply = await door.client.post("/replicate/v1/files", files=upload, headers=headers)
    url = reply.json()["urls"]["get"]
    await door.uses(replicate, url, owner)
    await door.lacks(replicate, url, OTHER)


async def test_loras_are_under_the_same_rule(door: Door) -> None:
    file = await door.backend.objects.put(b"weights", "application/octet-stream", public=False)
    body = {
        "model": "imagemill/pico",
        "prompt": "a cat",
        "image_loras": [{"path": f"http://localhost/{file.key}", "scale": 1}],
    }
    reply = await door.client.post("/together/v1/images/generations", json=body)
    assert GONE in reply.text


def files_of(door: Door) -> tuple[InputFiles, Objects]:
    return door.backend.inputs, door.backend.objects


async def test_the_same_content_of_one_caller_is_kept_once(door: Door) -> None:
    files, objects = files_of(door)
    first = await files.keep(Inline(png()), "image", "me")
    assert await files.keep(Inline(png()), "image", "me") == first
    assert await files.keep(Inline(png()), "image", "you") != first
    assert await files.keep(Inline(png(64, 64)), "image", "me") != first
    file = await objects.get(first.removeprefix(STORED))
    assert file is not None
    assert (file.caller, file.public, file.content_type) == ("me", False, "image/png")
    assert file.expires is not None
    assert file.expires - file.created == pytest.approx(KEPT_SECONDS)


@pytest.mark.parametrize("reference", ["stored", "data"])
async def test_whatever_is_named_is_read_in_one_way(door: Door, reference: str) -> None:
    files, me = files_of(door)[0], Caller("me", "me")
    kept = await files.keep(Inline(png()), "image", me.id)
    image = kept if reference == "stored" else data(png())
    async with files.read(image, "image", me) as content:
        assert content == png()
