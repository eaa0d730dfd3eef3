"""Replicate's door: predictions, in a whole server without a socket."""

import asyncio
import base64
import io
import json
import re
import uuid
from typing import Any

import httpx
import pytest
from PIL import Image

from imagemill.dialects.replicate import ids
from imagemill.dialects.replicate.vocabulary import ERRORS, STATUSES, refuse
from imagemill.engine.events import State
from imagemill.errors import Fault, Kind
from imagemill.job import Status
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

ROOT = "/replicate/v1"
SCHNELL = f"{ROOT}/models/black-forest-labs/flux-schnell"
SMALL: dict[str, Any] = {
    "prompt": "a cat", "width": 64, "height": 64, "num_inference_steps": 2, "seed": 7,
}  # fmt: skip
KEY = {"authorization": "Bearer r8_secret"}
WAIT = KEY | {"prefer": "wait"}


async def create(
    client: httpx.AsyncClient,
    path: str = SCHNELL,
    code: int = 201,
    headers: dict[str, str] = WAIT,
    **input: Any,
) -> dict[str, Any]:
    body = {"input": SMALL | input}
    reply = await client.post(f"{path}/predictions", json=body, headers=headers)
    assert reply.status_code == code, reply.text
    told: dict[str, Any] = reply.json()
    return told


async def ended(client: httpx.AsyncClient, told: dict[str, Any]) -> dict[str, Any]:
    """The prediction, when it will not change any more."""
    async with asyncio.timeout(30):
        while True:
            found: dict[str, Any] = (await client.get(told["urls"]["get"], headers=KEY)).json()
            if found["status"] in ("succeeded", "failed", "canceled"):
                return found
            await asyncio.sleep(0)


def picture(size: tuple[int, int] = (64, 64), colour: str = "white") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def test_there_is_a_word_for_every_state_and_every_error() -> None:
    assert set(STATUSES) == set(Status)
    assert set(ERRORS) == set(Kind)


def test_only_what_passes_is_a_503_which_some_clients_send_again_at_once() -> None:
    assert [kind for kind, word in ERRORS.items() if word.code == 503] == [Kind.UNAVAILABLE]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_fault_has_words_of_this_dialect(kind: Kind) -> None:
    reply = refuse(Fault(kind, "steps 0 is out of range", "steps", retry_after=2.1))
    told = json.loads(bytes(reply.body))
    assert reply.status_code == told["status"] == ERRORS[kind].code
    assert reply.headers["retry-after"] == "3"
    assert told["title"] == ERRORS[kind].title
    assert "steps 0 is out of range" in told["detail"]
    assert isinstance(told["error"], str)
    fields = [each["field"] for each in told.get("invalid_fields", [])]
    assert fields == (["input.num_inference_steps"] if kind is Kind.INVALID else [])


@pytest.mark.parametrize("number", [0, 1, 2**122, 2**128 - 1])
def test_an_id_is_read_as_it_was_written(number: int) -> None:
    id = str(uuid.UUID(int=number))
    assert len(ids.encode(id)) == 26
    assert ids.decode(ids.encode(id)) == id


@pytest.mark.parametrize("id", ["", "a" * 25, "a" * 27, "A" * 26, "a" * 25 + "b", "0" * 26])
def test_an_id_of_another_form_is_not_found(id: str) -> None:
    with pytest.raises(Fault, match="no such prediction"):
        ids.decode(id)


