"""Together's door, through a whole server: every field, every error, calls that come again."""

import asyncio
import base64
import io
import json
import threading
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.datastructures import Headers

from imagemill.app import create_app
from imagemill.catalog import Catalog
from imagemill.dialects import nebius, together
from imagemill.dialects.hub_models import UNSAID
from imagemill.dialects.together import vocabulary
from imagemill.dialects.together.read import Ratio, TogetherBody
from imagemill.engine.events import State
from imagemill.errors import Fault, Kind
from imagemill.http.context import AppContext
from imagemill.http.operation import SHORT
from imagemill.settings import Settings
from imagemill.telemetry import Telemetry
from tests.conftest import Serving
from tests.engines import PlainEngine
from tests.houses import opened_backend as opened_house

pytestmark = pytest.mark.anyio

PATH = "/together/v1/images/generations"
MODEL = "black-forest-labs/FLUX.1-schnell"
HUGGING_FACE = [
    "unknown/None; hf_hub/2.4.0; python/3.11.7",
    "@huggingface/inference/4.13.30 Node.js/20",
]


def params(**fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "prompt": "a red cat", "steps": 2, "width": 96, "height": 64} | fields


def data_uri(colour: str = "teal") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), colour).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def uri(colour: str = "teal") -> str:
    return f"data:image/jpeg;base64,{data_uri(colour)}"  # a label that is wrong, as clients send it


def images(reply: httpx.Response) -> list[Image.Image]:
    assert reply.status_code == 200, reply.text
    data = reply.json()["data"]
    assert [(each["index"], each["type"]) for each in data] == [
        (i, "b64_json") for i in range(len(data))
    ]
    return [Image.open(io.BytesIO(base64.b64decode(each["b64_json"]))) for each in data]


def error_of(reply: httpx.Response) -> dict[str, Any]:
    """The error of a call that was refused."""
    assert list(reply.json()) == ["error"]
    error: dict[str, Any] = reply.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    for leak in ("Traceback", "site-packages", "pydantic"):
        assert leak not in reply.text
    return error


async def painted(serving: Serving, **fields: Any) -> PlainEngine:
    """The engine, after it was asked for one picture."""
    engine = PlainEngine()
    async with serving(engine) as client:
        images(await client.post(PATH, json=params(response_format="base64", **fields)))
    return engine


async def refused(serving: Serving, status: int = 400, **fields: Any) -> dict[str, Any]:
    """The error; nothing may have been painted."""
    engine = PlainEngine()
    async with serving(engine) as client:
        reply = await client.post(PATH, json=params(**fields))
    assert reply.status_code == status, reply.text
    assert engine.submitted == []
    return error_of(reply)


def test_there_is_a_word_for_every_error_and_a_size_for_every_ratio() -> None:
    assert set(vocabulary.ERRORS) == set(Kind)
    assert set(vocabulary.RATIOS) == set(get_args(Ratio))


async def test_every_parameter_reaches_the_engine(serving: Serving) -> None:
    engine = await painted(
        serving,
        negative_prompt="green",
        n=2,
        steps=5,
        guidance_scale=3,
        scheduler="EulerDiscreteScheduler",
        seed=2**64 - 1,
        output_format="png",
    )
    (generation,) = engine.submitted
    assert (generation.prompt, generation.negative_prompt) == ("a red cat", "green")
    assert (generation.width, generation.height, generation.num_images) == (96, 64, 2)
    assert (generation.steps, generation.guidance_scale) == (5, 3)
    assert (generation.scheduler, generation.seed) == ("EulerDiscreteScheduler", 2**64 - 1)
    assert (generation.format, generation.model) == ("png", MODEL)


@pytest.mark.parametrize("inline", ["base64", "b64_json"])
async def test_pictures_come_within_the_reply_and_no_url_beside_them(
    serving: Serving, inline: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json=params(n=2, response_format=inline))
    assert [(each.size, each.format) for each in images(reply)] == [((96, 64), "JPEG")] * 2
    body = reply.json()
    assert list(body) == ["id", "object", "model", "data"]
    assert (body["object"], body["model"]) == ("list", MODEL)
    assert all(list(each) == ["index", "type", "b64_json"] for each in body["data"])


