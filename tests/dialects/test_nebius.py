"""Nebius' door, through a whole server: every field, every error in FastAPI's form."""

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.datastructures import Headers

from imagemill.app import create_app
from imagemill.dialects.nebius import vocabulary
from imagemill.dialects.nebius.read import NebiusBody
from imagemill.engine.events import State
from imagemill.errors import Fault, Kind
from imagemill.settings import Settings
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

PATH = "/nebius/v1/images/generations"
MODEL = "black-forest-labs/flux-schnell"
HUGGING_FACE = "unknown/None; hf_hub/1.20.0; python/3.11.7"
ANSWERS = {"b64_json": [True, False], "url": [False, True], None: [True, True]}


def params(**fields: Any) -> dict[str, Any]:
    small = {"width": 96, "height": 64, "num_inference_steps": 2}
    return {"model": MODEL, "prompt": "a red cat"} | small | fields


def opened(reply: httpx.Response) -> Image.Image:
    assert reply.status_code == 200, reply.text
    (datum,) = reply.json()["data"]
    return Image.open(io.BytesIO(base64.b64decode(datum["b64_json"])))


async def painted(serving: Serving, **fields: Any) -> PlainEngine:
    """The engine, after it was asked for one picture."""
    engine = PlainEngine()
    async with serving(engine) as client:
        opened(await client.post(PATH, json=params(**fields)))
    return engine


async def refused(serving: Serving, status: int, **fields: Any) -> Any:
    """What is told; nothing may have been painted."""
    engine = PlainEngine()
    async with serving(engine) as client:
        reply = await client.post(PATH, json=params(**fields))
    assert reply.status_code == status, reply.text
    assert engine.submitted == []
    assert list(reply.json()) == ["detail", "error"]
    assert "pydantic" not in reply.text
    return reply.json()["detail"]


def test_there_is_a_status_for_every_error() -> None:
    assert set(vocabulary.STATUSES) == set(Kind)


async def test_every_parameter_reaches_the_engine(serving: Serving) -> None:
    engine = PlainEngine()
    fields = {
        "negative_prompt": "green",
        "n": 2,
        "num_inference_steps": 5,
        "guidance_scale": 50,
        "scheduler": "EulerDiscreteScheduler",
        "seed": 2**64 - 1,
        "response_extension": "png",
    }
    async with serving(engine) as client:
        reply = await client.post(PATH, json=params(**fields))
    assert len(reply.json()["data"]) == 2
    (generation,) = engine.submitted
    assert (generation.prompt, generation.negative_prompt) == ("a red cat", "green")
    assert (generation.width, generation.height, generation.num_images) == (96, 64, 2)
    assert (generation.steps, generation.guidance_scale) == (5, 50)
    assert (generation.scheduler, generation.seed) == ("EulerDiscreteScheduler", 2**64 - 1)
    assert generation.format == "png"


async def test_what_is_null_is_left_open(serving: Serving) -> None:
    optional = [name for name, each in NebiusBody.model_fields.items() if not each.is_required()]
    (generation,) = (await painted(serving, **dict.fromkeys(optional))).submitted
    assert (generation.width, generation.height, generation.format) == (512, 512, "webp")
    assert (generation.steps, generation.guidance_scale) == (12, 4.0)


@pytest.mark.parametrize("format", ANSWERS)
async def test_the_reply_has_what_was_asked_for_and_both_where_nothing_was(
    serving: Serving, format: str | None
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json=params(response_format=format, seed=7))
        body = reply.json()
        assert list(body) == ["id", "created", "data"]
        (datum,) = body["data"]
        assert [datum[name] is not None for name in ("b64_json", "url")] == ANSWERS[format]
        if datum["url"]:
            file = await client.get(datum["url"])
            assert Image.open(io.BytesIO(file.content)).format == "WEBP"
    assert reply.headers["x-imagemill-seed"] == "7"
    assert body["created"] > 1e9


@pytest.mark.parametrize(
    ("extension", "format"), [("webp", "WEBP"), ("png", "PNG"), ("jpg", "JPEG"), ("jpeg", "JPEG")]
)
async def test_the_extension_decides_on_the_format(
    serving: Serving, extension: str, format: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json=params(response_extension=extension))
    assert opened(reply).format == format


