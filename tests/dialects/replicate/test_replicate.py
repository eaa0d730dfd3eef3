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
from starlette.datastructures import Headers

from imagemill.dialects.replicate import ids
from imagemill.dialects.replicate.read import waits
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
    prediction: dict[str, Any] = reply.json()
    return prediction


async def ended(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    """The prediction, when it will not change any more."""
    async with asyncio.timeout(30):
        while True:
            body_now: dict[str, Any] = (await client.get(body["urls"]["get"], headers=KEY)).json()
            if body_now["status"] in ("succeeded", "failed", "canceled"):
                return body_now
            await asyncio.sleep(0)


def data_uri(size: tuple[int, int] = (64, 64), colour: str = "white") -> str:
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
    body = json.loads(bytes(reply.body))
    assert reply.status_code == body["status"] == ERRORS[kind].code
    assert reply.headers["retry-after"] == "3"
    assert body["title"] == ERRORS[kind].title
    assert "steps 0 is out of range" in body["detail"]
    assert isinstance(body["error"], str)
    fields = [each["field"] for each in body.get("invalid_fields", [])]
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
        body = await create(client)
        assert body["status"] == "succeeded"
        assert (body["model"], body["error"]) == ("black-forest-labs/flux-schnell", None)
        assert len(body["version"]) == 64
        assert body["input"] == SMALL
        assert body["metrics"]["predict_time"] >= 0
        assert body["metrics"]["image_count"] == 1
        assert body["created_at"] <= body["started_at"] <= body["completed_at"]
        assert all(isinstance(url, str) for url in body["urls"].values())
        (url,) = body["output"]
        file = await client.get(url)
        assert file.headers["content-type"] == "image/webp"
        assert Image.open(io.BytesIO(file.content)).size == (64, 64)


async def test_who_does_not_wait_asks_again(serving: Serving) -> None:
    engine = PlainEngine()
    engine.gate.clear()
    async with serving(engine) as client:
        body = await create(client, headers=KEY)
        assert (body["status"], body["output"], body["completed_at"]) == ("starting", None, None)
        await engine.asked(1)
        running = (await client.get(body["urls"]["get"], headers=KEY)).json()
        assert running["status"] == "processing"
        engine.gate.set()
        assert (await ended(client, body))["status"] == "succeeded"


async def test_who_waited_for_long_enough_is_told_that_it_starts(serving: Serving) -> None:
    engine = PlainEngine()
    engine.gate.clear()
    async with serving(engine) as client:
        body = await create(client, code=202, headers=KEY | {"prefer": "wait=1"})
        assert (body["status"], body["output"]) == ("starting", None)
        engine.gate.set()
        assert (await ended(client, body))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        *(("wait", 60), ("wait=1", 1), ("wait=60", 60), ("wait=120", 60), ("wait=999999999", 60)),
        *(("Wait=5", 5), ('wait = "7"', 7), ("wait=10; a=b", 10), ("respond-async, wait=9", 9)),
        *((each, None) for each in ("", "wait=0", "waiting", "wait=-1", "wait=soon", "a=b")),
    ],
)
def test_a_wish_to_wait_longer_than_a_minute_is_a_minute(
    prefer: str, seconds: float | None
) -> None:
    assert waits(Headers({"prefer": prefer})) == seconds


