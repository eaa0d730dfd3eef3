"""The dialect openai: generations, models, errors, in a whole server without a socket."""

import asyncio
import base64
import io
import json
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image

from imagemill.catalog import Catalog
from imagemill.dialects.openai import routes
from imagemill.dialects.openai.capabilities import IGNORED, LACKING, MODELS
from imagemill.dialects.openai.usage import of_input_image, of_output_image, of_text
from imagemill.dialects.openai.vocabulary import ERRORS, refuse
from imagemill.engine.events import State
from imagemill.errors import Fault, Kind
from imagemill.generation import Format
from imagemill.http.context import AppContext
from imagemill.images.decode import provenance_of
from imagemill.images.encode import compressed, encode
from imagemill.jobs.repeats import REPEATED
from imagemill.telemetry import Telemetry
from tests.conftest import Serving
from tests.engines import PlainEngine
from tests.houses import opened_backend as opened_house

pytestmark = pytest.mark.anyio

PATH = "/openai/v1/images/generations"
SMALL: dict[str, Any] = {
    "model": "black-forest-labs/FLUX.1-dev",
    "prompt": "a red cat",
    "size": "64x64",
    "num_inference_steps": 2,
}
OWN = {"width": 64, "height": 64, "num_inference_steps": 2}  # what any model may be asked for


def body_of(reply: httpx.Response) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def opened(item: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(item["b64_json"], validate=True)))


async def wrong(serving: Serving, body: Any, status: int = 400) -> dict[str, Any]:
    """The error that a body is answered with."""
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json=body)
    assert reply.status_code == status, reply.text
    assert reply.headers["x-should-retry"] == "false"
    error: dict[str, Any] = reply.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return error


def test_there_is_a_word_for_every_fault() -> None:
    assert set(ERRORS) == set(Kind)


def test_the_document_names_every_model_and_all_that_changes_nothing_or_is_lacking() -> None:
    document = (Path(__file__).parents[3] / "docs" / "openai.md").read_text("utf-8")
    for name in (*MODELS, *LACKING, *IGNORED):
        assert f"`{name}`" in document, name
    for reason in IGNORED.values():
        assert reason in document


@pytest.mark.parametrize("kind", list(Kind))
def test_who_cannot_succeed_is_told_not_to_try_again(kind: Kind) -> None:
    reply = refuse(Fault(kind, "no", retry_after=2.5))
    waits = {Kind.SLOW, Kind.BUSY, Kind.LOADING, Kind.CANCELLED, Kind.UNAVAILABLE}
    again = kind in waits
    assert reply.headers.get("x-should-retry") == (None if again else "false")
    assert reply.headers["retry-after"] == "3"


async def test_every_field_reaches_the_engine(serving: Serving) -> None:
    engine = PlainEngine()
    asked_for = {
        "model": "someone/something",
        "prompt": "a red cat",
        "n": 2,
        "size": "192x64",
        "quality": "low",
        "style": "vivid",
        "output_format": "webp",
        "negative_prompt": "green",
        "seed": 7,
        "scheduler": "EulerDiscreteScheduler",
    }
    async with serving(engine) as client:
        body = body_of(await client.post(PATH, json=asked_for))
    (painted,) = engine.submitted
    assert (painted.prompt, painted.negative_prompt, painted.model) == (
        "a red cat", "green", "someone/something",
    )  # fmt: skip
    assert (painted.width, painted.height, painted.num_images, painted.seed) == (192, 64, 2, 7)
    assert (painted.steps, painted.guidance_scale) == (6, 5.0)
    assert (painted.scheduler, painted.format) == ("EulerDiscreteScheduler", "webp")
    images = [opened(item) for item in body["data"]]
    assert [(each.size, each.format) for each in images] == [((192, 64), "WEBP")] * 2
    assert (body["size"], body["quality"], body["output_format"]) == ("192x64", "low", "webp")


async def test_the_finer_word_wins_over_the_coarser(serving: Serving) -> None:
    engine = PlainEngine()
    finer = {"num_inference_steps": 3, "guidance_scale": 2, "width": 128, "height": 64}
    body = SMALL | {"quality": "high", "style": "natural"} | finer
    async with serving(engine) as client:
        body_of(await client.post(PATH, json=body))
    (painted,) = engine.submitted
    assert (painted.steps, painted.guidance_scale, painted.width, painted.height) == (3, 2, 128, 64)


