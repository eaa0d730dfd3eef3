"""The door of Nebula Block, through a whole server: every field of every model."""

import base64
import io
import json
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from imagemill.catalog.models import OWN
from imagemill.dialects.nebula.vocabulary import ALWAYS, MODELS, OPTIONAL, STATUSES
from imagemill.dialects.nebula.write import refuse
from imagemill.engine.events import State
from imagemill.errors import Fault, Kind
from imagemill.jobs.job_inputs import image_key
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

PATH = "/nebula/api/v1/images/generation"
MODELS_PATH = "/nebula/api/v1/serverless/models"
SDXL, SCHNELL, FILL = MODELS
OTHER = "someone/something"


def encoded_image(width: int = 96, height: int = 64, format: str = "png", **options: Any) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(buffer, format, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def halved(width: int = 96, height: int = 64) -> str:
    """A mask whose right half is white."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[:, width // 2 :] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def params(model: str = SCHNELL, **fields: Any) -> dict[str, Any]:
    return {"model": model, "prompt": "a red cat", "num_steps": 2} | fields


def filling(**fields: Any) -> dict[str, Any]:
    return params(FILL, image=encoded_image(), mask=halved()) | fields


def opened(reply: httpx.Response) -> Image.Image:
    assert reply.status_code == 200, reply.text
    (datum,) = reply.json()["data"]
    return Image.open(io.BytesIO(base64.b64decode(datum["b64_json"], validate=True)))


def refused(reply: httpx.Response) -> str:
    """What is told of a call that was refused."""
    body = reply.json()
    assert reply.status_code >= 400
    assert (list(body), body["status"]) == (["message", "status"], "failed")
    return str(body["message"])


async def test_the_reply_is_as_documented(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json=params(width=192, height=64))
    body = reply.json()
    assert body | {"data": []} == {
        "model": SCHNELL,
        "object": "list",
        "data": [],
        "message": "Image generated successfully",
        "status": "success",
    }
    (datum,) = body["data"]
    assert datum | {"b64_json": ""} == {"timings": {"inference": 0.25}, "index": 0, "b64_json": ""}
    assert (opened(reply).size, opened(reply).format) == ((192, 64), "PNG")
    assert reply.headers["x-imagemill-size"] == "192x64"


@pytest.mark.parametrize(
    "fields",
    [
        params(SDXL, negative_prompt="green", width=128, height=64, guidance_scale=9),
        params(SCHNELL, seed=2**64 - 1, width=128, height=64, guidance_scale=3.5),
        params(OTHER, negative_prompt="green", seed=0, width=128, height=64, guidance_scale=0),
    ],
)
async def test_every_parameter_of_a_model_reaches_the_engine(
    serving: Serving, fields: dict[str, Any]
) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        opened(await client.post(PATH, json=fields))
    (generation,) = engine.submitted
    expected = fields | {"steps": fields["num_steps"]}
    assert {name: getattr(generation, name) for name in expected if hasattr(generation, name)} == {
        name: value for name, value in expected.items() if name != "num_steps"
    }


async def test_what_is_left_open_is_the_model_s_own(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        opened(await client.post(PATH, json={"model": SDXL, "prompt": "a red cat"}))
    (generation,) = engine.submitted
    assert (generation.width, generation.height, generation.steps, generation.guidance_scale) == (
        512,
        512,
        12,
        4.0,
    )


async def test_a_get_with_a_body_is_answered_as_the_reference_prints_it(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        opened(await client.request("GET", PATH, json=params()))
        assert "the body is empty" in refused(await client.get(PATH))


@pytest.mark.parametrize(
    "fields",
    [
        {"model": SCHNELL},
        {"model_name": SCHNELL},
        {"model": SCHNELL, "model_name": SCHNELL},
        {"model": None, "model_name": SCHNELL},
    ],
)
async def test_the_model_has_two_names(serving: Serving, fields: dict[str, Any]) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json={"prompt": "a red cat"} | fields)
    assert reply.json()["model"] == SCHNELL


@pytest.mark.parametrize(
    ("image", "mask"), [("image", "mask"), ("input_image", "mask_image"), ("image", "mask_image")]
)
async def test_the_pictures_have_two_names(serving: Serving, image: str, mask: str) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        opened(
            await client.post(PATH, json=params(FILL) | {image: encoded_image(), mask: halved()})
        )
    assert engine.submitted[0].mask == image_key("mask")


@pytest.mark.parametrize(
    "fields",
    [
        {"model_name": SDXL},
        {"model": OTHER, "image": encoded_image(), "input_image": encoded_image(64, 64)},
    ],
)
async def test_two_names_with_two_values_are_refused(
    serving: Serving, fields: dict[str, Any]
) -> None:
    async with serving(PlainEngine()) as client:
        message = refused(await client.post(PATH, json=params() | fields))
    assert "two names of one field" in message


@pytest.mark.parametrize("seed", [-1, None])
async def test_a_seed_that_is_left_open_is_drawn_anew_each_time(
    serving: Serving, seed: int | None
) -> None:
    async with serving(PlainEngine()) as client:
        replies = [await client.post(PATH, json=params(seed=seed)) for _ in range(2)]
    first, second = (reply.headers["x-imagemill-seed"] for reply in replies)
    assert int(first) >= 0
    assert first != second


async def test_a_seed_that_is_named_gives_the_same_picture(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        first, second = [await client.post(PATH, json=params(seed=7)) for _ in range(2)]
    assert first.json()["data"][0]["b64_json"] == second.json()["data"][0]["b64_json"]
    assert len(engine.submitted) == 1


@pytest.mark.parametrize(
    "nothing", [dict.fromkeys(OPTIONAL), {"negative_prompt": "", "seed": -1, "image": ""}]
)
@pytest.mark.parametrize("model", [SDXL, SCHNELL, OTHER])
async def test_what_asks_for_nothing_is_no_parameter(
    serving: Serving, model: str, nothing: dict[str, Any]
) -> None:
    async with serving(PlainEngine()) as client:
        opened(await client.post(PATH, json=params(model) | nothing))


VALUES: dict[str, Any] = {
    "negative_prompt": "green",
    "seed": 7,
    "image": encoded_image(),
    "mask": halved(),
}


@pytest.mark.parametrize(
    ("model", "name"),
    [(model, name) for model in MODELS.values() for name in OPTIONAL if name not in model.takes],
    ids=str,
)
async def test_a_parameter_that_a_model_does_not_take_is_told(
    serving: Serving, model: Any, name: str
) -> None:
    needed = {each: VALUES[each] for each in model.needs}
    async with serving(PlainEngine()) as client:
        body = params(model.id) | needed | {name: VALUES[name]}
        message = refused(await client.post(PATH, json=body))
    assert message.startswith(f"{model.id} takes no {name}; it takes prompt, ")
    assert message.endswith(", ".join((*ALWAYS, *model.takes)))


@pytest.mark.parametrize("lacking", ["image", "mask"])
async def test_filling_needs_both_pictures(serving: Serving, lacking: str) -> None:
    async with serving(PlainEngine()) as client:
        message = refused(await client.post(PATH, json=filling(**{lacking: None})))
    assert message == f"{FILL} needs image and mask, in base64; {lacking} did not come"


async def test_another_model_takes_an_image_without_a_mask_but_no_mask_alone(
    serving: Serving,
) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        opened(await client.post(PATH, json=params(OTHER, image=encoded_image())))
        message = refused(await client.post(PATH, json=params(OTHER, mask=halved())))
    assert (engine.submitted[0].mask, engine.submitted[0].strength) == (None, 0.8)
    assert "mask needs an image" in message


async def test_a_mask_has_all_of_it_painted_anew(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        opened(await client.post(PATH, json=filling()))
    (generation,) = engine.submitted
    mask = Image.open(io.BytesIO(engine.inputs[0][image_key("mask")]))
    assert generation.strength == 1.0
    assert (mask.getpixel((10, 30)), mask.getpixel((90, 30))) == (0, 255)


async def test_a_mask_of_another_size_is_resized_without_greys(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        opened(await client.post(PATH, json=filling(mask=halved(50, 50))))
    mask = np.asarray(Image.open(io.BytesIO(engine.inputs[0][image_key("mask")])))
    assert mask.shape == (64, 96)
    assert set(np.unique(mask)) == {0, 255}
    assert abs(int((mask > 0).sum()) - 64 * 48) <= 64


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (96, 64)),  # the image's own
        ({"image": encoded_image(100, 70)}, (96, 64)),
        ({"width": 200, "height": 100}, (192, 96)),
        ({"width": 79, "height": 64}, (64, 64)),
        ({"width": 192}, (192, 128)),  # in proportion
        ({"height": 127}, (176, 112)),
        ({"image": encoded_image(16, 32)}, (64, 128)),
        ({"image": encoded_image(4096, 3000)}, (2048, 1488)),
        ({"image": encoded_image(8192, 16)}, (2048, 64)),
    ],
)
async def test_filling_rounds_its_sides_down_to_multiples_of_16(
    serving: Serving, fields: dict[str, Any], size: tuple[int, int]
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json=filling(**fields))
    assert opened(reply).size == size
    assert reply.headers["x-imagemill-size"] == "{}x{}".format(*size)


async def test_other_models_paint_the_size_that_is_asked(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json=params(OTHER, image=encoded_image(100, 70)))
        assert opened(reply).size == (100, 70)
        assert opened(await client.post(PATH, json=params(width=101, height=67))).size == (
            101,
            67,
        )


@pytest.mark.parametrize(
    "text",
    [
        encoded_image(format="jpeg"),
        *(encoded_image(format=each) for each in ("webp", "avif", "tiff", "gif", "bmp")),
        f"data:image/png;base64,{encoded_image()}",
        f"DATA:image/jpeg;base64,{encoded_image()}",  # its declared type is not believed
        encoded_image().rstrip("="),
        "\n".join(encoded_image()[i : i + 76] for i in range(0, len(encoded_image()), 76)),
        encoded_image().replace("+", "-").replace("/", "_"),
    ],
)
async def test_pictures_come_in_base64_however_it_was_written(serving: Serving, text: str) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        opened(await client.post(PATH, json=filling(image=text)))
    assert engine.submitted[0].width == 96


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (base64.b64encode(b"<svg/>").decode(), "the image is an SVG drawing, which is not read"),
        (base64.b64encode(b"a cat").decode(), "the image is text, no picture that is read"),
        (" ", "the image is empty"),
        ("https://example.com/a.png", "the image is not base64; send the file itself"),
        ("data:image/png;base64,!", "the image is a data URI with broken content"),
        (encoded_image()[:80], "the image is a broken or truncated PNG file"),
        (encoded_image(8, 8), "the image has 8x8 pixels; 16 to 65536 a side"),
    ],
)
async def test_what_is_no_picture_is_called_by_its_name(
    serving: Serving, text: str, message: str
) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        reply = await client.post(PATH, json=filling(image=text))
    assert reply.status_code == 422
    assert refused(reply).startswith(message)
    assert not engine.submitted


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompt": ""}, "the prompt is empty; say what to paint"),
        ({"prompt": None}, "prompt: null is not a string"),
        ({"model": None}, "model is required"),
        ({"model": "no model"}, "'no model' is not a model id"),
        ({"num_steps": 0}, "num_steps: steps 0 is out of range; give 1 to 150"),
        ({"num_steps": "2"}, 'num_steps: "2" is not an integer'),
        ({"seed": -2}, "seed -2 is out of range"),
        ({"width": 63}, "width 63 is out of range; give 64 to 2048"),
    ],
)
async def test_what_is_wrong_is_told(
    serving: Serving, fields: dict[str, Any], message: str
) -> None:
    async with serving(PlainEngine()) as client:
        assert refused(await client.post(PATH, json=params() | fields)).startswith(message)


@pytest.mark.parametrize(
    "fields", [{"width": 63}, {"height": 10**400}, {"width": -1}, {"width": 2050}]
)
async def test_sides_out_of_range_are_not_adjusted(
    serving: Serving, fields: dict[str, int]
) -> None:
    async with serving(PlainEngine()) as client:
        message = refused(await client.post(PATH, json=filling(**fields)))
    assert "is out of range; give 64 to 2048" in message


async def test_fields_in_the_url_are_refused(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.request("GET", PATH + "?seed=1", json=params())
    assert "seed in the URL is not read here; put it into the body" in refused(reply)


@pytest.mark.parametrize("path", [PATH, MODELS_PATH])
@pytest.mark.parametrize(
    ("value", "status"),
    [("Bearer ak_abc", 200), ("bearer eyJ0.eyJ1.c2ln", 200), ("Basic c2VjcmV0", 401), ("k", 401)],
)
async def test_any_bearer_token_will_do(
    serving: Serving, path: str, value: str, status: int
) -> None:
    async with serving(PlainEngine()) as client:
        headers = {"authorization": value}
        reply = await client.request("GET", path, json=params(), headers=headers)
    assert reply.status_code == status
    if status == 401:
        assert refused(reply) == "authorization is not of the form 'Bearer KEY'; send a key so"


async def test_who_calls_while_the_model_loads_waits(serving: Serving) -> None:
    engine = PlainEngine(State.STARTING)

    async def become_ready(_: httpx.Request) -> None:
        engine.state = State.READY

    async with serving(engine) as client:
        client.event_hooks = {"request": [become_ready]}
        opened(await client.post(PATH, json=params()))


async def test_a_call_of_a_name_is_painted_once(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        headers = {"idempotency-key": "k1"}
        replies = [await client.post(PATH, json=params(), headers=headers) for _ in range(2)]
    assert replies[0].headers["x-imagemill-seed"] == replies[1].headers["x-imagemill-seed"]
    assert len(engine.submitted) == 1


async def test_the_list_has_the_models_of_the_page_and_those_of_this_server(
    serving: Serving,
) -> None:
    async with serving(PlainEngine()) as client:
        body = (await client.get(MODELS_PATH)).json()
    assert (body["status"], body["message"]) == ("success", "Get models list successfully.")
    listed = body["data"]["models"]
    assert [model["model_name"] for model in listed] == [SDXL, SCHNELL, FILL, *OWN]
    assert listed[1] == {
        "model_name": SCHNELL,
        "model_alias": "Flux.1 schnell",
        "model_type": "Image",
        "context_length": None,
        "max_completion_tokens": None,
        "description": "Text to image in a few steps.",
        "price": 0,
        "huggingface_url": f"https://huggingface.co/{SCHNELL}",
    }


async def test_without_stand_ins_only_what_is_served_is_listed(serving: Serving) -> None:
    async with serving(PlainEngine(), stand_ins=False) as client:
        body = (await client.get(MODELS_PATH)).json()
        message = refused(await client.post(PATH, json=params()))
    assert [model["model_name"] for model in body["data"]["models"]] == [*OWN]
    assert message.startswith(f"model {SCHNELL} is not available here")


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_fault_has_words_of_this_dialect(kind: Kind) -> None:
    reply = refuse(Fault(kind, "steps 0 is out of range", "steps", retry_after=2.1))
    assert reply.status_code == STATUSES[kind] >= 400
    assert reply.headers["retry-after"] == "3"
    assert json.loads(bytes(reply.body)) == {
        "message": "num_steps: steps 0 is out of range",
        "status": "failed",
    }
