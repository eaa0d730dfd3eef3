"""The door hf-inference, through a whole server: every field, every header."""

import base64
import io
import json
import random
from typing import Any

import httpx
import pytest
from PIL import Image

from imagemill.dialects.hf_inference import STATUSES, accepted, refuse
from imagemill.engine.events import State
from imagemill.errors import Fault, Kind
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

PATH = "/hf-inference/models/black-forest-labs/FLUX.1-dev"


def drawn(format: str = "png", size: tuple[int, int] = (96, 80)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, format)
    return buffer.getvalue()


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def opened(reply: httpx.Response) -> Image.Image:
    assert reply.status_code == 200, reply.text
    return Image.open(io.BytesIO(reply.content))


@pytest.mark.parametrize("path", [PATH, "/models/someone/something"])
async def test_raw_bytes_of_a_jpeg_come_back(serving: Serving, path: str) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(path, json={"inputs": "a red cat"})
    assert (opened(reply).size, opened(reply).format) == ((512, 512), "JPEG")
    assert reply.headers["content-type"] == "image/jpeg"


async def test_every_parameter_reaches_the_engine(serving: Serving) -> None:
    engine = PlainEngine()
    parameters = {
        "guidance_scale": 3,
        "negative_prompt": "green",
        "num_inference_steps": 5,
        "width": 192,
        "height": 64,
        "scheduler": "EulerDiscreteScheduler",
        "seed": 2**64 - 1,
    }
    async with serving(engine) as client:
        reply = await client.post(PATH, json={"inputs": "a red cat", "parameters": parameters})
    assert opened(reply).size == (192, 64)
    (generation,) = engine.submitted
    assert generation.prompt == "a red cat"
    assert generation.model == "black-forest-labs/FLUX.1-dev"
    assert {
        name: getattr(generation, name) for name in parameters if hasattr(generation, name)
    } == {name: value for name, value in parameters.items() if name != "num_inference_steps"}
    assert generation.steps == 5


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": "a red cat", "parameters": None, "options": None},
        {"inputs": "a red cat", "parameters": {}, "options": {}},
        {"inputs": "a red cat", "parameters": {"seed": None, "width": None, "scheduler": None}},
        {"inputs": "a red cat", "options": {"use_gpu": True, "retry_on_error": False}},
    ],
)
async def test_what_is_null_or_empty_is_left_open(serving: Serving, body: dict[str, Any]) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        assert opened(await client.post(PATH, json=body)).size == (512, 512)
    generation = engine.submitted[0]
    assert (generation.steps, generation.guidance_scale, generation.scheduler) == (12, 4.0, None)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        ("a red cat", None),
        ("a red cat", "text/plain; charset=utf-8"),
        ("a red cat", "application/x-www-form-urlencoded"),
        ('"a red cat"', "application/json"),
        ('"a red cat"', None),
        ('{"inputs": "a red cat"}', "application/x-www-form-urlencoded"),
        ('\ufeff{"inputs": "a red cat"}', "application/json; charset=utf-8"),
    ],
)
async def test_a_bare_string_is_the_prompt(
    serving: Serving, content: str, content_type: str | None
) -> None:
    engine = PlainEngine()
    headers = {"content-type": content_type} if content_type else {}
    async with serving(engine) as client:
        opened(await client.post(PATH, content=content.encode(), headers=headers))
    assert engine.submitted[0].prompt == "a red cat"


async def test_the_reply_tells_what_was_painted_and_how(serving: Serving) -> None:
    engine = PlainEngine(ignored=("flürb", "a,b", "\r\nx-evil: 1"))
    async with serving(engine) as client:
        reply = await client.post(PATH, json={"inputs": "a cat", "parameters": {"seed": 42}})
    assert {name: reply.headers[name] for name in reply.headers if name.startswith("x-")} == {
        "x-compute-characters": "5",
        "x-compute-time": "0.250",
        "x-imagemill-cache": "miss",
        "x-imagemill-ignored": "fl%C3%BCrb, a%2Cb, %0D%0Ax-evil%3A%201",
        "x-imagemill-model": "pico",
        "x-imagemill-seed": "42",
        "x-request-id": reply.headers["x-request-id"],
    }