async def test_a_seed_of_minus_one_is_drawn_anew_each_time(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        replies = [
            await client.post(PATH, json=params(response_format="b64_json", **fields))
            for fields in ({"seed": 7}, {"seed": 7}, {"seed": -1}, {"seed": -1}, {})
        ]
    hits = [each.headers["x-imagemill-cache"] for each in replies]
    assert hits == ["miss", "hit", "miss", "miss", "miss"]
    assert len({each.headers["x-imagemill-seed"] for each in replies}) == 4


async def test_a_lora_is_given_by_its_address(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        url = (await client.post(PATH, json=params())).json()["data"][0]["url"]
        opened(await client.post(PATH, json=params(loras=[{"url": url, "scale": 0.5}])))
    (lora,) = engine.submitted[1].loras
    assert lora.scale == 0.5
    assert list(engine.inputs[1]) == [lora.path]


@pytest.mark.parametrize(
    ("fields", "loc", "message", "type"),
    [
        ({"prompt": ""}, ["prompt"], "the text is empty; fill it in", "string_too_short"),
        ({"prompt": " "}, ["prompt"], "the prompt is empty; say what to paint", "value_error"),
        ({"prompt": "x" * 2001}, ["prompt"], "too long; 2000 characters", "string_too_long"),
        ({"prompt": None}, ["prompt"], "null is not a string", "string_type"),
        ({"width": 63}, ["width"], "63 is too small; give at least 64", "greater_than_equal"),
        ({"height": 2049}, ["height"], "2049 is too large; give at most 2048", "less_than_equal"),
        ({"width": "wide"}, ["width"], '"wide" is not an integer', "int_parsing"),
        ({"num_inference_steps": 81}, ["num_inference_steps"], "at most 80", "less_than_equal"),
        ({"seed": -2}, ["seed"], "-2 is too small; give at least -1", "greater_than_equal"),
        ({"seed": 2**64}, ["seed"], "is out of range; give 0 to", "value_error"),
        ({"guidance_scale": 51}, ["guidance_scale"], "51", "value_error"),
        ({"n": 11}, ["n"], "11 is too large; give at most 10", "less_than_equal"),
        ({"scheduler": "K_EULER"}, ["scheduler"], "unknown scheduler 'K_EULER'", "value_error"),
        ({"loras": [{"url": "x"}] * 9}, ["loras"], "9 are given; give at most 8", "too_long"),
        ({"loras": [{"url": ""}]}, ["loras", 0, "url"], "is empty", "string_too_short"),
        ({"loras": [{"scale": 1}]}, ["loras", 0, "url"], "is required", "missing"),
        ({"loras": [{"url": "x", "scale": 5}]}, ["loras"], "give -4 to 4", "value_error"),
        (
            {"response_extension": "gif"},
            ["response_extension"],
            "Input should be 'webp', 'png', 'jpg' or 'jpeg'",
            "literal_error",
        ),
        ({"response_format": "raw"}, ["response_format"], "Input should be", "literal_error"),
        ({"loras": [{"url": "http://10.0.0.1/x"}]}, ["loras"], "10.0.0.1", "value_error"),
    ],
)
async def test_what_is_wrong_is_told_as_fastapi_does(
    serving: Serving, fields: dict[str, Any], loc: list[Any], message: str, type: str
) -> None:
    (detail,) = await refused(serving, 422, **fields)
    assert list(detail) == ["loc", "msg", "type"]
    assert (detail["loc"], detail["type"]) == (["body", *loc], type)
    assert message in detail["msg"]


async def test_all_that_is_wrong_is_told_at_once(serving: Serving) -> None:
    details = await refused(serving, 422, width=1, seed="x", model=None)
    assert [each["loc"][-1] for each in details] == ["model", "width", "seed"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"a": 1, "a": 2}'])
async def test_a_body_that_is_none_is_told(serving: Serving, content: bytes) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, content=content)
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["body"]


async def test_a_field_with_a_name_that_nobody_wants_to_read_is_told_all_the_same(
    serving: Serving,
) -> None:
    async with serving(PlainEngine(), strict=True) as client:
        for name, loc in (("\ud800", ["body"]), ("x" * 500, ["body", "x" * 80])):
            reply = await client.post(PATH, content=json.dumps(params() | {name: 1}).encode())
            assert reply.status_code == 422
            assert reply.json()["detail"][0]["loc"] == loc


async def test_openai_s_clients_find_the_message_where_they_look_for_it(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json=params(width=63, n=11))
    message = "width: 63 is too small; give at least 64; n: 11 is too large; give at most 10"
    assert reply.json()["error"] == {"message": message}


async def test_a_model_that_is_none_is_not_found(serving: Serving) -> None:
    assert "is not a model id" in await refused(serving, 404, model="no such model")


async def test_the_project_is_taken_and_other_parameters_of_the_url_are_not(
    serving: Serving,
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{PATH}?ai_project_id=p1", json=params())
        opened(reply)
        other = await client.post(f"{PATH}?ai_project_id=p1&other=x&seed=4", json=params())
    assert other.status_code == 422
    assert other.json()["detail"][0]["loc"] == ["query", "seed"]


async def test_a_key_of_the_wrong_form_is_refused(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json=params(), headers={"authorization": "Key abc"})
        assert reply.status_code == 401
        assert reply.json()["detail"].startswith("authorization is not of the form 'Bearer <key>'")
        opened(await client.post(PATH, json=params(), headers={"authorization": "Bearer abc"}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 1, "n": 0}, "width: 1 is too small; give at least 64; n: 0 is too small"),
        ({"loras": [{"url": "x", "scale": 5}]}, "loras 5.0 is out of range; give -4 to 4"),
    ],
)
async def test_hugging_face_s_clients_get_errors_that_they_can_show(
    serving: Serving, fields: dict[str, Any], message: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json=params(**fields), headers={"user-agent": HUGGING_FACE})
    assert list(reply.json()) == ["error"]
    assert reply.json()["error"].startswith(message)


