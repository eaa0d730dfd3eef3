"""The Hub's look-ups, and the router's form of fal, through a whole server."""

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from imagemill.app import create_app
from imagemill.catalog.models import MODELS, OWN
from imagemill.dialects import hub_models
from imagemill.dialects.fal import vocabulary
from imagemill.dialects.hf_inference import IMPATIENT
from imagemill.dialects.hub import FACTS, LISTED, STATUSES, refuse
from imagemill.errors import Fault, Kind
from imagemill.http.identity import HUGGING_FACE
from imagemill.http.middleware import SlowRetryMiddleware
from imagemill.settings import Settings
from tests.conftest import Serving
from tests.engines import PlainEngine

anyio = pytest.mark.anyio

DEV = "black-forest-labs/FLUX.1-dev"
PYTHON = {"user-agent": "unknown/None; hf_hub/2.4.0; python/3.11.7"}
JAVASCRIPT = {"user-agent": "@huggingface/inference/4.13.30 Node.js"}
EXPAND = "?expand=inferenceProviderMapping"


def data_uri(width: int = 96, height: int = 64) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "png")
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


async def get_json(serving: Serving, path: str, **settings: Any) -> Any:
    async with serving(PlainEngine(), **settings) as client:
        reply = await client.get(path)
    assert reply.status_code == 200, reply.text
    return reply.json()


@anyio
@pytest.mark.parametrize("spelling", ["expand", "expand[]", "expand%5B%5D"])
async def test_a_known_model_is_mapped_to_every_provider(serving: Serving, spelling: str) -> None:
    model = await get_json(serving, f"/api/models/{DEV}?{spelling}=inferenceProviderMapping")
    assert set(model) == {"_id", "id", "inferenceProviderMapping"}
    mapping = model["inferenceProviderMapping"]
    assert {name: entry["providerId"] for name, entry in mapping.items()} == {
        "hf-inference": DEV,
        "fal-ai": "fal-ai/flux/dev",
        "replicate": "black-forest-labs/flux-dev",
        "together": DEV,
        "nebius": "black-forest-labs/flux-dev",
    }
    assert {(entry["status"], entry["task"]) for entry in mapping.values()} == {
        ("live", "text-to-image")
    }


@anyio
@pytest.mark.parametrize(
    ("id", "together"),
    [
        ("someone/something_image-to-image", "someone/something"),
        ("black-forest-labs/FLUX.1-Kontext-dev", "black-forest-labs/FLUX.1-kontext-dev"),
        ("Qwen/Qwen-Image-Edit", "Qwen/Qwen-Image-Edit"),
    ],
)
async def test_an_id_that_repaints_is_mapped_so(serving: Serving, id: str, together: str) -> None:
    mapping = (await get_json(serving, f"/api/models/{id}{EXPAND}"))["inferenceProviderMapping"]
    assert {entry["task"] for entry in mapping.values()} == {"image-to-image"}
    assert mapping["together"]["providerId"] == together
    assert "nebius" not in mapping  # whose clients cannot
    plain = await get_json(serving, f"/api/models/{id}")
    assert (plain["pipeline_tag"], plain["id"]) == ("image-to-image", id)


@anyio
@pytest.mark.parametrize("id", ["someone/something", "gpt2"])
async def test_any_model_is_told_where_another_may_stand_in(serving: Serving, id: str) -> None:
    model = await get_json(serving, f"/api/models/{id}")
    assert (model["id"], model["pipeline_tag"], model["private"]) == (id, "text-to-image", False)
    assert "inferenceProviderMapping" not in model


@anyio
@pytest.mark.parametrize(
    "path",
    [
        "/api/models/a/b",
        f"/api/models/a/b{EXPAND}",
        "/api/models/a/b_image-to-image",
        "/api/models/a%20b/c",
    ],
)
async def test_a_model_that_nothing_serves_is_no_repository(serving: Serving, path: str) -> None:
    async with serving(PlainEngine(), stand_ins=False) as client:
        reply = await client.get(path)
    assert (reply.status_code, reply.headers["x-error-code"]) == (404, "RepoNotFound")
    assert reply.json() == {"error": reply.headers["x-error-message"]}