async def test_many_ignored_words_are_counted_instead_of_listed(serving: Serving) -> None:
    engine = PlainEngine(ignored=tuple(f"word{number}" for number in range(1000)))
    async with serving(engine) as client:
        reply = await client.post(PATH, json={"inputs": "a cat"})
    header = reply.headers["x-imagemill-ignored"]
    assert len(header) < 1100
    listed = header.count("word")
    assert header.endswith(f"... {1000 - listed} more")


async def test_the_same_request_is_a_hit_with_the_same_seed(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        first, again = [await client.post(PATH, json={"inputs": "a cat"}) for _ in range(2)]
        other = await client.post("/models/another/model", json={"inputs": "a cat"})
    assert [each.headers["x-imagemill-cache"] for each in (first, again)] == ["miss", "hit"]
    assert again.headers["x-imagemill-seed"] == first.headers["x-imagemill-seed"]
    assert again.content == first.content
    assert other.headers["x-imagemill-cache"] == "miss"


@pytest.mark.parametrize(
    ("headers", "options", "expected"),
    [
        ({"x-use-cache": "false"}, {}, "miss"),
        ({"x-use-cache": "0"}, {}, "miss"),
        ({"X-Use-Cache": "TRUE"}, {}, "hit"),
        ({}, {"use_cache": False}, "miss"),
        ({}, {"use_cache": True}, "hit"),
        ({"x-use-cache": "true"}, {"use_cache": False}, "hit"),
    ],
)
async def test_the_caller_decides_on_the_cache(
    serving: Serving, headers: dict[str, str], options: dict[str, bool], expected: str
) -> None:
    body = {"inputs": "a cat", "options": options}
    async with serving(PlainEngine()) as client:
        await client.post(PATH, json={"inputs": "a cat"})
        reply = await client.post(PATH, json=body, headers=headers)
    assert reply.headers["x-imagemill-cache"] == expected


async def test_a_model_that_is_not_there_is_told_of_and_loaded_though_the_server_is_ready(
    serving: Serving,
) -> None:
    engine = PlainEngine(loads=12.5)
    async with serving(engine) as client:
        reply = await client.post(PATH, json={"inputs": "a cat"})
        assert (reply.status_code, reply.json()["estimated_time"]) == (503, 12.5)
        assert (engine.warmed, engine.submitted) == (["pico"], [])
        waiting = await client.post(
            PATH, json={"inputs": "a cat"}, headers={"x-wait-for-model": "true"}
        )
    assert waiting.status_code == 200


async def test_a_loading_model_is_a_503_with_an_estimate(serving: Serving) -> None:
    async with serving(PlainEngine(State.STARTING)) as client:
        reply = await client.post(PATH, json={"inputs": "a cat"})
    assert reply.status_code == 503
    assert reply.json()["error"] == "the model is currently loading"
    assert 1 <= reply.json()["estimated_time"] <= 10
    assert 1 <= int(reply.headers["retry-after"]) <= 10


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        ({"x-wait-for-model": "true"}, {}),
        ({"X-wait-for-model": "1"}, {}),
        ({}, {"wait_for_model": True}),
        # Answered 503, it would send again at once, for ever.
        ({"user-agent": "@huggingface/inference/4.13.30 node"}, {}),
    ],
)
async def test_who_waits_for_the_model_gets_the_picture(
    serving: Serving, headers: dict[str, str], options: dict[str, bool]
) -> None:
    engine = PlainEngine(State.STARTING)

    async def become_ready(_: httpx.Request) -> None:
        engine.state = State.READY

    async with serving(engine) as client:
        refused = await client.post(PATH, json={"inputs": "a cat"})
        client.event_hooks = {"request": [become_ready]}
        body = {"inputs": "a cat", "options": options}
        assert opened(await client.post(PATH, json=body, headers=headers))
    assert refused.status_code == 503