@pytest.mark.parametrize("fields", [{}, {"response_format": "url"}, {"response_format": None}])
async def test_where_nothing_is_said_pictures_come_as_addresses(
    serving: Serving, fields: dict[str, Any]
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(
            PATH,
            json=params(output_format="png", seed=7, **fields),
            headers={"authorization": "Bearer somebody"},
        )
        (item,) = reply.json()["data"]
        assert list(item) == ["index", "type", "url"]
        assert item["url"].startswith("http://localhost/files/")
        file = await client.get(item["url"])  # without a key
    assert Image.open(io.BytesIO(file.content)).size == (96, 64)
    assert reply.headers["x-imagemill-model"] == "pico"
    assert reply.headers["x-imagemill-seed"] == "7"


async def test_what_is_null_is_left_open(serving: Serving) -> None:
    optional = [name for name, each in TogetherBody.model_fields.items() if not each.is_required()]
    engine = await painted(serving, **dict.fromkeys(set(optional) - {"response_format"}))
    (generation,) = engine.submitted
    assert (generation.width, generation.height) == (512, 512)
    assert (generation.steps, generation.guidance_scale, generation.format) == (12, 4.0, "jpeg")


@pytest.mark.parametrize(
    "fields",
    [{"steps": None, "num_inference_steps": 3, "guidance": 2.5}, {"steps": 3, "guidance": 2.5},
     {"steps": 3, "num_inference_steps": 3, "guidance": 2.5, "guidance_scale": 2.5}],
)  # fmt: skip
async def test_other_names_of_older_clients_are_read(
    serving: Serving, fields: dict[str, Any]
) -> None:
    (generation,) = (await painted(serving, **fields)).submitted
    assert (generation.steps, generation.guidance_scale) == (3, 2.5)


async def test_two_names_with_two_values_contradict_each_other(serving: Serving) -> None:
    error = await refused(serving, num_inference_steps=4)
    assert error["message"].startswith("steps 2 and num_inference_steps 4 contradict")
    assert error["param"] == "steps"


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"aspect_ratio": "16:9"}, (672, 384)),
        ({"aspect_ratio": "3:4"}, (432, 592)),
        ({"aspect_ratio": "1:1"}, (512, 512)),
        ({"aspect_ratio": "16:9", "width": 1024, "height": 1024}, (672, 384)),
        ({"aspect_ratio": "16:9", "width": 672, "height": 384}, (672, 384)),
        ({"target_size": {"width": 128, "height": 64}}, (128, 64)),
        ({"width": 128}, (128, 512)),
    ],
)
async def test_a_size_can_be_said_in_several_ways(
    serving: Serving, fields: dict[str, Any], size: tuple[int, int]
) -> None:
    (generation,) = (await painted(serving, **{"width": None, "height": None} | fields)).submitted
    assert (generation.width, generation.height) == size


@pytest.mark.parametrize(
    "fields",
    [
        {"aspect_ratio": "16:9"},
        {"target_size": {"width": 128, "height": 64}},
        {"aspect_ratio": "1:1", "target_size": {"width": 128, "height": 64}, "width": None},
    ],
)
async def test_a_size_said_twice_is_refused(serving: Serving, fields: dict[str, Any]) -> None:
    assert "exclude one another" in (await refused(serving, **fields))["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"image_url": uri()},
        {"reference_images": [uri()]},
        {"image_base64": data_uri()},
        {"image_url": data_uri()},
        {"image_url": uri(), "reference_images": [uri()]},
    ],
)
async def test_an_image_is_painted_over_in_its_own_size(
    serving: Serving, fields: dict[str, Any]
) -> None:
    engine = await painted(serving, width=None, height=None, strength=0.6, **fields)
    (generation,) = engine.submitted
    assert (generation.width, generation.height, generation.strength) == (96, 64, 0.6)
    assert generation.image is not None
    assert Image.open(io.BytesIO(engine.inputs[0][generation.image])).size == (96, 64)


async def test_an_image_without_a_strength_is_edited_by_the_prompt(serving: Serving) -> None:
    engine = await painted(serving, width=None, height=None, image_url=uri())
    (generation,) = engine.submitted
    (reference,) = generation.references
    assert (generation.image, generation.width, generation.height) == (None, 96, 64)
    assert Image.open(io.BytesIO(engine.inputs[0][reference])).size == (96, 64)


async def test_an_image_may_be_painted_over_in_another_size(serving: Serving) -> None:
    (generation,) = (await painted(serving, image_url=uri(), width=128)).submitted
    assert (generation.width, generation.height, generation.strength) == (128, 64, 0.8)


