"""An id that nobody listed, at every dialect: one rule, which the catalog has."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

SMALL = {"prompt": "a cat", "width": 64, "height": 64}
Ask = Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]]


def post(path: str, body: Callable[[str], Any], **headers: str) -> Ask:
    async def ask(client: httpx.AsyncClient, id: str) -> httpx.Response:
        return await client.post(path.format(id=id), json=body(id), headers=headers)

    return ask


ASKS: dict[str, Ask] = {
    "hf": post("/models/{id}", lambda _: {"inputs": "a cat"}),
    "flat": post("/flat/{id}", lambda _: SMALL),
    "fal": post("/fal/run/{id}", lambda _: SMALL),
    "router": post("/fal-ai/{id}", lambda _: SMALL),
    "replicate": post("/replicate/v1/models/{id}/predictions", lambda _: {"input": SMALL}),
    "together": post("/together/v1/images/generations", lambda id: SMALL | {"model": id}),
    "nebius": post("/nebius/v1/images/generations", lambda id: SMALL | {"model": id}),
    "nebula": post("/nebula/api/v1/images/generation", lambda id: SMALL | {"model_name": id}),
    "openai": post("/openai/v1/images/generations", lambda id: SMALL | {"model": id}),
    "sdapi": post(
        "/sdapi/v1/txt2img",
        lambda id: SMALL | {"override_settings": {"sd_model_checkpoint": id}},
    ),
}
every_dialect = pytest.mark.parametrize("dialect", ASKS)


@every_dialect
async def test_an_id_that_nobody_listed_is_painted_by_who_stands_in(
    serving: Serving, dialect: str
) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        reply = await ASKS[dialect](client, "somebody/new-model-2")
        assert reply.is_success, reply.text
        await engine.asked(1)
    assert [each.model for each in engine.submitted] == ["somebody/new-model-2"]


@every_dialect
async def test_an_id_that_says_it_makes_no_images_is_refused_in_a_sentence(
    serving: Serving, dialect: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await ASKS[dialect](client, "kwaivgi/kling-v2.1")
    assert reply.status_code == 404
    assert "kling-v2.1 makes video, and nothing but images is made here" in reply.text


@every_dialect
async def test_what_is_configured_is_served_whatever_its_id_says(
    serving: Serving, dialect: str
) -> None:
    engine = PlainEngine()
    async with serving(engine, models={"kwaivgi/kling-v2.1": "folder"}) as client:
        reply = await ASKS[dialect](client, "kwaivgi/kling-v2.1")
        assert reply.is_success, reply.text
        await engine.asked(1)
    assert engine.sources == ["folder"]


@every_dialect
async def test_without_stand_ins_it_is_not_there(serving: Serving, dialect: str) -> None:
    async with serving(PlainEngine(), stand_ins=False) as client:
        reply = await ASKS[dialect](client, "somebody/new-model-2")
    assert reply.status_code == 404
    assert "not available here" in reply.text or "not found" in reply.text