@pytest.mark.parametrize("value", ["Bearer hf_abc", "bearer hf_abc", "Bearer: hf_abc"])
async def test_both_documented_forms_of_authorization_are_accepted(
    serving: Serving, value: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json={"inputs": "a cat"}, headers={"authorization": value})
    assert reply.status_code == 200


@pytest.mark.parametrize("value", ["Basic c2VjcmV0", "Bearer a b", "c2VjcmV0"])
async def test_another_authorization_is_refused_and_not_repeated(
    serving: Serving, value: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json={"inputs": "a cat"}, headers={"authorization": value})
    assert reply.status_code == 400
    assert "Bearer hf_..." in reply.json()["error"]
    assert "c2VjcmV0" not in reply.text


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        ("", "jpeg"),
        ("*/*", "jpeg"),
        ("image/*", "jpeg"),
        ("image/png", "png"),
        ("IMAGE/PNG", "png"),
        ("image/jpg", "jpeg"),
        ("image/webp, image/png", "webp"),
        ("image/png;q=0.5, image/webp;q=0.9", "webp"),
        ("image/png;q=0.5, */*;q=0.1", "png"),
        ("image/jpeg;q=0, image/*", "png"),
        ("application/json, image/png;q=0.1", "png"),
        ("text/html, image/avif, image/webp, image/*, */*;q=0.8", "webp"),
        ("image/png; q=1.000; x=y", "png"),
    ],
)
def test_the_format_follows_accept(accept: str, format: str) -> None:
    assert accepted(accept) == format


@pytest.mark.parametrize("accept", ["application/json", "image/gif, text/*", "image/png;q=0"])
def test_an_accept_that_nobody_can_serve_is_told(accept: str) -> None:
    with pytest.raises(Fault, match=r"accept one of image/jpeg, image/png, image/webp"):
        accepted(accept)


@pytest.mark.parametrize("quality", ["2", "nan", "-1", "1.5", "high", ""])
def test_a_quality_that_is_none_is_told(quality: str) -> None:
    with pytest.raises(Fault, match="is out of range; give 0 to 1"):
        accepted(f"image/png;q={quality}")


async def test_two_accept_headers_are_read_as_one(serving: Serving) -> None:
    headers = [("accept", "image/webp"), ("accept", "image/png")]
    async with serving(PlainEngine()) as client:
        client.headers.pop("accept")
        reply = await client.post(PATH, json={"inputs": "a cat"}, headers=headers)
    assert reply.headers["content-type"] == "image/webp"


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_fault_has_words_of_this_dialect(kind: Kind) -> None:
    reply = refuse(Fault(kind, "steps 0 is out of range", "steps", retry_after=2.1))
    assert reply.status_code == STATUSES[kind] >= 400
    assert reply.headers["retry-after"] == "3"
    body = json.loads(bytes(reply.body))
    assert body["error"] == "num_inference_steps: steps 0 is out of range"
    assert ("estimated_time" in body) == (kind is Kind.LOADING)


def test_being_busy_is_no_503_which_some_clients_send_again_at_once() -> None:
    assert STATUSES[Kind.BUSY] == 429


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "avif", "tiff", "gif", "bmp"])
@pytest.mark.parametrize("announced", [None, "image/png", "application/octet-stream"])
async def test_the_bytes_of_a_picture_are_painted_over(
    serving: Serving, format: str, announced: str | None
) -> None:
    engine = PlainEngine()
    headers = {} if announced is None else {"content-type": announced}
    async with serving(engine) as client:
        reply = await client.post(PATH, content=drawn(format), headers=headers)
    assert opened(reply).size == (96, 80)
    assert reply.headers["x-compute-images"] == "1"
    assert "x-compute-characters" not in reply.headers
    ((content,), (generation,)) = (engine.inputs[0].values(), engine.submitted)
    assert Image.open(io.BytesIO(content)).size == (96, 80)
    assert len(generation.references) == 1