async def test_a_mask_tells_what_is_painted_over(serving: Serving) -> None:
    engine = await painted(serving, image_url=uri(), mask_image=uri("white"))
    assert engine.submitted[0].mask in engine.inputs[0]


async def test_what_was_painted_here_can_be_painted_over_and_serve_as_a_lora(
    serving: Serving,
) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        first = (await client.post(PATH, json=params())).json()["data"][0]["url"]
        loras = [{"path": first, "scale": 0.5}]
        body = params(image_url=first, image_loras=loras, response_format="base64")
        images(await client.post(PATH, json=body))
    (lora,) = engine.submitted[1].loras
    assert lora.scale == 0.5
    assert set(engine.inputs[1]) == {*engine.submitted[1].references, lora.path}


async def test_an_image_without_a_prompt_is_painted_over_all_the_same(serving: Serving) -> None:
    engine = await painted(serving, prompt="", image_url=uri())
    assert engine.submitted[0].prompt == UNSAID


async def test_several_images_are_read_by_an_edit(serving: Serving) -> None:
    engine = await painted(serving, reference_images=[uri("teal"), uri("red")])
    assert len(engine.submitted[0].references) == 2


async def test_several_images_are_not_painted_over(serving: Serving) -> None:
    images = [uri("teal"), uri("red")]
    error = await refused(serving, 400, reference_images=images, strength=0.5)
    assert error["message"].startswith("image_url: 2 images are given; one can be painted over")


async def test_upsampling_enriches_the_prompt(serving: Serving) -> None:
    (generation,) = (await painted(serving, prompt="a cat", prompt_upsampling=True)).submitted
    assert generation.prompt != "a cat"
    assert "cat" in generation.prompt


async def test_only_a_given_seed_may_be_answered_with_an_earlier_picture(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        replies = [
            await client.post(PATH, json=params(response_format="base64", **fields))
            for fields in ({"seed": 7}, {"seed": 7}, {}, {})
        ]
    seeds = [each.headers["x-imagemill-seed"] for each in replies]
    assert [each.headers["x-imagemill-cache"] for each in replies] == ["miss", "hit"] + ["miss"] * 2
    assert seeds[:2] == ["7", "7"]
    assert len(set(seeds)) == 3


async def test_an_image_that_lies_elsewhere_may_have_changed(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        lying = (await client.post(PATH, json=params())).json()["data"][0]["url"]
        hits = [
            (await client.post(PATH, json=params(seed=7, response_format="base64", image_url=url)))
            .headers["x-imagemill-cache"]
            for url in (lying, lying, uri(), uri())
        ]  # fmt: skip
    assert hits == ["miss", "miss", "miss", "hit"]


@pytest.mark.parametrize(
    ("fields", "message", "param"),
    [
        ({"prompt": " "}, "the prompt is empty; say what to paint", "prompt"),
        ({"n": 11}, "n: num_images 11 is out of range; give 1 to 10", "n"),
        ({"width": 63}, "width 63 is out of range; give 64 to 2048", "width"),
        ({"steps": 0}, "steps 0 is out of range; give 1 to 150", "steps"),
        ({"seed": -1}, "seed -1 is out of range", "seed"),
        ({"strength": 0.5}, "strength needs an image", "strength"),
        ({"strength": 2.0, "image_url": uri()}, "strength 2.0 is out of range", "strength"),
        ({"mask_image": uri()}, "mask_image: mask needs an image", "mask_image"),
        ({"scheduler": "K_EULER"}, "unknown scheduler 'K_EULER'; one of", "scheduler"),
        ({"image_loras": [{"path": "a/b", "scale": 5}]}, "out of range; give -4", "image_loras"),
        ({"reference_images": ["x"] * 17}, "reference_images: List should have at most 16", None),
        ({"image_loras": [{"path": "a/b"}] * 9}, "image_loras: List should have at most 8", None),
        ({"steps": "4"}, 'steps: "4" is not an integer', None),
        ({"prompt": None}, "prompt: null is not a string", None),
        ({"output_format": "webp"}, "output_format: Input should be 'jpeg' or 'png'", None),
        ({"response_format": "binary"}, "response_format: Input should be", None),
        ({"aspect_ratio": "5:1"}, "aspect_ratio: Input should be '1:1'", None),
        ({"target_size": {"width": 64}}, "target_size.height: is required", None),
    ],
)
async def test_what_is_wrong_is_told_with_its_field(
    serving: Serving, fields: dict[str, Any], message: str, param: str | None
) -> None:
    error = await refused(serving, **fields)
    assert message in error["message"]
    assert (error["param"], error["type"], error["code"]) == (param, "invalid_request_error", None)


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"image_url": "data:image/png;base64,eA=="}, 422, "the image is text"),
        ({"image_url": "http://10.0.0.1/x.png"}, 422, "image_url: "),
        ({"image_loras": [{"path": "http://10.0.0.1/x"}]}, 422, "image_loras: "),
        ({"model": "no such model"}, 404, "'no such model' is not a model id"),
    ],
)
async def test_what_cannot_be_had_is_told_too(
    serving: Serving, fields: dict[str, Any], status: int, message: str
) -> None:
    assert message in (await refused(serving, status, **fields))["message"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "the body is empty"), (b"[]", "a list is not an object"), (b"{", "is not JSON")],
)
async def test_a_body_that_is_none_is_told(serving: Serving, content: bytes, message: str) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, content=content)
    assert reply.status_code == 400
    assert message in error_of(reply)["message"]


