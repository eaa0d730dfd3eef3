"""The assembled server: health, metrics, documentation, request ids, shutdown."""

import asyncio
import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagemill.app import create_app, make_server
from imagemill.engine.events import State
from imagemill.settings import Settings
from imagemill.telemetry import JsonLines
from tests.conftest import Serving
from tests.engines import PlainEngine

anyio = pytest.mark.anyio


def test_importing_the_app_imports_no_torch() -> None:
    code = "import sys, imagemill.app; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert run.stdout.strip() == b"False"


@anyio
@pytest.mark.parametrize(
    ("state", "status", "ready"),
    [(state, 200 if state is State.READY else 503, state is State.READY) for state in State],
)
async def test_health_tells_the_state_of_the_model(
    serving: Serving, state: State, status: int, ready: bool
) -> None:
    async with serving(PlainEngine(state)) as client:
        reply = await client.get("/health")
    assert reply.status_code == status
    told = reply.json()
    assert (told["live"], told["ready"], told["model"]) == (True, ready, state.value)


@anyio
async def test_metrics_count_requests_by_door_and_outcome(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        await client.post("/models/a/b", json={"inputs": "a cat"})
        await client.post("/models/a/b", json={"inputs": "a cat"})
        await client.post("/", json={"inputs": ""})
        reply = await client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in (
        'imagemill_requests_total{door="hf-inference",outcome="ok"} 2.0',
        'imagemill_requests_total{door="flat",outcome="invalid"} 1.0',
        'imagemill_cache_lookups_total{outcome="hit"} 1.0',
        'imagemill_pictures_total{model="pico"} 1.0',
        "imagemill_queue_depth 0.0",
        "imagemill_running 0.0",
    ):
        assert line in reply.text.splitlines()


@anyio
async def test_the_documentation_has_schemas_and_examples_of_every_door(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        page = await client.get("/docs")
        document = (await client.get("/openapi.json")).json()
        parts = re.findall(r"""(?:src|href)=["'](.*?)["']""", page.text)
        assert [(await client.get(part)).status_code for part in parts] == [200] * 3
    assert all(part.startswith("/") for part in parts)  # it shows where there is no internet
    for path in ("/hf-inference/models/{owner}/{name}", "/models/{owner}/{name}"):
        told = {each["name"] for each in document["paths"][path]["post"]["parameters"]}
        assert told == {"owner", "name", "x-use-cache", "x-wait-for-model"}
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        parameters = content["schema"]["properties"]["parameters"]["anyOf"][0]["properties"]
        assert parameters["width"]["maximum"] == 2048
        assert len(content["examples"]) == 2
    for path in ("/", "/flat/{owner}/{name}"):
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert "inference_steps" in content["schema"]["properties"]
        assert "$ref" not in json.dumps(content)


@anyio
async def test_the_printed_examples_are_accepted(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        document = (await client.get("/openapi.json")).json()
        for path, example in printed_examples(document):
            reply = await client.post(path, json=example)
            assert reply.status_code == 200, (path, reply.text)


def printed_examples(document: Any) -> list[tuple[str, Any]]:
    found = []
    for path, verbs in document["paths"].items():
        content = verbs.get("post", {}).get("requestBody", {}).get("content", {})
        if "application/json" in content:
            content = content["application/json"]
            examples = [each["value"] for each in content.get("examples", {}).values()]
            examples += [content["example"]] if "example" in content else []
            url = path.replace("{owner}", "a").replace("{name}", "b")
            found += [(url, example) for example in examples]
    assert len(found) >= 9
    return found


@anyio
@pytest.mark.parametrize("path", ["/health", "/nowhere", "/docs"])
async def test_every_reply_has_a_request_id(serving: Serving, path: str) -> None:
    async with serving(PlainEngine()) as client:
        replies = [await client.get(path) for _ in range(2)]
    assert len({reply.headers["x-request-id"] for reply in replies}) == 2


@anyio
async def test_a_caller_s_own_request_id_is_kept_where_it_is_sane(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        kept = await client.get("/health", headers={"x-request-id": "my-id.1"})
        replaced = await client.get("/health", headers={"x-request-id": "my id; <b>"})
    assert kept.headers["x-request-id"] == "my-id.1"
    assert replaced.headers["x-request-id"] != "my id; <b>"


@anyio
async def test_what_nobody_foresaw_is_a_500_without_a_trace_of_our_insides(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(PlainEngine):
        def submit(self, *_: object) -> Any:
            raise RuntimeError("at /secret/path")

    async with serving(Broken()) as client:
        for path in ("/", "/models/a/b"):
            reply = await client.post(path, json={"inputs": "a cat"})
            assert reply.status_code == 500
            assert reply.json() == {
                "error": "something went wrong here; the server's log tells what"
            }
        assert (await client.get("/health")).json()["live"]
    assert "at /secret/path" in caplog.text


@anyio
async def test_an_engine_that_dies_is_a_500_of_the_door(serving: Serving) -> None:
    async with serving(PlainEngine(State.DEAD)) as client:
        reply = await client.post("/models/a/b", json={"inputs": "a cat"})
    assert reply.status_code == 500
    assert "the engine has stopped" in reply.json()["error"]


@anyio
async def test_at_shutdown_running_work_is_finished(tmp_path: Path) -> None:
    engine = PlainEngine(hold_at=1)
    app = create_app(Settings(data_dir=tmp_path), engine)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        async with app.router.lifespan_context(app):
            call = asyncio.create_task(client.post("/", json={"inputs": "a cat"}))
            await engine.reached("a cat", 1)
            engine.gate.set()
        assert engine.closed
        assert (await call).status_code == 200


@anyio
async def test_at_shutdown_work_that_takes_too_long_is_told_so(tmp_path: Path) -> None:
    engine = PlainEngine(hold_at=1)
    app = create_app(Settings(data_dir=tmp_path, shutdown_time=0), engine)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        async with app.router.lifespan_context(app):
            call = asyncio.create_task(client.post("/", json={"inputs": "a cat"}))
            await engine.reached("a cat", 1)
        assert (await call).status_code == 503


@anyio
@pytest.mark.parametrize("path", ["/", "/models/a/b"])
async def test_a_call_that_the_http_server_stops_is_answered_in_the_door_s_form(
    serving: Serving, path: str
) -> None:
    engine = PlainEngine(hold_at=1)
    async with serving(engine) as client:
        call = asyncio.create_task(client.post(path, json={"inputs": "a cat"}))
        await engine.reached("a cat", 1)
        call.cancel()
        reply = await call
    assert reply.status_code == 503
    assert reply.json() == {"error": "the server stopped this work; ask again"}
    assert engine.cancelled


@anyio
async def test_pictures_are_kept_over_a_restart(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        first = await client.post("/models/a/b", json={"inputs": "a cat"})
    async with serving(PlainEngine()) as client:
        again = await client.post("/models/a/b", json={"inputs": "a cat"})
    assert again.headers["x-imagemill-cache"] == "hit"
    assert again.content == first.content


@anyio
async def test_a_server_without_room_for_pictures_paints_each_time(serving: Serving) -> None:
    async with serving(PlainEngine(), cache_bytes=0) as client:
        replies = [await client.post("/models/a/b", json={"inputs": "a cat"}) for _ in range(2)]
    assert [each.headers["x-imagemill-cache"] for each in replies] == ["miss", "miss"]


@anyio
async def test_who_waits_for_a_model_waits_as_long_as_the_settings_say(serving: Serving) -> None:
    async with serving(PlainEngine(State.STARTING), wait_time=0.001) as client:
        body = {"inputs": "a cat", "options": {"wait_for_model": True}}
        reply = await client.post("/models/a/b", json=body)
    assert reply.status_code == 503


def test_a_json_log_line_tells_the_request_and_no_more() -> None:
    record = logging.makeLogRecord(
        {"msg": "done in %s", "args": (3,), "levelname": "INFO", "request_id": "r"}
    )
    line = json.loads(JsonLines().format(record))
    assert line.pop("time")
    assert line == {"level": "info", "logger": None, "message": "done in 3", "request_id": "r"}


@pytest.mark.parametrize("form", ["plain", "json"])
def test_the_server_listens_where_the_settings_say(tmp_path: Path, form: Any) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    settings = Settings(
        data_dir=tmp_path, host="127.0.0.2", port=1234, shutdown_time=7, log_format=form
    )
    try:
        config = make_server(settings).config
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert (config.host, config.port, config.timeout_graceful_shutdown) == ("127.0.0.2", 1234, 7)
