"""Fields that a dialect does not know: each does with them what its API does, and tells of it."""

import json
import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from imagemill.http.replies import IGNORED_FIELDS
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

SMALL = {"width": 64, "height": 64}
CAT = {"prompt": "a cat"}
IMAGES = "/openai/v1/images/generations"
EMPTY_FORM = {"image": ("a.png", b"", "image/png")}


@dataclass(frozen=True)
class Case:
    """A call with unknown fields."""

    #: Of the route.
    path: str
    #: Of the call, whole.
    body: dict[str, Any]
    #: The unknown fields.
    names: tuple[str, ...]
    #: The status and some words of the refusal.
    refused: tuple[int, str]


def replicate(**input: Any) -> dict[str, Any]:
    return {"input": CAT | SMALL | input}


NEBIUS = {"model": "black-forest-labs/flux-schnell"} | CAT | SMALL
TOGETHER = {"model": "black-forest-labs/FLUX.1-schnell", "steps": 2} | CAT | SMALL
HF = {"inputs": "a cat", "parameters": SMALL}
# Where the API passes over the fields.
PASSED = {
    "replicate": Case(
        "/replicate/v1/models/black-forest-labs/flux-schnell/predictions",
        replicate(quality="high"), ("input.quality",),
        (422, "Additional property quality is not allowed"),
    ),
    "fal": Case(
        "/fal/run/fal-ai/flux/schnell",
        CAT | {"image_size": SMALL | {"unit": "px"}, "expand_prompt": True, "format": "png"},
        ("image_size.unit", "expand_prompt", "format"), (422, "unknown field 'expand_prompt'"),
    ),
    "fal by the router": Case(
        "/fal-ai/someone/something", CAT | SMALL | {"tiling": True}, ("tiling",),
        (422, "unknown field 'tiling'; known are prompt, negative_prompt"),
    ),
    "nebius": Case(
        "/nebius/v1/images/generations",
        NEBIUS | {"size": "1024x1024", "quality": "standard"}, ("size", "quality"),
        (422, "unknown field; known are model, prompt, negative_prompt, width"),
    ),
    "together": Case(
        "/together/v1/images/generations",
        TOGETHER | {"size": "1024x1024", "quality": "auto", "frame_images": []},
        ("size", "quality", "frame_images"), (400, "unknown field 'frame_images'; known are model"),
    ),
    "nebula": Case(
        "/nebula/api/v1/images/generation",
        {"model_name": "black-forest-labs/FLUX.1-schnell", "steps": 4} | CAT | SMALL, ("steps",),
        (400, "unknown field 'steps'; known are model, model_name, prompt"),
    ),
    "flat": Case("/flat/a/b", CAT | SMALL | {"n": 2}, ("n",), (400, "unknown field 'n'")),
    "hf": Case(
        "/models/a/b", HF | {"stream": False, "options": {"cache": True}},
        ("stream", "options.cache"), (400, "unknown field 'options.cache'"),
    ),
    "openai, another's model": Case(
        IMAGES, {"model": "some/model", "size": "64x64", "cfg": 3} | CAT, ("cfg",),
        (400, "Unknown parameter: 'cfg'"),
    ),
    "sdapi": Case(
        "/sdapi/v1/txt2img", CAT | SMALL | {"steps": 1, "hires": True}, ("hires",),
        (422, "unknown field 'hires'"),
    ),
}  # fmt: skip
# Where the API refuses them.
REFUSED = {
    "replicate, beside the input": Case(
        "/replicate/v1/models/black-forest-labs/flux-schnell/predictions",
        replicate() | {"signal": {}}, ("signal",), (422, "Additional property signal is not"),
    ),
    "hf, a parameter": Case(
        "/models/a/b", {"inputs": "a cat", "parameters": SMALL | {"tiling": True}},
        ("parameters.tiling",), (400, "unknown field 'parameters.tiling'"),
    ),
    "openai": Case(
        IMAGES, {"model": "gpt-image-1", "cfg": 3} | CAT, ("cfg",),
        (400, "Unknown parameter: 'cfg'"),
    ),
    "openai, a snapshot": Case(
        IMAGES, {"model": "gpt-image-1-2025-04-15", "cfg": 3} | CAT, ("cfg",),
        (400, "Unknown parameter: 'cfg'"),
    ),
    "openai, no model": Case(IMAGES, {"cfg": 3} | CAT, ("cfg",), (400, "Unknown parameter: 'cfg'")),
}  # fmt: skip