async def test_parameters_in_the_url_are_refused(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        replies = [
            await client.post(f"{PATH}?steps=4", json=params()),
            await client.get("/together/v1/models?dedicated=1"),
        ]
    assert [(each.status_code, error_of(each)["param"]) for each in replies] == [(400, "query")] * 2


async def test_a_key_of_the_wrong_form_is_refused_in_together_s_words(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        for wrong in ("Key abc", "Bearer a b", "abc"):
            reply = await client.post(PATH, json=params(), headers={"authorization": wrong})
            assert (reply.status_code, error_of(reply)["code"]) == (401, "invalid_api_key")
        reply = await client.post(PATH, json=params(), headers={"authorization": "bearer abc"})
        assert reply.status_code == 200


@pytest.mark.parametrize("agent", HUGGING_FACE)
async def test_hugging_face_s_clients_get_errors_that_they_can_show(
    serving: Serving, agent: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(PATH, json=params(n=11), headers={"user-agent": agent})
    assert reply.json() == {"error": "n: num_images 11 is out of range; give 1 to 10"}


def test_who_asks_again_at_once_is_told_503_only_after_a_wait() -> None:
    agent = Headers({"user-agent": HUGGING_FACE[1]})
    unavailable = [
        kind for kind in Kind if vocabulary.refuse(agent, Fault(kind, "")).status_code == 503
    ]
    assert unavailable == [Kind.LOADING, Kind.UNAVAILABLE]


async def test_a_loading_model_is_waited_for(serving: Serving) -> None:
    engine = PlainEngine(state=State.STARTING)
    async with serving(engine) as client:
        call = asyncio.create_task(client.post(PATH, json=params(response_format="base64")))
        await asyncio.sleep(0)
        engine.state = State.READY
        assert images(await call)


async def test_a_full_queue_says_when_to_come_again(serving: Serving) -> None:
    engine = PlainEngine()
    engine.gate.clear()
    async with serving(engine, queue=1) as client:
        first = asyncio.create_task(client.post(PATH, json=params()))
        await engine.asked(1)
        reply = await client.post(PATH, json=params(prompt="a dog"))
        engine.gate.set()
        await first
    assert (reply.status_code, error_of(reply)["type"]) == (429, "rate_limit")
    assert int(reply.headers["retry-after"]) >= 1


@pytest.mark.parametrize("inline", ["base64", "url"])
async def test_a_failure_while_painting_is_told(serving: Serving, inline: str) -> None:
    engine = PlainEngine(hold_at=1)
    async with serving(engine) as client:
        call = asyncio.create_task(client.post(PATH, json=params(response_format=inline)))
        await engine.reached("a red cat", 1)
        engine.state = State.DEAD
        engine.gate.set()
        reply = await call
    assert (reply.status_code, error_of(reply)["type"]) == (500, "server_error")


async def test_the_models_are_an_array_as_together_s_clients_want_it(serving: Serving) -> None:
    async with serving(PlainEngine(), models={"mine/own": "imagemill/pico"}) as client:
        models = (await client.get("/together/v1/models")).json()
        own = (await client.get("/together/v1/models?dedicated=true")).json()
    by_id = {each["id"]: each for each in models}
    assert {"imagemill/pico", "mine/own", MODEL} <= set(by_id)
    assert not any(id.startswith("fal-ai/") for id in by_id)
    entry = by_id[MODEL]
    assert (entry["object"], entry["type"], entry["created"]) == ("model", "image", 0)
    assert (entry["organization"], entry["display_name"]) == tuple(MODEL.split("/"))
    assert entry["link"] == f"https://huggingface.co/{MODEL}"
    assert by_id["mine/own"]["link"] is None
    assert set(entry["pricing"].values()) == {0.0}
    assert {"imagemill/pico"} <= {each["id"] for each in own} < set(by_id)


async def test_together_s_own_names_of_models_lead_to_the_weights(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine, models={"mine/FLUX": "x", MODEL: "pico"}) as client:
        reply = await client.post(PATH, json=params(model=f"{MODEL}-Free"))
        assert reply.json()["model"] == f"{MODEL}-Free"
    assert engine.submitted[0].model == MODEL


@pytest.mark.parametrize("prefix", ["/together", "/together/v1", "/together/v1/v1"])
async def test_a_base_url_with_or_without_v1_works(serving: Serving, prefix: str) -> None:
    async with serving(PlainEngine()) as client:
        assert (await client.post(f"{prefix}/images/generations", json=params())).status_code == 200
        assert (await client.get(f"{prefix}/models")).status_code == 200


@pytest.mark.parametrize(("door", "steps"), [(together, "steps"), (nebius, "num_inference_steps")])
async def test_a_long_body_is_read_beside_the_loop_that_answers_everybody(
    tmp_path: Path, door: Any, steps: str
) -> None:
    readers = list[threading.Thread]()

    def version(_: str) -> str:
        readers.append(threading.current_thread())
        return "1"

    app, name = FastAPI(), door.__name__.rpartition(".")[2]
    async with opened_house(tmp_path, PlainEngine()) as backend:
        kept, catalog = (backend.objects, backend.styles), Catalog({}, True, version)
        context = AppContext(backend.service, *kept, catalog, Telemetry(), 2**20, 2**20)
        app.include_router(door.routes(context))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            body = json.dumps({"model": MODEL, "prompt": "a red cat", steps: 1}) + " " * SHORT
            reply = await client.post(f"/{name}/v1/images/generations", content=body)
    assert reply.status_code == 200, reply.text
    assert threading.current_thread() not in readers != []


class Caller:
    """One call as a server hands it to the application; it hangs up when `gone` is set."""

    def __init__(self, body: dict[str, Any], count: int) -> None:
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": PATH,
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"x-stainless-retry-count", str(count).encode())],
        }
        self.gone = asyncio.Event()
        self.sent = b""
        self.messages = [{"type": "http.request", "body": json.dumps(body).encode()}]

    async def receive(self) -> dict[str, Any]:
        if self.messages:
            return self.messages.pop()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent += message.get("body", b"")