NO_PICTURES: tuple[tuple[bytes, str], ...] = (
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture, which is not read; export it as JPEG"),
    (b"%PDF-1.7\n", "a PDF document, which is not read; render it"),
    (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    (b"PK\3\4" + bytes(40), "a ZIP archive"),
)


@pytest.mark.parametrize(("content", "named"), NO_PICTURES)
async def test_a_file_is_never_painted_as_a_prompt(
    serving: Serving, content: bytes, named: str
) -> None:
    """The base64 of what is no picture was painted as words, with 200."""
    engine, uri = PlainEngine(), f"data:;base64,{in_base64(content)}"
    async with serving(engine) as client:
        inputs = (in_base64(content), uri)
        replies = [await client.post(PATH, json={"inputs": each}) for each in inputs]
        replies.append(await client.post(PATH, content=content))
    assert not engine.submitted
    for reply in replies:
        assert reply.status_code == 422, reply.text
        assert named in reply.json()["error"]


async def test_a_file_of_no_known_kind_is_no_prompt_either(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        unknown = in_base64(random.Random(0).randbytes(300))
        reply = await client.post(PATH, json={"inputs": unknown})
    assert "unknown data" in reply.json()["error"]
    assert not engine.submitted


@pytest.mark.parametrize(
    "prompt", ["cat", "/world", "data: three bars, red", "x" * 300, "BM", "GIF", "abcd" * 100]
)
async def test_words_that_could_be_base64_are_words(serving: Serving, prompt: str) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        opened(await client.post(PATH, json={"inputs": prompt}))
    assert [each.prompt for each in engine.submitted] == [prompt]


async def test_every_parameter_of_a_repainting_reaches_the_engine(serving: Serving) -> None:
    engine = PlainEngine()
    parameters = {
        "prompt": "a blue dog",
        "negative_prompt": "green",
        "target_size": {"width": 128, "height": 64},
        "num_inference_steps": 3,
        "guidance_scale": 3,
        "strength": 0.25,
        "seed": 7,
        "mask_image": in_base64(drawn()),
    }
    body = {"inputs": in_base64(drawn("jpeg")), "parameters": parameters}
    async with serving(engine) as client:
        assert opened(await client.post(PATH, json=body)).size == (128, 64)
    (generation,) = engine.submitted
    assert (generation.prompt, generation.negative_prompt) == ("a blue dog", "green")
    assert (generation.steps, generation.guidance_scale, generation.strength, generation.seed) == (
        3,
        3,
        0.25,
        7,
    )
    assert len(engine.inputs[0]) == 2


@pytest.mark.parametrize(
    "inputs",
    [
        in_base64(drawn()),
        f"data:image/jpeg;base64,{in_base64(drawn())}",
        f"data:;base64,{in_base64(drawn())}",
        f"DATA:image/png;BASE64,{in_base64(drawn())}",
        base64.encodebytes(drawn()).decode(),
        in_base64(drawn("avif")),
        in_base64(drawn("tiff")),
    ],
)
@pytest.mark.parametrize(
    ("size", "expected"), [({}, (96, 80)), ({"width": 64, "height": 128}, (64, 128))]
)
async def test_a_picture_in_json_keeps_its_size_unless_told(
    serving: Serving, inputs: str, size: dict[str, int], expected: tuple[int, int]
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json={"inputs": inputs, "parameters": size})
    assert opened(reply).size == expected


async def test_a_file_of_this_server_is_painted_over_by_its_address(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        app = {"prompt": "a cat", "image_size": {"width": 64, "height": 64}}
        made = await client.post("/fal/run/fal-ai/flux/dev", json=app)
        body = {"inputs": made.json()["images"][0]["url"], "parameters": {"prompt": "a dog"}}
        replies = [await client.post(PATH, json=body) for _ in range(2)]
    assert [opened(reply).size for reply in replies] == [(64, 64)] * 2
    # What is behind an address may change.
    assert [reply.headers["x-imagemill-cache"] for reply in replies] == ["miss", "miss"]


async def test_the_same_repainting_is_a_hit(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        first, again = [await client.post(PATH, content=drawn()) for _ in range(2)]
        other = await client.post(PATH, content=drawn(size=(80, 96)))
    hits = [reply.headers["x-imagemill-cache"] for reply in (first, again, other)]
    assert hits == ["miss", "hit", "miss"]


@pytest.mark.parametrize("path", [f"{PATH}_image-to-image", "/models/a/b_image-to-image"])
async def test_the_second_id_of_a_model_means_the_model(serving: Serving, path: str) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        opened(await client.post(path, content=drawn()))
    assert not engine.submitted[0].model.endswith("_image-to-image")


BESIDE_A_TEXT: list[tuple[str, Any]] = [
    ("prompt", "a dog"),
    ("strength", 0.5),
    ("mask_image", in_base64(drawn())),
]


@pytest.mark.parametrize(("name", "value"), BESIDE_A_TEXT)
async def test_what_belongs_to_a_picture_is_refused_beside_a_text(
    serving: Serving, name: str, value: Any
) -> None:
    body = {"inputs": "a cat", "parameters": {name: value}}
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json=body)
    assert reply.status_code == 400
    assert f"unknown field 'parameters.{name}' where inputs is a text" in reply.json()["error"]


@pytest.mark.parametrize(
    ("parameters", "status", "message"),
    [
        ({"strength": 2}, 400, "strength 2.0 is out of range; give 0 to 1"),
        ({"target_size": {"width": 64}}, 400, "parameters.target_size.height: is required"),
        ({"target_size": {"width": 64, "height": 9}}, 400, "height 9 is out of range"),
        (
            {"target_size": {"width": 64, "height": 64}, "width": 64},
            400,
            "target_size is the width and height; give it, or these",
        ),
        ({"width": 64}, 400, "a picture is given both width and height, or none"),
        ({"mask_image": "nothing at all!"}, 422, "mask_image: the mask is a data URI with broken"),
        ({"mask_image": in_base64(drawn(size=(64, 64)))}, 400, "the mask has 64x64 pixels"),
    ],
)
async def test_a_bad_value_beside_a_picture_is_told(
    serving: Serving, parameters: dict[str, Any], status: int, message: str
) -> None:
    body = {"inputs": in_base64(drawn()), "parameters": parameters}
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json=body)
    assert (reply.status_code, message in reply.json()["error"]) == (status, True), reply.text


async def test_a_broken_picture_is_told_by_its_field(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, content=drawn()[:60])
    assert reply.status_code == 422
    assert reply.json()["error"] == (
        "inputs: the image is a broken or truncated PNG file; send it again, whole"
    )


async def test_a_size_of_text_to_image_may_come_as_target_size(serving: Serving) -> None:
    body = {"inputs": "a cat", "parameters": {"target_size": {"width": 64, "height": 128}}}
    async with serving(PlainEngine()) as client:
        assert opened(await client.post(PATH, json=body)).size == (64, 128)


async def test_a_picture_may_be_larger_than_a_text(serving: Serving) -> None:
    noise = io.BytesIO()
    Image.effect_noise((128, 128), 50).save(noise, "png")
    content = noise.getvalue()
    body = {"inputs": in_base64(content), "parameters": {"prompt": "a dog"}}
    async with serving(PlainEngine(), body_limit=2048, input_limit=40_000) as client:
        for reply in (await client.post(PATH, content=content), await client.post(PATH, json=body)):
            assert opened(reply).size == (128, 128)
        text = await client.post(PATH, json={"inputs": "a" * 3000})
        large = await client.post(PATH, content=content * 4)
    assert "larger than 2048 bytes" in text.json()["error"]
    assert "larger than 40000 bytes" in large.json()["error"]
    assert (text.status_code, large.status_code) == (413, 413)