def test_who_asks_again_at_once_is_told_503_only_after_a_wait() -> None:
    agent = Headers({"user-agent": "@huggingface/inference/4.13.20"})
    unavailable = [
        kind for kind in Kind if vocabulary.refuse(agent, Fault(kind, "")).status_code == 503
    ]
    assert unavailable == [Kind.LOADING, Kind.UNAVAILABLE]


async def test_a_failure_while_painting_is_told(serving: Serving) -> None:
    engine = PlainEngine(hold_at=1)
    async with serving(engine) as client:
        call = asyncio.create_task(client.post(PATH, json=params()))
        await engine.reached("a red cat", 1)
        engine.state = State.DEAD
        engine.gate.set()
        reply = await call
    assert reply.status_code == 500
    assert "try again" in reply.json()["detail"]


async def test_models_come_in_openai_s_form_under_nebius_names(serving: Serving) -> None:
    async with serving(PlainEngine(), models={"mine/own": "pico"}) as client:
        listed = (await client.get("/nebius/v1/models")).json()
        one = (await client.get(f"/nebius/v1/models/{MODEL}")).json()
        none = await client.get("/nebius/v1/models/no/such")
    assert listed["object"] == "list"
    assert {MODEL, "imagemill/pico", "mine/own"} <= {each["id"] for each in listed["data"]}
    assert one in listed["data"]
    assert one == {
        "id": MODEL, "object": "model", "created": 0, "owned_by": "black-forest-labs",
    }  # fmt: skip
    assert (none.status_code, list(none.json())) == (404, ["detail", "error"])


async def test_nebius_names_of_models_lead_to_the_weights(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        opened(await client.post(PATH, json=params()))
    assert engine.submitted[0].model == "black-forest-labs/FLUX.1-schnell"


async def test_what_is_asked_again_after_a_timeout_is_painted_once(tmp_path: Path) -> None:
    engine = PlainEngine()
    engine.gate.clear()
    app = create_app(Settings(data_dir=tmp_path), engine)
    body = json.dumps(params(response_format="b64_json")).encode()
    sent = b""

    async def call(count: int, gone: asyncio.Event) -> None:
        messages = [{"type": "http.request", "body": body}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal sent
            sent += message.get("body", b"")

        headers = [(b"host", b"localhost"), (b"x-stainless-retry-count", str(count).encode())]
        scope = {"type": "http", "method": "POST", "path": PATH, "query_string": b""}
        await app(scope | {"headers": headers}, receive, send)

    async with app.router.lifespan_context(app):
        gone = asyncio.Event()
        first = asyncio.create_task(call(0, gone))
        await engine.asked(1)
        gone.set()
        await first
        second = asyncio.create_task(call(1, asyncio.Event()))
        engine.gate.set()
        await second
    assert len(engine.submitted) == 1
    assert len(json.loads(sent)["data"]) == 1
