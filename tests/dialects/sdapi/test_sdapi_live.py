"""The dialect sdapi while something is painted: progress, interrupt, options, hang-ups."""

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.requests import HTTPConnection

from imagemill.app import create_app
from imagemill.dialects.sdapi.active_calls import ActiveCall, ActiveCalls
from imagemill.dialects.sdapi.options import CALLERS, DEFAULTS, CallerOptions
from imagemill.generation import Generation, Progress
from imagemill.http.identity import person_of
from imagemill.job import Job, Line, Submission
from imagemill.settings import Settings
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

V1 = "/sdapi/v1"
PROMPT = "a red cat"
ASKED: dict[str, Any] = {"prompt": PROMPT, "width": 64, "height": 96, "steps": 4, "seed": 3}
ME = {"authorization": "Basic bWU6eA=="}
OTHER = {"authorization": "Basic eW91Ong="}


async def get(client: httpx.AsyncClient, path: str, **more: Any) -> Any:
    return (await client.get(f"{V1}/{path}", **more)).json()


def painting(client: httpx.AsyncClient, **more: Any) -> "asyncio.Task[httpx.Response]":
    body = ASKED | more
    return asyncio.create_task(client.post(f"{V1}/txt2img", json=body, headers=ME))


async def test_nothing_goes_on_at_first(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = await get(client, "progress")
    assert body == {
        "progress": 0.0,
        "eta_relative": 0.0,
        "state": {
            "skipped": False,
            "interrupted": False,
            "stopping_generation": False,
            "job": "",
            "job_count": 0,
            "job_timestamp": "0",
            "job_no": 0,
            "sampling_step": 0,
            "sampling_steps": 0,
        },
        "current_image": None,
        "textinfo": None,
    }


async def test_who_sends_no_credential_is_known_by_the_address(tmp_path: Path) -> None:
    """Else anybody would see, and stop, what others without a credential are painting."""
    engine = PlainEngine(hold_at=2)
    app = create_app(Settings(data_dir=tmp_path, host="0.0.0.0"), engine)

    def at(address: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://10.0.0.1")

    async with app.router.lifespan_context(app), at("10.0.0.2") as mine, at("10.0.0.3") as other:
        task = asyncio.create_task(mine.post(f"{V1}/txt2img", json=ASKED))
        await engine.reached(PROMPT, 2)
        await other.post(f"{V1}/interrupt")
        await other.post(f"{V1}/options", json={"samples_format": "webp"})
        assert (await get(other, "progress"))["state"]["job_count"] == 0
        assert (await get(mine, "progress"))["state"]["job_count"] == 1
        assert (await get(mine, "options"))["samples_format"] == "png"
        engine.gate.set()
        assert json.loads((await task).json()["info"])["imagemill"]["interrupted"] is False


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.0.0.2"])
async def test_this_machine_is_one_person_by_whatever_address(address: str) -> None:
    scope = {"type": "http", "headers": [], "client": (address, 1)}
    assert person_of(HTTPConnection(scope)) == "at home"


async def test_progress_tells_steps_and_shows_the_picture(serving: Serving) -> None:
    engine = PlainEngine(hold_at=2)
    async with serving(engine) as client:
        task = painting(client, force_task_id="mine")
        await engine.reached(PROMPT, 2)
        body = await get(client, "progress", headers=ME)
        bare = await get(client, "progress?skip_current_image=true", headers=ME)
        others = await get(client, "progress", headers=OTHER)
        wrong = await client.get(f"{V1}/progress?skip_current_image=perhaps", headers=ME)
        engine.gate.set()
        assert (await task).status_code == 200
        ended = await get(client, "progress", headers=ME)
    assert 0.2 < body["progress"] <= 1
    assert (body["state"]["job"], body["state"]["job_count"]) == ("mine", 1)
    assert body["state"]["sampling_steps"] == 4
    assert len(body["state"]["job_timestamp"]) == 14
    shown = Image.open(io.BytesIO(base64.b64decode(body["current_image"])))
    assert shown.format == "PNG"
    assert bare["current_image"] is None
    assert others["progress"] == ended["progress"] == ended["state"]["job_count"] == 0
    assert (wrong.status_code, wrong.json()["detail"][0]["loc"]) == (
        422,
        ["query", "skip_current_image"],
    )


async def test_previews_may_be_switched_off(serving: Serving) -> None:
    engine = PlainEngine(hold_at=2)
    async with serving(engine) as client:
        await client.post(f"{V1}/options", json={"live_previews_enable": False}, headers=ME)
        task = painting(client)
        await engine.reached(PROMPT, 2)
        body = await get(client, "progress", headers=ME)
        engine.gate.set()
        await task
    assert body["current_image"] is None
    assert body["progress"] > 0


@pytest.mark.parametrize(("verb", "answer"), [("interrupt", {}), ("skip", None)])
async def test_who_interrupts_gets_the_picture_so_far(
    serving: Serving, verb: str, answer: Any
) -> None:
    engine = PlainEngine(hold_at=2)
    async with serving(engine) as client:
        task = painting(client)
        await engine.reached(PROMPT, 2)
        await client.post(f"{V1}/{verb}", headers=OTHER)  # somebody else's
        assert not engine.cancelled
        assert (await client.post(f"{V1}/{verb}", headers=ME)).json() == answer
        reply = await task
    assert reply.status_code == 200
    (image,) = reply.json()["images"]
    assert Image.open(io.BytesIO(base64.b64decode(image))).size == (64, 96)
    info = json.loads(reply.json()["info"])
    assert info["imagemill"]["interrupted"]
    assert (info["all_seeds"], info["imagemill"]["served_by"]) == ([3], "pico")
    assert len(engine.cancelled) == 1


async def test_who_interrupts_before_there_is_a_picture_gets_none(serving: Serving) -> None:
    engine = PlainEngine()
    engine.gate.clear()
    async with serving(engine) as client:
        task = painting(client)
        await engine.asked(1)
        await client.post(f"{V1}/interrupt", headers=ME)
        reply = await task
        engine.gate.set()
    assert (reply.status_code, reply.json()["images"]) == (200, [])
    assert json.loads(reply.json()["info"])["infotexts"] == []


async def test_interrupting_nothing_does_nothing(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        assert (await client.post(f"{V1}/interrupt")).json() == {}
        assert (await client.post(f"{V1}/skip")).json() is None


async def test_a_part_that_is_interrupted_is_put_back_too(serving: Serving) -> None:
    image, mask = Image.new("RGB", (128, 64), "blue"), Image.new("L", (128, 64))
    mask.paste(255, (0, 0, 32, 32))
    engine = PlainEngine(hold_at=2)
    body = ASKED | {
        "height": 64,
        "init_images": [_base64(image)],
        "mask": _base64(mask),
        "mask_blur": 0,
    }
    async with serving(engine) as client:
        task = asyncio.create_task(client.post(f"{V1}/img2img", json=body))
        await engine.reached(PROMPT, 2)
        await client.post(f"{V1}/interrupt")
        reply = await task
    image = Image.open(io.BytesIO(base64.b64decode(reply.json()["images"][0])))
    assert (image.size, image.getpixel((100, 32))) == ((128, 64), (0, 0, 255))


def _base64(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


async def test_options_are_a_callers_own(serving: Serving) -> None:
    engine = PlainEngine()
    params = {
        "sd_model_checkpoint": "A/B.safetensors [0123456789]",
        "CLIP_stop_at_last_layers": "2",
    }
    async with serving(engine) as client:
        assert (await client.post(f"{V1}/options", json=params, headers=ME)).json() is None
        mine = await get(client, "options", headers=ME)
        others = await get(client, "options", headers=OTHER)
        again = await client.post(f"{V1}/options", json=mine, headers=ME)
        await painting(client)
    assert (mine["sd_model_checkpoint"], mine["CLIP_stop_at_last_layers"]) == ("A/B", 2)
    assert others["sd_model_checkpoint"] == "imagemill/pico"
    assert set(others) == set(DEFAULTS)
    assert "forge_preset" not in others  # by which SillyTavern knows Forge
    assert again.status_code == 200
    assert engine.submitted[0].model == "A/B"


async def test_a_title_is_known_in_any_case(serving: Serving) -> None:
    async with serving(PlainEngine(), models={"Own/Model": "folder"}) as client:
        await client.post(f"{V1}/options", json={"sd_model_checkpoint": "own/model"})
        assert (await get(client, "options"))["sd_model_checkpoint"] == "Own/Model"


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"samples_format": "tiff"}, 422, "one of png, jpg"),
        ({"CLIP_stop_at_last_layers": "much"}, 422, "valid integer"),
        ({"sd_model_checkpoint": "no such//model"}, 404, "Model not found"),
    ],
)
async def test_an_option_that_is_none_is_refused(
    serving: Serving, params: dict[str, Any], code: int, message: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{V1}/options", json=params)
        kept = await get(client, "options")
    assert reply.status_code == code
    assert message in reply.text
    assert kept["samples_format"] == "png"


@pytest.mark.parametrize(("name", "format"), [("jpg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
async def test_the_format_is_an_option(serving: Serving, name: str, format: str) -> None:
    async with serving(PlainEngine()) as client:
        await client.post(f"{V1}/options", json={"samples_format": name}, headers=ME)
        reply = await painting(client)
    assert Image.open(io.BytesIO(base64.b64decode(reply.json()["images"][0]))).format == format


@pytest.mark.parametrize(("restore", "kept"), [(True, "imagemill/pico"), (False, "a/b")])
async def test_overridden_settings_are_restored_unless_they_are_to_stay(
    serving: Serving, restore: bool, kept: str
) -> None:
    async with serving(PlainEngine()) as client:
        more = {
            "override_settings": {"sd_model_checkpoint": "a/b"},
            "override_settings_restore_afterwards": restore,
        }
        await painting(client, **more)
        assert (await get(client, "options", headers=ME))["sd_model_checkpoint"] == kept


async def test_kritas_plugin_finds_the_server_alive(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        assert (await client.get("/queue/status")).json()["queue_size"] == 0


def test_options_of_too_many_callers_are_forgotten() -> None:
    kept = CallerOptions()
    for number in range(CALLERS + 1):
        kept.set(str(number), {"samples_format": "jpg"})
    assert kept.of("0")["samples_format"] == "png"
    assert kept.of("1")["samples_format"] == "jpg"


def test_the_first_that_is_painted_goes_before_those_that_wait() -> None:
    calls = ActiveCalls()
    waiting, begun = (
        ActiveCall(make_job(id, started), id) for id, started in (("a", None), ("b", 1.0))
    )
    calls.add("me", waiting)
    assert calls.current("me") is waiting
    calls.add("me", begun)
    assert (calls.current("me"), calls.count("me")) == (begun, 2)
    calls.remove("me", begun)
    calls.remove("me", waiting)
    assert calls.current("me") is None


def test_other_lines_of_the_log_are_passed_over() -> None:
    call = ActiveCall(make_job("a", 1.0), "a")
    for progress in (Progress(3, 4), None, Progress(2, 4)):
        call.update(Line(0, 0.0, "step 4 of 4", progress))
    assert call.share == 0.75


def make_job(id: str, started: float | None) -> Job:
    generation = Generation("a cat", "a/b", 64, 64, 4, 1.0, 0)
    return Job(id, Submission(generation, "pico", "sdapi", "me"), 0.0, started=started)