async def test_a_wish_to_wait_for_two_minutes_is_no_error(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = await create(client, headers=KEY | {"prefer": "wait=120"})
    assert body["status"] == "succeeded"


@pytest.mark.parametrize(
    "agent", ["unknown/None; hf_hub/2.4.0; python/3.11.7", "@huggingface/inference/4.13.30 node"]
)
async def test_clients_that_never_ask_again_are_held_until_the_end(
    serving: Serving, agent: str
) -> None:
    async with serving(PlainEngine()) as client:
        body = await create(client, headers=KEY | {"user-agent": agent})
        assert body["status"] == "succeeded"
        assert body["output"][0].startswith("http://")
        broken = KEY | {"user-agent": agent}
        body = await create(client, headers=broken, code=422, image="data:image/png;base64,AAAA")
        assert body["error"]


async def test_a_model_by_all_its_names(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        version = (await client.get(f"{SCHNELL}/versions")).json()["results"][0]["id"]
        name = "black-forest-labs/flux-schnell"
        for named in (version, name, f"{name}:{version}"):
            body = {"version": named, "input": SMALL}
            reply = await client.post(f"{ROOT}/predictions", json=body, headers=WAIT)
            assert reply.status_code == 201, reply.text
            prediction = reply.json()
            assert (prediction["model"], prediction["version"]) == (name, version)
            assert "not known here" not in prediction["logs"]
        prediction = await create(client, f"{ROOT}/deployments/{name}")
        assert prediction["model"] == name


async def test_a_version_that_is_not_known_is_served_and_told_of(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        for named, model in (
            ("ab" * 32, "imagemill/pico"),
            (f"stability-ai/sdxl:{'ab' * 32}", "stability-ai/sdxl"),
        ):
            body = {"version": named, "input": SMALL}
            reply = await client.post(f"{ROOT}/predictions", json=body, headers=WAIT)
            prediction = reply.json()
            assert (prediction["model"], prediction["version"]) == (model, "ab" * 32)
            assert "version abababababab" in prediction["logs"]
            assert "is not known here" in prediction["logs"]


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
        body = await create(client)
    assert body["model"] == "black-forest-labs/flux-schnell"
    assert engine.sources == ["some/folder"]


async def test_the_log_tells_progress_that_clients_read(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = await create(client, num_inference_steps=4)
    lines = body["logs"].splitlines()
    assert lines[0] == "Using seed: 7"
    matches = [re.match(r"^\s*(\d+)%\s*\|.+?\|\s*(\d+)\/(\d+)", line) for line in lines]
    assert [each.groups() for each in matches if each][-1] == ("100", "4", "4")


@pytest.mark.parametrize("agent", ["replicate-python/1.0.7", "replicate-javascript/1.4.0"])
async def test_official_clients_get_data_over_plain_http(serving: Serving, agent: str) -> None:
    async with serving(PlainEngine(), behind_proxy=True) as client:
        body = await create(client, headers=WAIT | {"user-agent": agent})
        content = base64.b64decode(body["output"][0].partition("base64,")[2])
        assert Image.open(io.BytesIO(content)).format == "WEBP"
        secure = WAIT | {"user-agent": agent, "x-forwarded-proto": "https"}
        body = await create(client, headers=secure)
        assert body["output"][0].startswith("https://localhost/files/")


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
        for body in (queued, running):
            # JavaScript's client announces JSON and sends nothing.
            announced = KEY | {"content-type": "application/json"}
            reply = await client.post(body["urls"]["cancel"], headers=announced)
            assert (reply.status_code, reply.json()["status"]) == (200, "canceled")
            assert reply.json()["error"] is None
        done = await create(client)
        reply = await client.post(done["urls"]["cancel"], headers=KEY)
        assert (reply.status_code, reply.json()["status"]) == (200, "succeeded")


async def test_somebody_else_s_prediction_is_not_there(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = await create(client)
        for headers in ({}, {"authorization": "Bearer other"}):
            assert (await client.get(body["urls"]["get"], headers=headers)).status_code == 404
            gone = await client.post(body["urls"]["cancel"], headers=headers)
            assert gone.status_code == 404
            listed = (await client.get(f"{ROOT}/predictions", headers=headers)).json()
            assert listed["results"] == []
        token = await client.get(body["urls"]["get"], headers={"authorization": "Token r8_secret"})
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
        body = await create(client)

        async def listed(**query: str) -> list[str]:
            reply = await client.get(f"{ROOT}/predictions", params=query, headers=KEY)
            return [each["id"] for each in reply.json()["results"]]

        assert await listed(created_after="2020-01-01T00:00:00Z") == [body["id"]]
        assert await listed(created_before="2020-01-01T00:00:00") == []
        assert await listed(source="web") == []
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
        body = await create(client, image="data:image/png;base64,AAAA")
    assert (body["status"], body["output"]) == ("failed", None)
    assert "image" in body["error"]


async def test_a_dead_engine_leaves_the_prediction_as_it_is(serving: Serving) -> None:
    async with serving(PlainEngine(State.DEAD)) as client:
        body = await create(client, headers=KEY)
        assert body["status"] == "starting"
