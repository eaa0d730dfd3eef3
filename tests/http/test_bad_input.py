"""Bad input gets a clear error in the door's own form, and disturbs nothing else."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from imagemill.catalog import Catalog, Endpoint
from imagemill.dialects import flat as flat_door
from imagemill.dialects import hf_inference
from imagemill.errors import Fault, Kind
from imagemill.job import Submission
from tests.conftest import Serving
from tests.engines import PlainEngine

anyio = pytest.mark.anyio

HF, FLAT = "/hf-inference/models/a/b", "/flat/a/b"
JSON = {"content-type": "application/json"}
LIMIT = 200_000  # bytes of a body


def hf(fields: dict[str, Any]) -> dict[str, Any]:
    fields = {("num_inference_steps" if n == "steps" else n): v for n, v in fields.items()}
    return {"inputs": "a cat", "parameters": fields}


def flat(fields: dict[str, Any]) -> dict[str, Any]:
    fields = {("inference_steps" if n == "steps" else n): v for n, v in fields.items()}
    return {"inputs": "a cat", **fields}


async def refused(
    serving: Serving,
    path: str,
    content: bytes,
    told: str,
    status: int = 400,
    headers: Mapping[str, str] = JSON,
) -> httpx.Response:
    """The reply to `content`, which must be an error that says `told`; another then succeeds."""
    engine = PlainEngine()
    async with serving(engine, body_limit=LIMIT) as client:
        reply = await client.post(path, content=content, headers={**JSON, **headers})
        assert engine.submitted == []
        small = {"inputs": "a cat"}
        assert (await client.post(path, json=small)).status_code == 200
    assert reply.status_code == status, reply.text
    assert list(reply.json()) == ["error"]
    assert told in reply.json()["error"]
    assert len(reply.content) < 1500
    for leak in ("Traceback", "/src/", "site-packages", "pydantic"):
        assert leak not in reply.text
    return reply


VALUES: list[tuple[str, Any, str]] = [
    *(
        (side, value, f"{side} {value} is out of range; give 64 to 2048")
        for side in ("width", "height")
        for value in (0, -1, 63, 2049, 10**9)
    ),
    ("width", 10**400, "is out of range; give 64 to 2048"),
    ("steps", 0, "steps 0 is out of range; give 1 to 150"),
    ("steps", 10_000, "steps 10000 is out of range; give 1 to 150"),
    ("seed", -1, "seed -1 is out of range; give 0 to 18446744073709551615"),
    ("seed", 2**64, "seed 18446744073709551616 is out of range; give 0 to"),
    ("guidance_scale", -0.1, "guidance_scale -0.1 is out of range; give 0 to 50"),
    ("guidance_scale", 50.5, "guidance_scale 50.5 is out of range; give 0 to 50"),
    ("guidance_scale", 10**400, "guidance_scale: an integer of 1329 bits is not a number"),
    ("width", "wide", 'width: "wide" is not an integer'),
    ("width", 512.5, "width: 512.5 is not an integer"),
    ("width", [512], "width: a list is not an integer"),
    ("seed", {"a": 1}, "seed: an object is not an integer"),
    ("guidance_scale", "high", 'guidance_scale: "high" is not a number'),
    ("negative_prompt", 7, "negative_prompt: 7 is not a string"),
    ("negative_prompt", ["a"], "negative_prompt: a list is not a string"),
    ("negative_prompt", "x" * 10_001, "negative_prompt has 10001 characters; at most 10000"),
    ("negative_prompt", "\ud800", "half of a surrogate pair"),
]


@anyio
@pytest.mark.parametrize(("name", "value", "told"), VALUES)
@pytest.mark.parametrize(("path", "shape"), [(HF, hf), (FLAT, flat)])
async def test_a_bad_value_is_told_with_its_limits(
    serving: Serving, path: str, shape: Any, name: str, value: Any, told: str
) -> None:
    await refused(serving, path, json.dumps(shape({name: value})).encode(), told)


BODIES: list[tuple[bytes, str]] = [
    (b"", "the body is empty"),
    (b"  \n", "the body is empty"),
    (b"a red cat", "the body is not JSON: Expecting value at line 1, column 1"),
    (b'{"inputs": "a', "the body is not JSON"),
    (b'{"inputs": "a"} {', "the body is not JSON: Extra data at line 1, column 17"),
    (b'{"inputs": "\xff"}', "the body is not UTF-8: byte 12"),
    ('{"inputs": "a"}'.encode("utf-16"), "the body is not UTF-8"),
    (b'{"inputs": "a", "guidance_scale": NaN}', "NaN is not JSON"),
    (b'{"inputs": "a", "guidance_scale": -Infinity}', "-Infinity is not JSON"),
    (b'{"inputs": "a", "seed": ' + b"9" * 5000 + b"}", "an integer of thousands of digits"),
    (b"[" * 100_000 + b"]" * 100_000, "more than 30000 values"),
    (b"[" * 65 + b"]" * 65, "at most 64 levels"),
    (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "nested too deeply"),
    (b'{"inputs": "a", "inputs": "b"}', "the same name twice"),
    (b"[]", "the body: a list is not an object"),
    (b"null", "the body: null is not an object"),
    (b"7", "the body: 7 is not an object"),
    (b'{"inputs": 7}', "inputs: 7 is not a string"),
    (b'{"inputs": ["a cat"]}', "inputs: a list is not a string"),
    (b'{"inputs": ""}', "the prompt is empty"),
    (b'{"inputs": " \\n"}', "the prompt is empty"),
    (b'{"inputs": "\\ud83d"}', "half of a surrogate pair"),
    (json.dumps({"inputs": "x" * 100_000}).encode(), "100000 characters; at most 10000"),
]


@anyio
@pytest.mark.parametrize(("content", "told"), BODIES)
@pytest.mark.parametrize("path", [HF, FLAT])
async def test_a_bad_body_is_told(serving: Serving, path: str, content: bytes, told: str) -> None:
    await refused(serving, path, content, told)


@anyio
@pytest.mark.parametrize(("path", "field"), [(HF, "parameters.guidance_scale"), (FLAT, "")])
async def test_a_number_beyond_all_floats_is_not_finite(
    serving: Serving, path: str, field: str
) -> None:
    fields = b'"guidance_scale": 1e999'
    content = b'"inputs": "a", ' + (b'"parameters": {%s}' % fields if path == HF else fields)
    told = f"{field or 'guidance_scale'}: Infinity is not a finite number"
    await refused(serving, path, b"{%s}" % content, told)


@anyio
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"prompt": "a cat"}, "inputs: is required; unknown field 'prompt'"),
        ({"inputs": "a", "parameters": [1]}, "parameters: a list is not an object"),
        ({"inputs": "a", "options": {"use_cache": "no"}}, 'use_cache: "no" is not true or false'),
        (hf({"scheduler": "K_EULER"}), "unknown scheduler 'K_EULER'; one of FlowMatchEuler"),
        (hf({"scheduler": 3}), "parameters.scheduler: 3 is not a string"),
        (hf({"prompt": "a dog"}), "unknown field 'parameters.prompt'"),
        (hf({"num_images": 2}), "unknown field 'parameters.num_images'; known are guidance_scale"),
    ],
)
async def test_hf_inference_names_the_place(
    serving: Serving, body: dict[str, Any], told: str
) -> None:
    await refused(serving, HF, json.dumps(body).encode(), told)


@anyio
@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"x-use-cache": "maybe"}, "x-use-cache: 'maybe' is not true or false"),
        ({"x-wait-for-model": ""}, "x-wait-for-model: '' is not true or false"),
        ({"accept": "application/json"}, "accept one of image/jpeg, image/png, image/webp"),
        ({"content-type": "image/png"}, "image/png is not taken here"),
        ({"content-type": "multipart/form-data; boundary=x"}, "multipart/form-data is not taken"),
    ],
)
async def test_hf_inference_tells_of_bad_headers(
    serving: Serving, headers: dict[str, str], told: str
) -> None:
    await refused(serving, HF, b'{"inputs": "a cat"}', told, headers=headers)


@anyio
@pytest.mark.parametrize("path", [HF, FLAT])
async def test_parameters_in_the_url_are_not_dropped_in_silence(
    serving: Serving, path: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{path}?width=64", json={"inputs": "a cat"})
    assert reply.status_code == 400
    assert "put it into the body" in reply.json()["error"]


@anyio
@pytest.mark.parametrize("path", [HF, FLAT])
async def test_a_body_beyond_the_limit_is_refused(serving: Serving, path: str) -> None:
    content = json.dumps({"inputs": "x" * LIMIT}).encode()
    await refused(serving, path, content, f"larger than {LIMIT} bytes", status=413)


@anyio
async def test_a_body_without_end_is_refused_while_it_is_read(serving: Serving) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 50_000
            yield b" " * 50_000

    async with serving(PlainEngine(), body_limit=LIMIT) as client:
        reply = await client.post(FLAT, content=endless(), headers=JSON)
    assert reply.status_code == 413
    assert sent < 20 * LIMIT


@anyio
async def test_who_asks_first_is_refused_before_sending(serving: Serving) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    headers = {**JSON, "expect": "100-continue", "content-length": str(LIMIT + 1)}
    async with serving(PlainEngine(), body_limit=LIMIT) as client:
        reply = await client.post(FLAT, content=never(), headers=headers)
    assert reply.status_code == 413


@anyio
@pytest.mark.parametrize("path", [HF, FLAT])
async def test_without_stand_ins_an_unknown_model_is_not_found(serving: Serving, path: str) -> None:
    async with serving(PlainEngine(), stand_ins=False) as client:
        reply = await client.post(path, json={"inputs": "a cat"})
    assert reply.status_code == 404
    assert reply.json() == {
        "error": "model a/b is not available here; there are imagemill/pico, imagemill/pico-fast"
    }


@anyio
@pytest.mark.parametrize("path", ["/flat/%2e%2e/b", "/models/a%20b/c", "/models/%ff/x"])
async def test_what_is_no_model_id_is_not_found(serving: Serving, path: str) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(path, json={"inputs": "a cat"})
    assert reply.status_code == 404
    assert list(reply.json()) == ["error"]


@anyio
@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", HF, 405),
        ("PUT", FLAT, 405),
        ("GET", "/", 405),
        ("DELETE", "/health", 405),
        ("POST", "/nowhere", 404),
        ("POST", "/models/a", 404),
        ("POST", "/models/a/b/c", 404),
        ("GET", "/hf-inference", 404),
    ],
)
async def test_a_wrong_verb_or_route_is_told_in_json(
    serving: Serving, verb: str, path: str, status: int
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.request(verb, path)
    assert reply.status_code == status
    assert list(reply.json()) == ["error"]
    assert path in reply.json()["error"]
    assert reply.headers["x-request-id"]


FIELDS = [*hf_inference.Parameters.model_fields, *flat_door.FlatBody.model_fields]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES_OF_ANY_SHAPE = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*FIELDS, "parameters", "options"]) | st.text(), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("dialect", [hf_inference, flat_door], ids=lambda module: module.__name__)
@given(body=VALUES_OF_ANY_SHAPE.map(json.dumps).map(str.encode) | st.binary())
def test_whatever_comes_is_a_submission_or_a_clear_error(dialect: Any, body: bytes) -> None:
    endpoint = Catalog({}, True, lambda _: "1").find("a/b")
    assert isinstance(outcome(dialect, endpoint, body), Submission | str)


def outcome(dialect: Any, endpoint: Endpoint, body: bytes) -> Submission | str:
    """The submission, or the error's text; every other exception is a fault of ours."""
    try:
        submission: Submission = dialect.read(endpoint, Headers(), body)
        return submission
    except Fault as fault:
        if fault.kind is not Kind.INVALID:
            raise
        return str(json.loads(bytes(dialect.refuse(fault).body))["error"])