async def test_what_is_null_is_left_open_and_a_seed_of_minus_one_is_drawn(serving: Serving) -> None:
    engine = PlainEngine()
    nothing = dict.fromkeys(("n", "size", "quality", "style", "stream", "user", "background"))
    async with serving(engine) as client:
        body_of(await client.post(PATH, json={"prompt": "a cat", "seed": -1, **nothing}))
    (painted,) = engine.submitted
    assert (painted.width, painted.steps, painted.num_images) == (512, 12, 1)
    assert painted.seed >= 0
    assert painted.model == "imagemill/pico"


@pytest.mark.parametrize(
    ("model", "wanted", "keys"),
    [
        ("gpt-image-1", None, {"url", "b64_json"}),
        ("gpt-image-2.5-flare-2026-09-08", "b64_json", {"b64_json"}),
        ("dall-e-2", None, {"url", "b64_json"}),
        ("dall-e-2", "url", {"url"}),
        ("dall-e-2", "b64_json", {"b64_json"}),
        ("black-forest-labs/FLUX.1-dev", None, {"url", "b64_json"}),
        ("black-forest-labs/FLUX.1-dev", "url", {"url"}),
        ("black-forest-labs/FLUX.1-dev", "b64_json", {"b64_json"}),
        (None, None, {"url", "b64_json"}),
    ],
)
async def test_who_names_no_response_format_gets_address_and_base64(
    serving: Serving, model: str | None, wanted: str | None, keys: set[str]
) -> None:
    body = {"model": model, "prompt": "a cat", "response_format": wanted, **OWN}
    async with serving(PlainEngine()) as client:
        (item,) = body_of(await client.post(PATH, json=body))["data"]
        assert set(item) == {"index", "type", *keys}
        assert item["type"] == ("url" if "url" in keys else "b64_json")
        if "url" in keys:
            image = await client.get(item["url"])
            assert image.headers["content-type"] == "image/png"
            assert Image.open(io.BytesIO(image.content)).size == (64, 64)
        if {"url", "b64_json"} <= set(item):
            assert base64.b64decode(item["b64_json"]) == image.content


@pytest.mark.parametrize("task", ["edits", "variations"])
async def test_edits_and_variations_have_address_and_base64_too(
    serving: Serving, task: str
) -> None:
    fields = {"model": "dall-e-2"} | ({"prompt": "a cat"} if task == "edits" else {})
    image = {"image": ("a.png", encode(np.zeros((64, 64, 3), np.uint8), "png", {}), "image/png")}
    async with serving(PlainEngine()) as client:
        for format, keys in ((None, {"url", "b64_json"}), ("url", {"url"})):
            data = fields | ({"response_format": format} if format else {})
            reply = await client.post(f"/openai/v1/images/{task}", data=data, files=image)
            (item,) = body_of(reply)["data"]
            assert set(item) - {"index", "type", "revised_prompt"} == keys


