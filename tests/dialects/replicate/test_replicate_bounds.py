"""What Replicate's door keeps in bounds: the work, secrets and memory of each caller."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers

from imagemill.dialects.replicate import progress_webhooks, read
from imagemill.dialects.replicate.progress_webhooks import ProgressReporter, Watchers
from imagemill.http.identity import caller_of
from imagemill.threads import BODIES
from tests.conftest import Serving
from tests.dialects.replicate.test_replicate import (
    KEY,
    ROOT,
    SCHNELL,
    SMALL,
    WAIT,
    create,
    data_uri,
    ended,
)
from tests.dialects.replicate.test_replicate_files import upload
from tests.dialects.replicate.test_replicate_jobs import (
    ended_in,
    make_submission,
    receiving,
    submit,
)
from tests.engines import PlainEngine
from tests.houses import opened, opened_backend

pytestmark = pytest.mark.anyio

HUGGING_FACE = {"user-agent": "unknown/None; hf_hub/2.4.0; python/3.11.7"}


async def listed(client: httpx.AsyncClient, count: int) -> None:
    """Returns once so many predictions have been made."""
    async with asyncio.timeout(30):
        while len((await client.get(f"{ROOT}/predictions", headers=KEY)).json()["results"]) < count:
            await asyncio.sleep(0)


async def test_who_waits_does_not_go_before_those_who_came_first(serving: Serving) -> None:
    engine = PlainEngine()
    engine.gate.clear()
    async with serving(engine, running=1) as client:
        for prompt in ("first", "second"):
            await create(client, headers=KEY, prompt=prompt)
        await engine.asked(1)
        waiting = asyncio.create_task(create(client, prompt="third"))
        await listed(client, 3)
        engine.gate.set()
        await waiting
    assert [each.prompt for each in engine.submitted] == ["first", "second", "third"]


async def test_a_deadline_is_no_work_before_it_comes(tmp_path: Path) -> None:
    engine = PlainEngine()
    engine.gate.clear()
    async with opened(tmp_path, engine, running=1) as service:
        job, held = await service.submit(make_submission("24h")), Watchers(service)
        before = len(asyncio.all_tasks())
        held.begin(job)
        assert len(asyncio.all_tasks()) == before
        await held.close()


async def test_a_time_of_more_than_a_day_is_refused(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = await create(client, code=422, headers=KEY | {"cancel-after": "24h1s"})
    assert "at most 24h" in body["detail"]


async def test_what_is_not_watched_any_more_is_told_in_the_log(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_webhooks, "MOST", 1)
    engine = PlainEngine(hold_at=1)
    async with receiving() as receiver, serving(engine) as client:
        params: Any = {
            "webhook": receiver.url,
            "webhook_events_filter": ["start", "logs", "completed"],
        }
        watched, late = await submit(client, **params), await submit(client, **params)
        await receiver.messages(1)
        engine.gate.set()
        logs = [(await ended(client, each))["logs"] for each in (watched, late)]
        while not any(late["id"] in headers["webhook-id"] for headers, _ in receiver.heard):
            await receiver.messages(len(receiver.heard) + 1)
    assert "not told" not in logs[0]
    assert "webhook events not told: logs, start; 1 predictions are watched already" in logs[1]
    names = [head["webhook-id"] for head, _ in receiver.heard if late["id"] in head["webhook-id"]]
    assert names == [f"msg_{late['id']}_completed"]


async def test_who_has_many_watched_leaves_half_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_webhooks, "MOST", 4)
    engine = PlainEngine()
    engine.gate.clear()
    async with opened(tmp_path, engine) as service:
        watching, mine, yours = Watchers(service), make_submission(), make_submission()
        mine.dialect_state["events"][:] = yours.dialect_state["events"][:] = ["start"]
        mine, yours = replace(mine, caller="me"), replace(yours, caller="you")
        for _ in range(2):
            assert watching.admit(mine) == mine
            watching.begin(await service.submit(mine))
        (remark,) = watching.admit(mine).dialect_state["remarks"]
        assert (
            remark == "webhook events not told: start; 2 predictions of yours are watched already"
        )
        assert watching.admit(yours) == yours
        await watching.close()


async def test_what_ends_elsewhere_is_not_watched_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_webhooks, "LOOK", 0.01)
    engine = PlainEngine()
    engine.gate.clear()
    async with opened_backend(tmp_path, engine, running=1) as backend, asyncio.timeout(30):
        service = backend.service
        running = await service.submit(make_submission())
        await engine.asked(1)
        queued = await service.submit(make_submission())
        telling = asyncio.create_task(ProgressReporter(service, queued, frozenset({"logs"})).run())
        await backend.jobs.cancel(queued.id, service.now())  # as another server does
        await telling
        engine.gate.set()
        await ended_in(service, running)


async def test_a_client_that_is_held_is_not_held_beyond_its_time(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "LEAST_LIFE", 0)
    engine = PlainEngine()
    engine.gate.clear()
    async with serving(engine) as client, asyncio.timeout(30):
        headers = WAIT | HUGGING_FACE | {"cancel-after": "0s"}
        body = await create(client, code=500, headers=headers)
    assert body["detail"] == "the work was cancelled"


async def test_a_client_that_is_held_may_have_a_webhook(serving: Serving) -> None:
    async with receiving() as receiver, serving(PlainEngine()) as client:
        body = {"input": SMALL, "webhook": receiver.url, "webhook_events_filter": ["start"]}
        reply = await client.post(f"{SCHNELL}/predictions", json=body, headers=KEY | HUGGING_FACE)
        assert (reply.status_code, reply.json()["status"]) == (201, "succeeded")
        await receiver.messages(1)


@pytest.mark.parametrize("name", ["image", "mask", "lora_weights", "hf_lora", "extra_lora"])
async def test_an_address_without_end_is_refused(serving: Serving, name: str) -> None:
    long = {"image": data_uri()} | {name: f"http://a.example/{'a' * 9000}"}
    async with serving(PlainEngine()) as client:
        body = await create(client, code=422, headers=KEY, **long)
        assert body["invalid_fields"][0]["field"] == f"input.{name}"
        assert "8192" in body["detail"]
        await listed(client, 0)


async def test_a_picture_is_told_in_short_however_it_is_spelt(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        uri = "DATA:" + data_uri((512, 512)).removeprefix("data:")
        body = await create(client, image=uri)
    assert body["status"] == "succeeded"
    assert body["input"]["image"].endswith(f"... ({len(uri)} characters)")


async def test_who_sends_no_token_sees_nothing_of_others_who_send_none(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        file, body = await upload(client, {}), await create(client, headers={})
        for place in ("files", "predictions"):
            assert (await client.get(f"{ROOT}/{place}")).json()["results"] == []
        secret = await client.get(f"{ROOT}/webhooks/default/secret")
        assert (secret.status_code, "send a token" in secret.json()["detail"]) == (401, True)
        # The addresses, which cannot be guessed, suffice.
        assert (await client.get(body["urls"]["get"])).status_code == 200
        assert (await client.get(file["urls"]["get"])).json() == file
        assert (await create(client, image=file["urls"]["get"], headers={}))["status"]
        assert (await client.delete(file["urls"]["get"])).status_code == 204


async def test_a_list_of_files_is_no_file(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        for headers in ({}, KEY):
            await upload(client, headers)
            whose = caller_of(Headers(headers)) or "nobody"
            for path in (f"of_{whose}", f"of_{whose}/download"):
                reply = await client.get(f"{ROOT}/files/{path}", headers=headers)
                assert reply.status_code == 404


async def test_one_file_comes_in_an_upload(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        files = [("content", ("a", b"x")), ("content", ("b", b"y"))]
        reply = await client.post(f"{ROOT}/files", files=files, headers=KEY)
    assert (reply.status_code, "twice" in reply.json()["detail"]) == (422, True)


class Recorder(ThreadPoolExecutor):
    """Threads that tell what was done in them."""

    def __init__(self) -> None:
        super().__init__()
        self.done = set[str]()

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.done.add(getattr(work.args[0], "__name__", ""))
        return super().submit(work, *args, **kwargs)


async def test_a_long_body_is_read_away_from_the_loop(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = Recorder()
    monkeypatch.setattr(BODIES, "_threads", threads)
    async with serving(PlainEngine()) as client:
        short = await create(client, headers=KEY, image=data_uri())
        assert not threads.done & {"parsed", "draft"}
        long = data_uri()[:-4] + "A" * 2**19
        await create(client, headers=KEY, image=long)
        assert {"parsed", "draft"} <= threads.done
        await ended(client, short)