@pytest.mark.parametrize("inline", ["base64", "url"])
async def test_what_is_asked_again_after_a_timeout_is_painted_once(
    tmp_path: Path, inline: str
) -> None:
    engine = PlainEngine()
    engine.gate.clear()
    app = create_app(Settings(data_dir=tmp_path), engine)
    async with app.router.lifespan_context(app):
        for count in range(3):
            caller = Caller(params(response_format=inline), count)
            call = asyncio.create_task(app(caller.scope, caller.receive, caller.send))
            await engine.asked(1)
            if count < 2:
                caller.gone.set()
                await call
        engine.gate.set()
        await call
    assert len(json.loads(caller.sent)["data"]) == 1
    assert len(engine.submitted) == 1
    assert engine.cancelled == []


@pytest.mark.parametrize(("policy", "cancelled"), [("cancel", True), ("finish", False)])
async def test_who_hangs_up_without_a_word_cancels_unless_the_operator_says_otherwise(
    tmp_path: Path, policy: Any, cancelled: bool
) -> None:
    engine = PlainEngine(hold_at=1)
    app = create_app(Settings(data_dir=tmp_path, on_hang_up={"together": policy}), engine)
    caller = Caller(params(), 0)
    caller.scope["headers"] = [(b"host", b"localhost")]
    async with app.router.lifespan_context(app):
        call = asyncio.create_task(app(caller.scope, caller.receive, caller.send))
        await engine.reached("a red cat", 1)
        caller.gone.set()
        await call
        engine.gate.set()
    assert bool(engine.cancelled) == cancelled