async def test_who_waits_gets_the_whole_prediction(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        told = await create(client)
        assert told["status"] == "succeeded"
        assert (told["model"], told["error"]) == ("black-forest-labs/flux-schnell", None)
        assert len(told["version"]) == 64
        assert told["input"] == SMALL
        assert told["metrics"]["predict_time"] >= 0
        assert told["metrics"]["image_count"] == 1
        assert told["created_at"] <= told["started_at"] <= told["completed_at"]
        assert all(isinstance(url, str) for url in told["urls"].values())
        (url,) = told["output"]
        file = await client.get(url)
        assert file.headers["content-type"] == "image/webp"
        assert Image.open(io.BytesIO(file.content)).size == (64, 64)


async def test_who_does_not_wait_asks_again(serving: Serving) -> None:
    engine = PlainEngine()
    engine.gate.clear()
    async with serving(engine) as client:
        told = await create(client, headers=KEY)
        assert (told["status"], told["output"], told["completed_at"]) == ("starting", None, None)
        await engine.asked(1)
        running = (await client.get(told["urls"]["get"], headers=KEY)).json()
        assert running["status"] == "processing"
        engine.gate.set()
        assert (await ended(client, told))["status"] == "succeeded"


async def test_who_waited_for_long_enough_is_told_that_it_starts(serving: Serving) -> None:
    engine = PlainEngine()
    engine.gate.clear()
    async with serving(engine) as client:
        told = await create(client, code=202, headers=KEY | {"prefer": "wait=1"})
        assert (told["status"], told["output"]) == ("starting", None)
        engine.gate.set()
        assert (await ended(client, told))["status"] == "succeeded"


@pytest.mark.parametrize(
    "agent", ["unknown/None; hf_hub/2.4.0; python/3.11.7", "@huggingface/inference/4.13.30 node"]
)
async def test_clients_that_never_ask_again_are_held_until_the_end(
    serving: Serving, agent: str
) -> None:
    async with serving(PlainEngine()) as client:
        told = await create(client, headers=KEY | {"user-agent": agent})
        assert told["status"] == "succeeded"
        assert told["output"][0].startswith("http://")
        broken = KEY | {"user-agent": agent}
        told = await create(client, headers=broken, code=422, image="data:image/png;base64,AAAA")
        assert told["error"]


async def test_a_model_by_all_its_names(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        version = (await client.get(f"{SCHNELL}/versions")).json()["results"][0]["id"]
        name = "black-forest-labs/flux-schnell"
        for named in (version, name, f"{name}:{version}"):
            body = {"version": named, "input": SMALL}
            reply = await client.post(f"{ROOT}/predictions", json=body, headers=WAIT)
            assert reply.status_code == 201, reply.text
            told = reply.json()
            assert (told["model"], told["version"]) == (name, version)
            assert "not known here" not in told["logs"]
        told = await create(client, f"{ROOT}/deployments/{name}")
        assert told["model"] == name


async def test_a_version_that_is_not_known_is_served_and_told_of(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        for named, model in (
            ("ab" * 32, "imagemill/pico"),
            (f"stability-ai/sdxl:{'ab' * 32}", "stability-ai/sdxl"),
        ):
            body = {"version": named, "input": SMALL}
            reply = await client.post(f"{ROOT}/predictions", json=body, headers=WAIT)
            told = reply.json()
            assert (told["model"], told["version"]) == (model, "ab" * 32)
            assert "version abababababab" in told["logs"]
            assert "is not known here" in told["logs"]


async def test_without_stand_ins_an_unknown_version_is_refused(serving: Serving) -> None:
    async with serving(PlainEngine(), stand_ins=False) as client:
        for named in ("ab" * 32, f"imagemill/pico:{'ab' * 32}"):
            body = {"version": named, "input": SMALL}
            reply = await client.post(f"{ROOT}/predictions", json=body)
            assert reply.status_code == 422
            assert "The specified version does not exist" in reply.json()["detail"]
        reply = await client.post(f"{SCHNELL}/predictions", json={"input": SMALL})
        assert reply.status_code == 404


async def test_a_model_is_served_by_weights_that_are_configured(serving: Serving) -> None:
    engine = PlainEngine()
    models = {"black-forest-labs/FLUX.1-schnell": "some/folder"}
    async with serving(engine, models=models, stand_ins=False) as client:
        told = await create(client)
    assert told["model"] == "black-forest-labs/flux-schnell"
    assert engine.sources == ["some/folder"]


async def test_the_log_tells_progress_that_clients_read(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        told = await create(client, num_inference_steps=4)
    lines = told["logs"].splitlines()
    assert lines[0] == "Using seed: 7"
    found = [re.match(r"^\s*(\d+)%\s*\|.+?\|\s*(\d+)\/(\d+)", line) for line in lines]
    assert [each.groups() for each in found if each][-1] == ("100", "4", "4")


@pytest.mark.parametrize("agent", ["replicate-python/1.0.7", "replicate-javascript/1.4.0"])
async def test_official_clients_get_data_over_plain_http(serving: Serving, agent: str) -> None:
    async with serving(PlainEngine(), behind_proxy=True) as client:
        told = await create(client, headers=WAIT | {"user-agent": agent})
        content = base64.b64decode(told["output"][0].partition("base64,")[2])
        assert Image.open(io.BytesIO(content)).format == "WEBP"
        secure = WAIT | {"user-agent": agent, "x-forwarded-proto": "https"}
        told = await create(client, headers=secure)
        assert told["output"][0].startswith("https://localhost/files/")


async def test_a_model_of_one_picture_gives_no_list(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        path = f"{ROOT}/models/black-forest-labs/flux-1.1-pro"
        assert isinstance((await create(client, path))["output"], str)


async def test_cancelling_in_every_state(serving: Serving) -> None:
    engine = PlainEngine(hold_at=1)
    async with serving(engine, running=1) as client:
        running = await create(client, headers=KEY)
        queued = await create(client, headers=KEY)
        await engine.reached("a cat", 1)
        engine.gate.set()
        for told in (queued, running):
            # JavaScript's client announces JSON and sends nothing.
            announced = KEY | {"content-type": "application/json"}
            reply = await client.post(told["urls"]["cancel"], headers=announced)
            assert (reply.status_code, reply.json()["status"]) == (200, "canceled")
            assert reply.json()["error"] is None
        done = await create(client)
        reply = await client.post(done["urls"]["cancel"], headers=KEY)
        assert (reply.status_code, reply.json()["status"]) == (200, "succeeded")


async def test_somebody_else_s_prediction_is_not_there(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        told = await create(client)
        for headers in ({}, {"authorization": "Bearer other"}):
            assert (await client.get(told["urls"]["get"], headers=headers)).status_code == 404
            gone = await client.post(told["urls"]["cancel"], headers=headers)
            assert gone.status_code == 404
            listed = (await client.get(f"{ROOT}/predictions", headers=headers)).json()
            assert listed["results"] == []
        token = await client.get(told["urls"]["get"], headers={"authorization": "Token r8_secret"})
        assert token.status_code == 200


async def test_predictions_are_listed_page_by_page(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagemill.dialects.replicate.predictions.PAGE", 2)
    async with serving(PlainEngine()) as client:
        made = [(await create(client))["id"] for _ in range(5)][::-1]
        seen, url, pages = [], f"{ROOT}/predictions?source=api", []
        while url is not None:
            page = (await client.get(url, headers=KEY)).json()
            seen += [each["id"] for each in page["results"]]
            pages.append(page)
            url = page["next"]
        assert seen == made
        back = (await client.get(pages[2]["previous"], headers=KEY)).json()
        assert back["results"] == pages[1]["results"]
        first = (await client.get(pages[1]["previous"], headers=KEY)).json()
        assert (first["results"], first["previous"]) == (pages[0]["results"], None)


async def test_predictions_are_listed_by_time_and_source(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        told = await create(client)

        async def found(**query: str) -> list[str]:
            reply = await client.get(f"{ROOT}/predictions", params=query, headers=KEY)
            return [each["id"] for each in reply.json()["results"]]

        assert await found(created_after="2020-01-01T00:00:00Z") == [told["id"]]
        assert await found(created_before="2020-01-01T00:00:00") == []
        assert await found(source="web") == []
        for wrong in ("source=moon", "created_after=soon", "cursor=x", "cursor=bmFu"):
            reply = await client.get(f"{ROOT}/predictions?{wrong}", headers=KEY)
            assert reply.status_code == 422


async def test_a_call_that_is_named_paints_once(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        named = WAIT | {"idempotency-key": "1"}
        first, again = [await create(client, headers=named) for _ in range(2)]
        other = await create(client, headers=WAIT | {"idempotency-key": "2"})
        resent = WAIT | {"x-stainless-retry-count": "0"}
        sent = await create(client, headers=resent)
        late = await create(client, headers=resent | {"x-stainless-retry-count": "1"})
        new = await create(client, headers=resent)
    assert first["id"] == again["id"] != other["id"]
    assert sent["id"] == late["id"] != new["id"]
    assert len(engine.submitted) == 4


async def test_a_failed_prediction_tells_why(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        told = await create(client, image="data:image/png;base64,AAAA")
    assert (told["status"], told["output"]) == ("failed", None)
    assert "image" in told["error"]


async def test_a_dead_engine_leaves_the_prediction_as_it_is(serving: Serving) -> None:
    async with serving(PlainEngine(State.DEAD)) as client:
        told = await create(client, headers=KEY)
        assert told["status"] == "starting"