async def test_ten_images_are_painted_at_once_as_at_openai(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        for n in (9, 10):
            body = {"model": "dall-e-2", "prompt": "a cat", "n": n, **OWN}
            assert len(body_of(await client.post(PATH, json=body))["data"]) == n


async def test_a_caller_who_names_no_model_but_a_format_is_answered_as_by_gpt(
    serving: Serving,
) -> None:
    async with serving(PlainEngine()) as client:
        body = body_of(
            await client.post(PATH, json={"prompt": "a", "output_format": "jpeg", **OWN})
        )
    assert opened(body["data"][0]).format == "JPEG"


@pytest.mark.parametrize("format", ["jpeg", "webp"])
@pytest.mark.parametrize("wanted", ["url", "b64_json"])
async def test_files_are_compressed_as_far_as_is_asked(
    serving: Serving, format: Format, wanted: str
) -> None:
    async def content(compression: int) -> bytes:
        body = SMALL | {"output_compression": compression, "response_format": wanted}
        reply = await client.post(PATH, json=body | {"output_format": format, "seed": 1})
        (item,) = body_of(reply)["data"]
        if wanted == "b64_json":
            return base64.b64decode(item["b64_json"])
        image = await client.get(item["url"])
        assert image.headers["content-type"] == f"image/{format}"
        return image.content

    async with serving(PlainEngine()) as client:
        whole = await content(100)
        assert await content(95) == whole
        assert await content(10) == compressed(whole, format, 10)


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_a_compressed_file_is_smaller_and_tells_the_same_of_itself(format: Format) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    whole = encode(noise, format, {"prompt": "a cat", "seed": 1})
    sizes = [len(compressed(whole, format, quality)) for quality in (0, 50, 91)]
    assert [*sizes, len(whole)] == sorted({*sizes, len(whole)})
    assert provenance_of(compressed(whole, format, 0)) == provenance_of(whole)


async def test_dall_e_3_tells_the_prompt_that_it_made_of_ours(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        body = {"model": "dall-e-3", "prompt": "a cat", **OWN}
        (item,) = body_of(await client.post(PATH, json=body))["data"]
    assert item["revised_prompt"] == engine.submitted[0].prompt
    assert item["revised_prompt"].startswith("a cat")
    assert item["revised_prompt"] != "a cat"


async def test_the_reply_tells_who_asked_how_long_it_took_and_what_painted(
    serving: Serving,
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json=SMALL | {"user": "u", "seed": 3, "moderation": "low"})
        body = body_of(reply)
        named = SMALL | {"user": "u", "safety_identifier": "s"}
        assert body_of(await client.post(PATH, json=named))["safety_identifier"] == "s"
    assert body["safety_identifier"] == "u"
    assert body["created"] > 1_700_000_000
    assert int(reply.headers["openai-processing-ms"]) >= 0
    assert (reply.headers["x-imagemill-model"], reply.headers["x-imagemill-seed"]) == ("pico", "3")
    assert reply.headers["x-request-id"]


async def test_tokens_are_counted(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = {"model": "gpt-image-1", "prompt": "a red, red cat", "quality": "low", **OWN, "n": 2}
        usage = body_of(await client.post(PATH, json=body))["usage"]
        assert "usage" not in body_of(await client.post(PATH, json=body | {
            "model": "dall-e-2", "quality": None,
        }))  # fmt: skip
    assert usage == {
        "total_tokens": 9,
        "input_tokens": 5,
        "output_tokens": 4,
        "input_tokens_details": {"text_tokens": 5, "image_tokens": 0},
        "output_tokens_details": {"text_tokens": 0, "image_tokens": 4},
    }


@pytest.mark.parametrize(
    ("quality", "square", "portrait", "landscape"),
    [("low", 272, 408, 400), ("medium", 1056, 1584, 1568), ("high", 4160, 6240, 6208)],
)
def test_pictures_cost_the_tokens_of_the_price_list(
    quality: str, square: int, portrait: int, landscape: int
) -> None:
    assert of_output_image(1024, 1024, quality) == square
    assert of_output_image(1024, 1536, quality) == portrait
    assert of_output_image(1536, 1024, quality) == landscape


def test_what_comes_in_is_counted_by_words_and_tiles() -> None:
    assert of_text("a red cat, and two dogs!") == 8
    assert of_input_image(256, 256) == of_input_image(1024, 1024) == 65 + 129
    assert of_input_image(1024, 2048) == 65 + 2 * 129


# What is wrong with a call, the parameter that is named, and the code.
WRONG: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"prompt": None}, "prompt", "invalid_type"),
    ({"prompt": 5}, "prompt", "invalid_type"),
    ({"prompt": "  "}, "prompt", "invalid_value"),
    ({"n": "2"}, "n", "invalid_type"),
    ({"n": True}, "n", "invalid_type"),
    ({"n": 0}, "n", "integer_below_min_value"),
    ({"n": 11}, "n", "integer_above_max_value"),
    ({"n": 2, "model": "dall-e-3", **OWN}, "n", "integer_above_max_value"),
    ({"size": "huge"}, "size", "invalid_value"),
    ({"size": "63x64"}, "size", "invalid_value"),
    ({"size": "256x256", "model": "gpt-image-1"}, "size", "invalid_value"),
    ({"quality": "best"}, "quality", "invalid_value"),
    ({"quality": "hd", "model": "gpt-image-1", **OWN}, "quality", "invalid_value"),
    ({"style": "vivid", "model": "gpt-image-1", **OWN}, "style", "unsupported_parameter"),
    ({"stream": True, "model": "dall-e-2", **OWN}, "stream", "unsupported_parameter"),
    ({"background": "transparent"}, "background", "unsupported_value"),
    ({"output_format": "gif"}, "output_format", "unsupported_value"),
    ({"output_format": "tiff"}, "output_format", "invalid_value"),
    ({"output_compression": 50}, "output_compression", "unsupported_value"),
    ({"output_compression": 101}, "output_compression", "integer_above_max_value"),
    ({"partial_images": 1}, "partial_images", "unsupported_value"),
    ({"partial_images": 4}, "partial_images", "integer_above_max_value"),
    ({"stream": True, "output_format": "svg"}, "stream", "unsupported_value"),
    ({"stream": True, "response_format": "url"}, "response_format", "unsupported_value"),
    (
        {"response_format": "url", "model": "gpt-image-1", **OWN},
        "response_format", "unsupported_value",
    ),
    ({"response_format": "base64"}, "response_format", "invalid_value"),
    ({"frame_count": 4}, "frame_count", "unsupported_value"),
    ({"svg": {"model": "m"}}, "svg", "unsupported_value"),
    ({"strength": 0.5}, "strength", "unknown_parameter"),
    ({"wifth": 64}, "wifth", "unknown_parameter"),
    ({"num_inference_steps": 0}, "num_inference_steps", "invalid_value"),
    ({"seed": -2}, "seed", "invalid_value"),
    ({"scheduler": "fast"}, "scheduler", "invalid_value"),
    (
        {"prompt": "a" * 1001, "model": "dall-e-2", **OWN},
        "prompt", "string_above_max_length",
    ),
)  # fmt: skip


