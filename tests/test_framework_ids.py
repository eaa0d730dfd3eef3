"""Ids of image models that frameworks carry in their code are answered with an image.

Which ids these are is read from the packages: see `tests/framework_ids.py`.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.conftest import Serving
from tests.engines import PlainEngine
from tests.framework_ids import IDS, TYPES
from tests.replies import picture

pytestmark = pytest.mark.anyio

NAMED: dict[str, dict[str, list[str]]] = json.loads(IDS.read_text("utf-8"))
REQUIRED: dict[str, dict[str, str]] = json.loads(TYPES.read_text("utf-8"))["required"]
PROMPT = {"prompt": "a red cat"}
SIDES = {"width": 64, "height": 64}
SHARE = 0.9  # of the ids of each package; the others make no images, and are told so

Ask = Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]]


def sample(name: str, type: str) -> Any:
    """A value of a type in fal's client, as small as it can be."""
    if "Blob" in type or name.endswith("image"):
        return picture()
    if type == "Array<string>" and "url" in name:
        return [picture()]
    plain: dict[str, Any] = {"string": "a red cat", "number": 1, "boolean": True}
    choice = type.partition("|")[0].strip().strip('"')
    return plain.get(type, choice)


def fal_input(id: str) -> dict[str, Any]:
    """What Vercel's AI SDK sends, and what fal's own types want beside."""
    needs = {name: sample(name, type) for name, type in REQUIRED.get(id, {}).items()}
    edits = id.endswith(("/edit", "/redux", "/inpainting", "/image-to-image")) and not needs
    return {**PROMPT, "num_images": 1, **needs, **({"image_url": picture()} if edits else {})}


async def fal(client: httpx.AsyncClient, id: str) -> httpx.Response:
    return await client.post(f"/fal/run/{id}", json=fal_input(id))


async def replicate(client: httpx.AsyncClient, id: str) -> httpx.Response:
    body = {"input": {**PROMPT, "size": "64x64", "num_outputs": 1}}
    path = f"/replicate/v1/models/{id}/predictions"
    return await client.post(path, json=body, headers={"prefer": "wait"})


async def together(client: httpx.AsyncClient, id: str) -> httpx.Response:
    body = {"model": id, **PROMPT, **SIDES, "response_format": "base64"}
    return await client.post("/together/v1/images/generations", json=body)


async def openai(client: httpx.AsyncClient, id: str) -> httpx.Response:
    return await client.post("/openai/v1/images/generations", json={"model": id, **PROMPT, **SIDES})


ASKS: dict[str, Ask] = {"fal": fal, "replicate": replicate, "together": together, "openai": openai}


def images_of(body: Any) -> list[Any]:
    images = body.get("images") or body.get("data") or body.get("output") or body.get("image")
    return images if isinstance(images, list) else [images] if images else []


@pytest.mark.parametrize(
    ("package", "dialect"), [(name, dialect) for name, ids in NAMED.items() for dialect in ids]
)
async def test_nine_of_ten_ids_that_a_framework_names_bring_an_image_and_the_others_a_sentence(
    serving: Serving, package: str, dialect: str
) -> None:
    async with serving(PlainEngine()) as client:
        replies = {id: await ASKS[dialect](client, id) for id in NAMED[package][dialect]}
    painted = {id for id, reply in replies.items() if reply.is_success and images_of(reply.json())}
    others = {id: reply for id, reply in replies.items() if id not in painted}
    assert len(painted) >= SHARE * len(replies), {id: each.text for id, each in others.items()}
    for id, reply in others.items():
        assert 400 <= reply.status_code < 500
        assert "images" in reply.text, id


async def test_all_in_all_more_than_nine_of_ten_are_asked_for() -> None:
    by_dialect = {dialect for ids in NAMED.values() for dialect in ids}
    assert by_dialect == {*ASKS}
    assert sum(len(ids) for package in NAMED.values() for ids in package.values()) > 150