def named(reply: httpx.Response) -> list[str]:
    return [unquote(each) for each in reply.headers.get(IGNORED_FIELDS, "").split(", ") if each]


@pytest.mark.parametrize("case", PASSED.values(), ids=PASSED)
async def test_what_the_api_passes_over_is_no_error_but_named(
    serving: Serving, caplog: pytest.LogCaptureFixture, case: Case
) -> None:
    engine = PlainEngine()
    with caplog.at_level(logging.INFO):
        async with serving(engine) as client:
            reply = await client.post(case.path, json=case.body)
    assert reply.status_code in (200, 201), reply.text
    assert sorted(named(reply)) == sorted(case.names)
    (line,) = [each for each in caplog.messages if "passed over" in each]
    assert all(name in line for name in case.names)


@pytest.mark.parametrize("case", PASSED.values(), ids=PASSED)
async def test_strict_refuses_what_the_api_passes_over(serving: Serving, case: Case) -> None:
    await _refused(serving, case, strict=True)


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
async def test_what_the_api_refuses_is_refused(serving: Serving, case: Case) -> None:
    await _refused(serving, case)


async def _refused(serving: Serving, case: Case, **settings: Any) -> None:
    engine, (status, words) = PlainEngine(), case.refused
    async with serving(engine, **settings) as client:
        reply = await client.post(case.path, json=case.body)
    assert reply.status_code == status, reply.text
    assert words in json.dumps(reply.json()).replace("\\", "")
    assert named(reply) == []
    assert not engine.submitted


async def test_a_misspelt_field_is_told_of_where_the_right_one_is_missing(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post("/fal/run/fal-ai/flux/schnell", json={"promt": "a cat"})
    assert reply.status_code == 422
    assert [each["loc"] for each in reply.json()["detail"]] == [
        ["body", "prompt"],
        ["body", "promt"],
    ]


async def test_a_fault_beside_an_unknown_field_is_told_alone(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = TOGETHER | {"size": "1024x1024", "n": "2"}
        reply = await client.post("/together/v1/images/generations", json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == 'n: "2" is not an integer'
    assert named(reply) == ["size"]


async def test_long_and_many_names_of_unknown_fields_are_cut_in_the_header(
    serving: Serving,
) -> None:
    fields = {"x" * 5000: 1} | dict.fromkeys(map("f{}".format, range(2000)), 2)
    async with serving(PlainEngine()) as client:
        reply = await client.post("/flat/a/b", json=CAT | SMALL | fields)
    assert reply.status_code == 200, reply.text
    names = named(reply)
    assert names[0] == "x" * 80
    assert names[-1].endswith(" more")
    assert len(reply.headers[IGNORED_FIELDS]) < 1100


async def test_an_unknown_field_of_a_list_s_member_is_passed_over_with_its_place(
    serving: Serving,
) -> None:
    loras = [{"path": "http://127.0.0.1:1/a.safetensors", "weight": 1}]
    body = TOGETHER | {"image_loras": loras}
    async with serving(PlainEngine()) as client:
        reply = await client.post("/together/v1/images/generations", json=body)
        strict = await client.post("/nebius/v1/images/generations", json=NEBIUS | {"loras": [{}]})
    assert named(reply) == ["image_loras.0.weight"]
    assert "image_loras" in reply.json()["error"]["message"], "the file cannot be had"
    assert strict.json()["detail"][0]["loc"] == ["body", "loras", 0, "url"]


async def test_a_form_s_unknown_field_is_passed_over_for_another_s_model(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        for model, status in (("gpt-image-1", 400), ("some/model", 400)):
            data = CAT | {"model": model, "cfg": "3"}
            path = "/openai/v1/images/edits"
            reply = await client.post(path, data=data, files=EMPTY_FORM)
            assert reply.status_code == status
            foreign = model == "some/model"
            assert named(reply) == (["cfg"] if foreign else [])
            assert ("Unknown parameter" in reply.text) is not foreign


async def test_a_prediction_s_log_names_what_was_passed_over(serving: Serving) -> None:
    case = PASSED["replicate"]
    async with serving(PlainEngine()) as client:
        headers = {"prefer": "wait"}
        reply = await client.post(case.path, json=case.body, headers=headers)
    assert "ignored: input.quality is not known" in reply.json()["logs"]