async def test_what_is_wrong_is_named(serving: Serving) -> None:
    async with serving(PlainEngine(), strict=True) as client:
        for changes, param, code in WRONG:
            reply = await client.post(PATH, json=SMALL | changes)
            error = reply.json()["error"]
            values = reply.status_code, error["param"], error["code"], error["type"]
            assert values == (400, param, code, "invalid_request_error"), error["message"]


@pytest.mark.parametrize("n", [-(10**200), 10**200])
async def test_a_number_of_hundreds_of_digits_is_not_repeated(serving: Serving, n: int) -> None:
    assert len((await wrong(serving, SMALL | {"n": n}))["message"]) < 200


async def test_known_errors_are_told_in_known_words(serving: Serving) -> None:
    assert (await wrong(serving, {}))["message"] == "Missing required parameter: 'prompt'."
    error = await wrong(serving, SMALL | {"model": "dall-e-2", "size": "64x64"})
    supported = "Supported values are: '256x256', '512x512', '1024x1024'."
    assert error["message"] == f"Invalid value: '64x64'. {supported}"


@pytest.mark.parametrize("model", ["a//c", "../x", ""])
async def test_an_unknown_model_is_not_there(serving: Serving, model: str) -> None:
    error = await wrong(serving, SMALL | {"model": model}, 404)
    assert (error["param"], error["code"]) == ("model", "model_not_found")


@pytest.mark.parametrize(
    "body", [b"", b"nope", b"[1]", b'"a cat"', b"\xff\xfe", b'{"prompt": NaN}', b'{"\\ud800": 1}']
)
async def test_a_body_that_is_no_call_is_told(serving: Serving, body: bytes) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, content=body)
        assert reply.status_code == 400
        assert reply.json()["error"]["type"] == "invalid_request_error"
        form = await client.post(PATH, files={"prompt": (None, "a cat")})
        assert "send JSON" in form.json()["error"]["message"]


