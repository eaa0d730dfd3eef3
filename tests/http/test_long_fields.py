"""Strings that no field needs: whatever dialect they come to, they are refused and nothing is kept.

The fields are those of the dialects' own schemas, so that a new one is tried as soon as it is told.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import BaseModel
from sqlalchemy import select

from imagemill.app import create_app
from imagemill.dialects import flat
from imagemill.dialects.fal import storage, tokens
from imagemill.dialects.fal.pages import PAGES
from imagemill.dialects.hf_inference.read import InferenceBody
from imagemill.dialects.nebius.read import NebiusBody
from imagemill.dialects.nebula.vocabulary import NebulaBody
from imagemill.dialects.openai import bodies as openai
from imagemill.dialects.replicate.predictors import PREDICTORS
from imagemill.dialects.replicate.read import CreateByVersion
from imagemill.dialects.sdapi import bodies as sdapi
from imagemill.dialects.together.read import TogetherBody
from imagemill.http import json_body
from imagemill.images.data_uris import as_data_uri
from imagemill.images.encode import encode
from imagemill.settings import Settings
from imagemill.store import Database
from imagemill.store.schema import JOBS
from imagemill.value_checks import LONGEST_URL
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

LONG = "x" * 100_001

PIXEL = as_data_uri(encode(np.zeros((64, 64, 3), np.uint8), "png", {}), "image/png")
SD3 = "stabilityai/stable-diffusion-3.5-large"
VERSION = next(iter(PREDICTORS))
Path_ = tuple[str | int, ...]


def route(path: str, schema: dict[str, Any], **body: Any) -> tuple[str, dict[str, Any], Any]:
    return path, schema, body


def routes() -> Iterator[tuple[str, dict[str, Any], Any]]:
    """An address, the schema of what it takes, and a body that is right."""
    yield route(
        "/models/a/b", json_body.schema(InferenceBody), inputs="a cat", parameters={}, options={}
    )
    yield route(
        "/models/a/b", json_body.schema(InferenceBody), inputs=PIXEL, parameters={"prompt": "a cat"}
    )
    yield route("/flat/a/b", json_body.schema(flat.FlatBody), inputs="a cat")
    yield route(
        "/nebius/v1/images/generations", json_body.schema(NebiusBody), model=SD3, prompt="a"
    )
    yield route(
        "/together/v1/images/generations", json_body.schema(TogetherBody), model=SD3, prompt="a"
    )
    yield route(
        "/v1/images/generations", json_body.schema(TogetherBody), model=SD3, prompt="a", steps=1
    )
    yield route("/openai/v1/images/generations", json_body.schema(openai.Generate), prompt="a cat")
    yield route("/openai/v1/images/edits", json_body.schema(openai.Edit), prompt="a cat",
                images=[{"image_url": PIXEL}])  # fmt: skip
    yield route(
        "/nebula/api/v1/images/generation", json_body.schema(NebulaBody), model=SD3, prompt="a"
    )
    yield route("/sdapi/v1/txt2img", json_body.schema(sdapi.Txt2imgBody), prompt="a cat")
    yield route("/sdapi/v1/img2img", json_body.schema(sdapi.Img2imgBody), prompt="a cat",
                init_images=[PIXEL])  # fmt: skip
    yield route("/replicate/v1/predictions", json_body.schema(CreateByVersion), version=VERSION,
                input={"prompt": "a cat"})  # fmt: skip
    yield route("/fal/rest/storage/upload/initiate", json_body.schema(storage.AnnouncedFile))
    for form in (tokens.ForAliases, tokens.ForApps):
        yield route("/fal/rest/tokens/", json_body.schema(form))
    for id, page in PAGES.items():
        inner: type[BaseModel] = page.Input
        yield f"/fal/queue/{id}", json_body.schema(inner), page.example
    for id, predictor in PREDICTORS.items():
        schema = {"properties": {"input": json_body.schema(predictor.Input)}}
        yield route(f"/replicate/v1/models/{id}/predictions", schema, input={"prompt": "a cat"})


def texts(schema: dict[str, Any], at: Path_ = ()) -> Iterator[Path_]:
    """Where a schema has strings."""
    kinds = [schema, *schema.get("anyOf", ()), *schema.get("allOf", ())]
    if any(each.get("type") == "string" for each in kinds):
        yield at
    for each in kinds:
        for name, inner in each.get("properties", {}).items():
            yield from texts(inner, (*at, name))
        if "items" in each:
            yield from texts(each["items"], (*at, 0))


def filled(body: Any, at: Path_) -> Any:
    """The body with a long text in one place."""
    if not at:
        return LONG
    first, *rest = at
    if isinstance(first, int):
        return [filled({}, tuple(rest))]
    body = copy.deepcopy(body) if isinstance(body, dict) else {}
    return body | {first: filled(body.get(first), tuple(rest))}


CASES = [(path, at, filled(body, at)) for path, schema, body in routes() for at in texts(schema)]


async def test_no_field_of_any_dialect_takes_a_text_without_end(tmp_path: Path) -> None:
    assert len(CASES) > 200
    engine = PlainEngine()
    app = create_app(Settings(data_dir=tmp_path), engine)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        for path, at, body in CASES:
            reply = await client.post(path, json=body)
            case = f"{path} {at}: {reply.status_code} {reply.text:.300}"
            assert 400 <= reply.status_code < 500, case
            assert len(reply.text) < 5000, case
            assert reply.json(), case
        assert await kept(app.state.backend.database) == []
    assert engine.submitted == []


async def kept(database: Database) -> list[str]:
    async with database.reading() as connection:
        rows = (await connection.execute(select(JOBS.c.generation, JOBS.c.wire))).all()
    return [json.dumps(row[0]) for row in rows]


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        (
            "/fal/queue/fal-ai/stable-diffusion-v35-large",
            {"prompt": "a", "loras": [{"path": LONG}]},
            "the text has 100001 characters; at most 8192 are read",
        ),
        (
            "/together/v1/images/generations",
            {"model": SD3, "prompt": "a", "image_loras": [{"path": LONG}]},
            "image_loras.0.path: the text has 100001 characters; at most 8192 are read",
        ),
        (
            "/together/v1/images/generations",
            {"model": SD3, "prompt": "a", "image_url": f"http://a/{LONG}"},
            f"image_url: image has 100010 characters; at most {LONGEST_URL} are read",
        ),
        (
            "/openai/v1/images/generations",
            {"prompt": "a", "user": LONG},
            "Invalid 'user': the text has 100001 characters; at most 512 are read.",
        ),
        (
            "/nebius/v1/images/generations",
            {"model": SD3, "prompt": "a", "loras": [{"url": LONG}]},
            "the text of 100001 characters is too long; 8192 characters are read",
        ),
        (
            "/replicate/v1/models/black-forest-labs/flux-dev/predictions",
            {"input": {"prompt": "a", "lora_weights": LONG}},
            "must be less than or equal to 8192; it has 100001 characters",
        ),
    ],
)
async def test_it_is_told_how_long_a_text_is_and_may_be(
    serving: Serving, path: str, body: dict[str, Any], told: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(path, json=body)
    assert 400 <= reply.status_code < 500
    assert told in reply.text


async def test_a_receiver_s_address_is_no_longer_than_others(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        path, url = "/fal/queue/fal-ai/flux/schnell", "http://localhost/" + "x" * 20_000
        reply = await client.post(path, params={"fal_webhook": url}, json={"prompt": "a cat"})
    assert reply.status_code == 422
    assert f"at most {LONGEST_URL} are read" in reply.text
