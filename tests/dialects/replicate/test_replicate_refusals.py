"""What Replicate's door refuses, and in which words."""

import json
from typing import Any

import pytest

from tests.conftest import Serving
from tests.dialects.replicate.test_replicate import ROOT, SCHNELL, create
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("cancel-after", "4s", "at least 5 s"),
        ("cancel-after", "soon", "at least 5 s"),
        ("cancel-after", "", "at least 5 s"),
    ],
)
async def test_headers_of_another_form_are_refused(
    serving: Serving, name: str, value: str, message: str
) -> None:
    async with serving(PlainEngine()) as client:
        body = await create(client, code=422, headers={name: value})
    assert message in body["detail"]
    assert body["invalid_fields"][0]["field"] == name


async def test_a_credential_of_another_form_is_refused_and_not_repeated(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        for url in (f"{ROOT}/account", f"{ROOT}/predictions", f"{ROOT}/files"):
            reply = await client.get(url, headers={"authorization": "Basic c2VjcmV0"})
            assert (reply.status_code, reply.json()["title"]) == (401, "Unauthenticated")
            assert "c2VjcmV0" not in reply.text


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, [("required", "", "input is required")]),
        (
            {"inptu": {}},
            [
                ("required", "", "input is required"),
                ("additional_property_not_allowed", "", "Additional property inptu is not allowed"),
            ],
        ),
        ({"input": 3}, [("invalid_type", "input", "Invalid type. Expected: object, given: int")]),
        ({"input": {}}, [("required", "input", "prompt is required")]),
        ({"input": {"prompt": " "}}, [("string_gte", "input.prompt", "String length must be")]),
        (
            {"input": {"prompt": "x", "seed": "7"}},
            [("invalid_type", "input.seed", "Invalid type. Expected: integer, given: string")],
        ),
        (
            {"input": {"prompt": "x", "num_outputs": 9}},
            [("number_lte", "input.num_outputs", "Must be less than or equal to 4")],
        ),
        (
            {"input": {"prompt": "x", "num_inference_steps": 5}},
            [("number_lte", "input.num_inference_steps", "Must be less than or equal to 4")],
        ),
        (
            {"input": {"prompt": "x", "output_format": "gif"}},
            [
                (
                    "enum",
                    "input.output_format",
                    'input.output_format must be one of the following: "',
                )
            ],
        ),
        (
            {"input": {"prompt": "x", "\ud800": 1}},
            [("string_unicode", "input", "half of a surrogate pair")],
        ),
        (
            {"input": {"prompt": "x", "scheduler": "KLMS"}},
            [("invalid", "input.scheduler", "scheduler 'KLMS' is not served here; one of K_EULER")],
        ),
        (
            {"input": {"prompt": "x", "guidance": 3, "guidance_scale": 4}},
            [("invalid", "input.guidance_scale", "guidance_scale and guidance: they differ")],
        ),
        (
            {"input": {"prompt": "x", "image": "iVBORw0KGgo"}},
            [("invalid", "input.image", "image 'iVBORw0KGgo' is no address of a picture")],
        ),
        (
            {"input": {"prompt": "x", "mask": "data:,x"}},
            [("invalid", "input.mask", "mask needs an image")],
        ),
        ({"input": {"prompt": "x"}, "version": "x"}, [("additional_property_not_allowed", "", "")]),
        (
            {"input": {"prompt": "x"}, "webhook_events_filter": ["done"]},
            [("enum", "webhook_events_filter.0", "")],
        ),
        (
            {"input": {"prompt": "x"}, "webhook_events_filter": ["start"]},
            [("invalid", "webhook_events_filter", "needs a webhook")],
        ),
        ({"input": {"prompt": "x"}, "webhook": "moon"}, [("invalid", "webhook", "")]),
    ],
)
async def test_what_is_wrong_is_named(
    serving: Serving, body: dict[str, Any], wrong: list[tuple[str, str, str]]
) -> None:
    async with serving(PlainEngine()) as client:
        content = json.dumps(body).encode()
        reply = await client.post(f"{SCHNELL}/predictions", content=content)
    assert reply.status_code == 422, reply.text
    refusal = reply.json()
    assert refusal["title"] == "Input validation failed"
    fields = refusal["invalid_fields"]
    assert [(each["type"], each["field"]) for each in fields] == [each[:2] for each in wrong]
    assert all(
        text in each["description"] for each, (_, _, text) in zip(fields, wrong, strict=True)
    )
    for each in fields:
        line = f"- {each['field']}: " if each["field"] else "- "
        assert line + each["description"] in refusal["detail"]


@pytest.mark.parametrize("body", [b"", b"nope", b"[1]", b'"a cat"', b"\xff\xfe"])
async def test_a_body_that_is_none_is_told(serving: Serving, body: bytes) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{ROOT}/predictions", content=body)
    assert reply.status_code == 422
    assert reply.json()["invalid_fields"][0]["field"] == ""


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", "/models"),
        ("DELETE", "/models/a/b"),
        ("GET", "/trainings"),
        ("POST", "/deployments"),
    ],
)
async def test_what_is_not_served_here_is_told(serving: Serving, verb: str, path: str) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.request(verb, ROOT + path)
    assert (reply.status_code, reply.json()["title"]) == (422, "Not supported")