async def test_parameters_in_the_url_are_refused(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        assert (await client.post(PATH + "?n=2", json=SMALL)).status_code == 400


@pytest.mark.parametrize("value", ["Basic eDp5", "sk-123", "Bearer a b"])
async def test_a_credential_of_another_form_is_refused(serving: Serving, value: str) -> None:
    async with serving(PlainEngine()) as client:
        for verb, path in (("POST", PATH), ("GET", "/openai/v1/models")):
            reply = await client.request(verb, path, json=SMALL, headers={"authorization": value})
            assert reply.status_code == 401
            assert reply.json()["error"]["code"] == "invalid_api_key"


async def test_a_dead_engine_is_told_and_not_asked_again(serving: Serving) -> None:
    async with serving(PlainEngine(State.DEAD)) as client:
        reply = await client.post(PATH, json=SMALL)
    assert (reply.status_code, reply.headers["x-should-retry"]) == (500, "false")
    assert reply.json()["error"]["type"] == "server_error"


async def test_a_full_queue_tells_when_to_come_again(serving: Serving) -> None:
    engine = PlainEngine(hold_at=1)
    async with serving(engine, queue=1) as client:
        first = asyncio.create_task(client.post(PATH, json=SMALL))
        await engine.reached("a red cat", 1)
        reply = await client.post(PATH, json=SMALL)
        engine.gate.set()
        body_of(await first)
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(reply.headers["retry-after"]) >= 1
    assert "x-should-retry" not in reply.headers


async def test_all_models_are_listed_for_both_kinds_of_readers(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        listed = body_of(await client.get("/openai/v1/models"))
        ids = [each["id"] for each in listed["data"]]
        assert {*MODELS, "imagemill/pico", "black-forest-labs/FLUX.1-dev"} < set(ids)
        assert len(ids) == len(set(ids))
        assert listed["object"] == "list"
        assert (listed["next"], listed["previous"]) == (None, None)
        assert {f"{each['owner']}/{each['name']}" for each in listed["results"]} < set(ids)
        for each in listed["data"]:
            assert body_of(await client.get(f"/openai/v1/models/{each['id']}")) == each
            assert (await client.post(PATH, json={"model": each["id"]})).status_code == 400


async def test_a_model_that_is_not_served_is_not_listed(serving: Serving) -> None:
    async with serving(PlainEngine(), stand_ins=False) as client:
        listed = body_of(await client.get("/openai/v1/models"))["data"]
        assert [each["id"] for each in listed] == ["imagemill/pico", "imagemill/pico-fast"]
        assert listed[0]["owned_by"] == "imagemill"
        reply = await client.get("/openai/v1/models/gpt-image-1")
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")


async def test_an_endpoint_of_the_catalog_paints_under_its_own_id(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        body_of(await client.post(PATH, json=SMALL | {"model": "fal-ai/flux/dev"}))
    assert engine.submitted[0].model == "fal-ai/flux/dev"


async def test_who_calls_again_with_a_key_is_answered_from_the_first_call(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        headers = {"idempotency-key": "k"}
        first, again = [await client.post(PATH, json=SMALL, headers=headers) for _ in range(2)]
        assert body_of(first)["id"] == body_of(again)["id"]
        assert body_of(await client.post(PATH, json=SMALL))["id"] != body_of(first)["id"]
    assert len(engine.submitted) == 2


async def test_a_compressed_picture_is_there_for_who_calls_again_with_a_key(
    serving: Serving,
) -> None:
    body = SMALL | {"output_format": "jpeg", "output_compression": 10, "response_format": "url"}
    async with serving(PlainEngine()) as client:
        calls = [client.post(PATH, json=body, headers={"idempotency-key": "k"}) for _ in range(2)]
        first, again = [body_of(await each)["data"][0]["url"] for each in calls]
        assert first == again
        assert (await client.get(first)).status_code == 200


async def test_pictures_within_a_reply_are_kept_for_as_long_as_a_call_may_be_repeated(
    tmp_path: Path,
) -> None:
    async with opened_house(tmp_path, PlainEngine()) as backend:
        catalog = Catalog({}, True, lambda _: "1")
        app = FastAPI()
        kept = backend.objects, backend.styles
        context = AppContext(backend.service, *kept, catalog, Telemetry(), 2**20, 2**20)
        app.include_router(routes(context))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            body, headers = SMALL | {"model": "gpt-image-2"}, {"idempotency-key": "k"}
            first = body_of(await client.post(PATH, json=body, headers=headers))
            backend.objects.clock = lambda: time.time() + REPEATED
            assert body_of(await client.post(PATH, json=body, headers=headers)) == first


@pytest.mark.parametrize("name", ["user", "safety_identifier"])
async def test_half_of_a_surrogate_pair_is_told_as_it_came(serving: Serving, name: str) -> None:
    content = json.dumps(SMALL | {name: "\ud800"})
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, content=content)
    assert body_of(reply)["safety_identifier"] == "\ud800"