@anyio
async def test_what_is_not_told_is_refused_by_name(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.get(f"/api/models/{DEV}?expand=spaces")
    assert reply.status_code == 400
    assert "expand='spaces' is not told here; there are id, " in reply.json()["error"]


@anyio
async def test_models_are_listed_by_provider_and_task(serving: Serving) -> None:
    async with serving(PlainEngine(), models={"my/model": "/nowhere"}) as client:

        async def ids(**query: Any) -> list[str]:
            reply = await client.get("/api/models", params=query)
            return [each["id"] for each in reply.json()]

        every = await ids()
        painting = await ids(inference_provider="nebius")
        editing = await ids(pipeline_tag="image-to-image", inference_provider="all")
        assert {"my/model", "my/model_image-to-image", DEV, "imagemill/pico"} <= set(every)
        assert set(painting) | set(editing) == set(every)
        assert not set(painting) & set(editing)
        assert await ids(inference_provider="nobody") == []
        assert await ids(author="Qwen", search="edit 2509") == ["Qwen/Qwen-Image-Edit-2509"]
        assert await ids(filter="diffusers,text-to-image") == painting
        assert await ids(inference="cold") == []
        assert await ids(limit=2) == every[:2]
        assert (await client.get("/api/models?limit=0")).status_code == 400


@anyio
async def test_without_stand_ins_only_what_is_served_is_listed(serving: Serving) -> None:
    ids = [each["id"] for each in await get_json(serving, "/api/models", stand_ins=False)]
    assert ids == [f"{id}{task}" for id in OWN for task in ("", "_image-to-image")]


@anyio
async def test_each_task_has_a_model_to_begin_with(serving: Serving) -> None:
    tasks = await get_json(serving, "/api/tasks")
    first = {task: facts["widgetModels"][0] for task, facts in tasks.items()}
    assert first == {
        "text-to-image": "imagemill/pico",
        "image-to-image": "imagemill/pico_image-to-image",
    }
    assert all(facts["models"][0]["id"] == first[task] for task, facts in tasks.items())


@anyio
async def test_a_provider_s_models_are_told_by_task(serving: Serving) -> None:
    models = await get_json(serving, "/api/partners/fal-ai/models")
    assert set(models) == set(hub_models.TASKS)
    entry = models["text-to-image"][DEV]
    assert (entry["providerId"], entry["status"]) == ("fal-ai/flux/dev", "live")
    assert len(entry["_id"]) == 24
    async with serving(PlainEngine()) as client:
        reply = await client.get("/api/partners/nobody/models")
    assert reply.status_code == 404


@anyio
async def test_there_is_no_registry_of_agents(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        assert (await client.get("/api/agent-harnesses")).status_code == 404


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_fault_has_words_of_the_hub(kind: Kind) -> None:
    reply = refuse(Fault(kind, "größer than 1", retry_after=2.1))
    assert reply.status_code == STATUSES[kind] >= 400
    assert reply.headers["retry-after"] == "3"


def test_every_fact_of_every_known_model_can_be_told() -> None:
    assert {*LISTED} <= {*MODELS}
    for id in hub_models.with_tasks(MODELS):
        assert all(tell(id) is not None for tell in FACTS.values())
        assert set(hub_models.mapped(id)) <= set(hub_models.PROVIDERS)
        assert hub_models.weights(id) in MODELS


FLAT = {"prompt": "a cat", "width": 128, "height": 64, "num_inference_steps": 2}


@anyio
@pytest.mark.parametrize(
    "app", ["fal-ai/flux/dev", "flux/dev", "someone/something", "fal-ai/fast-sdxl", "fal-ai/a/b/c"]
)
async def test_the_router_s_address_runs_any_application(serving: Serving, app: str) -> None:
    engine = PlainEngine()
    body = {
        "prompt": "a cat",
        "negative_prompt": "green",
        "num_inference_steps": 2,
        "guidance_scale": 30,
        "scheduler": "EulerDiscreteScheduler",
        "seed": 42,
        "image_size": {"width": 128, "height": 64},
    }
    async with serving(engine) as client:
        reply = await client.post(f"/fal-ai/{app}", json=body, headers=PYTHON)
        (image,) = reply.json()["images"]
        file = await client.get(image["url"])
    assert Image.open(io.BytesIO(file.content)).size == (128, 64)
    (generation,) = engine.submitted
    assert (generation.negative_prompt, generation.steps, generation.seed) == ("green", 2, 42)
    assert (generation.guidance_scale, generation.scheduler) == (30, "EulerDiscreteScheduler")


@anyio
async def test_a_known_model_is_called_by_its_weights(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        for path in (
            "fal-ai/qwen-image-edit-plus", "stabilityai/stable-diffusion-xl-base-1.0", "a/b",
        ):  # fmt: skip
            await client.post(f"/fal-ai/{path}", json=FLAT)
    names = ["Qwen/Qwen-Image-Edit-2509", "stabilityai/stable-diffusion-xl-base-1.0", "a/b"]
    assert [each.model for each in engine.submitted] == names


@anyio
async def test_a_page_s_own_fields_are_read_as_the_page_has_them(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        for body in ({"prompt": "a cat"}, {"prompt": "a cat", "negative_prompt": "green"}):
            assert (await client.post("/fal-ai/fal-ai/flux/schnell", json=body)).status_code == 200
    assert {(each.width, each.height, each.steps) for each in engine.submitted} == {(1024, 768, 4)}


@anyio
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ({"width": 128, "height": 64}, (128, 64)),
        ({"target_size": {"width": 64, "height": 128}}, (64, 128)),
        ({"image_size": {"width": 64, "height": 64}}, (64, 64)),
        ({}, (96, 64)),
    ],
)
async def test_a_picture_is_repainted_in_the_size_that_was_asked(
    serving: Serving, size: dict[str, Any], expected: tuple[int, int]
) -> None:
    engine, image = PlainEngine(), data_uri()
    body = {"image_url": image, "image_urls": [image], "strength": 0.5, **size}
    async with serving(engine) as client:
        reply = await client.post("/fal-ai/fal-ai/flux-kontext/dev", json=body, headers=PYTHON)
    assert reply.status_code == 200, reply.text
    (generation,) = engine.submitted
    assert (generation.width, generation.height) == expected
    assert (generation.strength, generation.prompt) == (0.5, hub_models.UNSAID)
    assert generation.model == "fal-ai/flux-kontext/dev"
    assert len(engine.inputs[0]) == 1


@anyio
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": ""}, "prompt: the prompt is empty"),
        ({**FLAT, "image_size": "square"}, "the size came as image_size and as width and height"),
        (
            {**FLAT, "image_urls": ["http://a/b", "http://a/c"], "strength": 0.5},
            "2 images are given; one can be painted over",
        ),
        ({**FLAT, "mask_url": "data:,a", "mask_image": "data:,a"}, "give one of them"),
        ({**FLAT, "num_inference_steps": "two"}, 'num_inference_steps: "two" is not an integer'),
        ({**FLAT, "scheduler": "K_EULER"}, "unknown scheduler 'K_EULER'"),
    ],
)
@pytest.mark.parametrize("agent", [PYTHON, JAVASCRIPT])
async def test_hugging_face_s_clients_get_errors_in_one_string(
    serving: Serving, body: dict[str, Any], message: str, agent: dict[str, str]
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post("/fal-ai/someone/something", json=body, headers=agent)
        plain = await client.post("/fal-ai/someone/something", json=body)
    assert reply.status_code == plain.status_code == 422
    assert message in reply.json()["error"]
    assert list(plain.json()) == ["detail", "message"]


@anyio
async def test_the_python_client_finds_its_request_by_the_path_of_the_first_address(
    serving: Serving,
) -> None:
    async with serving(PlainEngine()) as client:
        body = {"image_url": data_uri(), "num_inference_steps": 2}
        path = "/fal-ai/someone/something?_subdomain=queue"
        reply = await client.post(path, json=body, headers=PYTHON)
        assert reply.json()["status"] == "IN_QUEUE"
        place = httpx.URL(reply.json()["response_url"]).path
        for prefix in ("", "/fal-ai"):  # the second is what it puts before at the router itself
            status = await ended(client, f"{prefix}{place}/status?_subdomain=queue")
            assert status["status"] == "COMPLETED"
            result = await client.get(f"{prefix}{place}?_subdomain=queue", headers=PYTHON)
            assert result.json()["images"][0]["width"] == 96
        assert (await client.put(f"{place}/cancel")).json() == {"status": "ALREADY_COMPLETED"}


async def ended(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            reply = await client.get(url, headers=PYTHON)
            assert reply.status_code < 400
            body: dict[str, Any] = reply.json()
            assert httpx.URL(body["status_url"]).path.startswith("/fal-ai/someone/something/")
            if body["status"] == "COMPLETED":
                return body
            await asyncio.sleep(0)


@anyio
@pytest.mark.parametrize(
    "path", ["/fal-ai/fal-ai/flux/dev?_subdomain=queue", "/fal/queue/fal-ai/flux/dev"]
)
async def test_the_javascript_client_is_answered_when_all_is_done(
    serving: Serving, path: str
) -> None:
    engine = PlainEngine(hold_at=1)
    async with serving(engine) as client:
        call = asyncio.create_task(client.post(path, json=FLAT, headers=JAVASCRIPT))
        await engine.reached("a cat", 1)
        assert not call.done()
        engine.gate.set()
        body = (await call).json()
        assert body["status"] == "COMPLETED"
        result = await client.get(body["response_url"], headers=JAVASCRIPT)
    assert result.json()["images"][0]["width"] == 128


@anyio
async def test_a_request_that_fails_while_it_is_held_is_told_at_once(serving: Serving) -> None:
    body = {**FLAT, "image_url": "data:text/plain,nothing"}
    async with serving(PlainEngine()) as client:
        path = "/fal-ai/fal-ai/flux/dev?_subdomain=queue"
        reply = await client.post(path, json=body, headers=JAVASCRIPT)
    assert reply.status_code == 422
    assert reply.json()["error"].startswith("image_url: the image is text")


@anyio
async def test_without_stand_ins_the_router_has_no_other_applications(serving: Serving) -> None:
    async with serving(PlainEngine(), stand_ins=False) as client:
        for path in ("someone/something", "x", "fal-ai/flux/dev"):
            reply = await client.post(f"/fal-ai/{path}", json=FLAT, headers=PYTHON)
            assert reply.status_code == 404
            assert reply.json()["error"]
        reply = await client.post("/fal-ai/imagemill/pico", json=FLAT)
    assert reply.json()["images"][0]["width"] == 128


@anyio
async def test_a_page_of_its_own_passes_over_what_it_does_not_have(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        own = await client.post("/fal/run/fal-ai/flux/dev", json=FLAT)
        wide = await client.post("/fal/run/fal-ai/flux/dev", json=FLAT, headers=PYTHON)
        general = await client.post("/fal/run/someone/something", json=FLAT)
    assert [each.status_code for each in (own, wide, general)] == [200, 200, 200]
    ignored = [each.headers.get("x-imagemill-ignored-fields") for each in (own, wide, general)]
    assert ignored == ["width, height", None, None]


@pytest.mark.parametrize(
    ("agent", "ours", "held"),
    [
        (PYTHON["user-agent"], True, False),
        (JAVASCRIPT["user-agent"], True, True),
        ("fal-client/1.0.3", False, False),
        ("", False, False),
    ],
)
def test_hugging_face_s_clients_are_known_by_their_names(
    agent: str, ours: bool, held: bool
) -> None:
    assert (HUGGING_FACE.search(agent) is not None) == ours
    assert (vocabulary.HELD.search(agent) is not None) == held


@anyio
@pytest.mark.parametrize(
    ("agent", "status", "said", "paused"),
    [
        (JAVASCRIPT, 503, b"3", [3.0]),
        (JAVASCRIPT, 503, b"100", [10.0]),
        (JAVASCRIPT, 503, b"soon", [1.0]),
        (JAVASCRIPT, 429, b"3", []),
        (PYTHON, 503, b"3", []),
    ],
)
async def test_a_503_is_held_back_from_who_would_send_again_at_once(
    agent: dict[str, str], status: int, said: bytes, paused: list[float]
) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def loading(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"retry-after", said)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(SlowRetryMiddleware(loading, IMPATIENT, pause))
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        assert (await client.post("/", headers=agent)).status_code == status
    assert pauses == paused


def test_every_door_of_the_server_is_calm(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path), PlainEngine())
    installed: list[object] = [each.cls for each in app.user_middleware]
    assert SlowRetryMiddleware in installed


@anyio
@pytest.mark.parametrize("place", ["/fal/run", "/fal-ai"])
async def test_a_configured_model_without_a_page_is_an_application(
    serving: Serving, place: str
) -> None:
    engine = PlainEngine()
    body = {"prompt": "a cat", "image_size": {"width": 128, "height": 64}}
    async with serving(engine, models={"my/model": "/nowhere"}) as client:
        reply = await client.post(f"{place}/my/model", json=body)
    assert reply.json()["images"][0]["width"] == 128
    assert engine.sources == ["/nowhere"]
