"""What Replicate's door does while nobody asks: webhooks, streams, deadlines."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers

from imagemill.app import create_app
from imagemill.catalog import Catalog
from imagemill.dialects.replicate import ids, write
from imagemill.dialects.replicate.progress_webhooks import Watchers, overdue
from imagemill.dialects.replicate.read import Create, draft, submission
from imagemill.dialects.replicate.targets import by_model
from imagemill.errors import Fault, Kind
from imagemill.generation import Progress
from imagemill.http.unknown_fields import UnknownFields
from imagemill.job import Job, Line, Status
from imagemill.jobs.service import Service
from imagemill.settings import Settings
from tests.conftest import Serving
from tests.dialects.replicate.test_replicate import KEY, ROOT, SCHNELL, SMALL, create, ended
from tests.engines import PlainEngine
from tests.houses import opened

pytestmark = pytest.mark.anyio


@dataclass
class Receiver:
    """Hears webhooks. until: how many messages are waited for."""

    url: str = ""
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def messages(self, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(lambda: len(self.heard) >= count)
        return [json.loads(body) for _, body in self.heard]

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):  # of a sender who was stopped
            await self._listen(reader, writer)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        async with self.changed:
            self.heard.append((headers, body))
            self.changed.notify_all()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.hear, "127.0.0.1", 0)
    async with server:
        receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        yield receiver


async def key_of(client: httpx.AsyncClient) -> bytes:
    key = (await client.get(f"{ROOT}/webhooks/default/secret", headers=KEY)).json()["key"]
    assert key.count("_") == 1
    return base64.b64decode(key.removeprefix("whsec_"))


async def submit(client: httpx.AsyncClient, code: int = 201, **more: Any) -> dict[str, Any]:
    reply = await client.post(f"{SCHNELL}/predictions", json={"input": SMALL} | more, headers=KEY)
    assert reply.status_code == code, reply.text
    body: dict[str, Any] = reply.json()
    return body


async def test_the_end_is_told_and_signed(serving: Serving) -> None:
    async with receiving() as receiver, serving(PlainEngine()) as client:
        prediction = await submit(client, webhook=receiver.url)
        (body,) = await receiver.messages(1)
        assert body == await ended(client, prediction)
        headers, content = receiver.heard[0]
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + content
        right = ids.signature(await key_of(client), signed)
        assert headers["webhook-signature"] == f"v1,{right}"
        assert headers["content-type"] == "application/json"


async def test_every_caller_has_a_key_of_their_own(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        url = f"{ROOT}/webhooks/default/secret"
        keys = [
            (await client.get(url, headers=headers)).json()["key"]
            for headers in (KEY, KEY, {"authorization": "Bearer other"})
        ]
    assert keys[0] == keys[1] != keys[2]


async def test_what_happens_on_the_way_is_told_where_it_is_asked_for(serving: Serving) -> None:
    engine = PlainEngine(hold_at=1)
    async with receiving() as receiver, serving(engine) as client:
        events = ["start", "output", "logs"]
        await submit(client, webhook=receiver.url, webhook_events_filter=events)
        (first,) = await receiver.messages(1)
        assert (first["status"], first["output"]) == ("processing", None)
        engine.gate.set()
        messages = await receiver.messages(3)
        names = [headers["webhook-id"].split("_")[2] for headers, _ in receiver.heard]
        assert names[0] == "start"
        assert set(names) == set(events)
        assert len({headers["webhook-id"] for headers, _ in receiver.heard}) == len(names)
        assert messages[-1]["status"] == "succeeded"
        assert "100%" in messages[-1]["logs"]


async def test_outputs_come_with_the_end_in_one_message(serving: Serving) -> None:
    async with receiving() as receiver, serving(PlainEngine()) as client:
        events = ["start", "output", "completed"]
        await submit(client, webhook=receiver.url, webhook_events_filter=events)
        messages = await receiver.messages(2)
        assert sorted(each["status"] for each in messages) == ["processing", "succeeded"]


async def test_the_older_form_tells_of_the_end_alone(serving: Serving) -> None:
    async with receiving() as receiver, serving(PlainEngine()) as client:
        await submit(client, webhook_completed=receiver.url)
        (message,) = await receiver.messages(1)
        assert message["status"] == "succeeded"
        await submit(client, 422, webhook=receiver.url, webhook_completed="http://other")


@pytest.mark.parametrize("events", [["start"], ["completed"]])
async def test_a_receiver_in_a_private_network_is_refused(
    serving: Serving, events: list[str]
) -> None:
    async with serving(PlainEngine()) as client:
        body = await submit(
            client, 422, webhook="http://10.0.0.1/hook", webhook_events_filter=events
        )
    assert "private network" in body["detail"]


def events_of(text: str) -> list[tuple[str, str]]:
    events = []
    for block in text.strip().split("\n\n"):
        fields = [line.partition(": ")[::2] for line in block.splitlines()]
        assert [name for name, _ in fields][:2] == ["event", "id"]
        data = "\n".join(value for name, value in fields if name == "data")
        events.append((fields[0][1], data))
    return events


async def test_a_stream_tells_the_log_the_files_and_the_end(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = await create(client, headers=KEY, num_outputs=2)
        reply = await client.get(body["urls"]["stream"])  # as JavaScript does, without a token
        assert reply.headers["content-type"].startswith("text/event-stream")
        late = await client.get(body["urls"]["stream"])
        done = await ended(client, body)
    for each in (reply, late):
        events = events_of(each.text)
        assert events[0] == ("logs", "Using seed: 7")
        assert [data for name, data in events if name == "output"] == done["output"]
        logs = "".join(f"{data}\n" for name, data in events if name == "logs")
        assert logs == done["logs"]
        assert events[-1] == ("done", "{}")


async def test_pythons_client_gets_its_files_in_the_stream(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = await create(client)
        headers = KEY | {"user-agent": "replicate-python/1.0.7"}
        events = events_of((await client.get(body["urls"]["stream"], headers=headers)).text)
    assert [data[:16] for name, data in events if name == "output"] == ["data:image/webp;"]


async def test_a_stream_tells_what_went_wrong(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = await create(client, image="data:image/png;base64,AAAA")
        events = events_of((await client.get(body["urls"]["stream"])).text)
    assert events[-1] == ("done", '{"reason": "error"}')
    assert events[-2][0] == "error"
    assert json.loads(events[-2][1])["detail"] == body["error"]


async def test_a_stream_needs_its_own_address(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = await create(client)
        for token in (body["id"], body["id"] + "0" * 32, "x", "é" * 58):
            assert (await client.get(f"{ROOT}/streams/{token}")).status_code == 404


def make_submission(life: str | None = None) -> Any:
    target = by_model(Catalog({}, True, lambda _: "1"), "black-forest-labs/flux-schnell")
    headers = Headers({"cancel-after": life} if life else {})
    params, remarks = draft(target, SMALL, UnknownFields())
    return submission(target, Create(input=SMALL), params, remarks, headers, "http://server")


@dataclass
class Clock:
    """The time of all, and what a test has let pass besides, in seconds."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


async def ended_in(service: Service, job: Job) -> Job:
    async with asyncio.timeout(30):
        return await service.ended(job.id)


@pytest.mark.parametrize("held", [True, False])
async def test_a_prediction_that_outlives_its_time_is_cancelled(tmp_path: Path, held: bool) -> None:
    engine = PlainEngine()
    if held:
        engine.gate.clear()
    clock = Clock()
    async with opened(tmp_path, engine, now=clock, running=1) as service:
        job = await service.submit(make_submission("1h30m"))
        watchers = Watchers(service)
        if held:
            await engine.asked(1)
            assert not overdue(job, clock())
            clock.ahead = 5401.0
            assert overdue(job, service.now())
        watchers.begin(job)
        job = await ended_in(service, job)
        assert job.status is (Status.CANCELLED if held else Status.SUCCEEDED)
        assert not overdue(job, clock() + 9999)


async def test_what_was_not_begun_in_its_time_is_canceled_too(tmp_path: Path) -> None:
    async with opened(tmp_path, PlainEngine()) as service:
        job = await ended_in(service, await service.submit(make_submission()))
        running = await service.submit(make_submission())
        late = running.move(Status.FAILED, 9e9, fault=Fault(Kind.TIMEOUT, "too late"))
        facts = write.facts(service, late, "http://server")
        assert (facts["status"], facts["error"]) == ("canceled", None)
        assert write.failure(late) == {"reason": "canceled"}
        assert write.failure(job) is None


async def test_a_line_of_progress_is_a_bar(tmp_path: Path) -> None:
    async with opened(tmp_path, PlainEngine()) as service:
        job = await ended_in(service, await service.submit(make_submission()))
    began = job.started or 0.0
    line = write.said(job, Line(0, began + 2, "step 4 of 10", Progress(4, 10)))
    assert line == " 40%|####      | 4/10 [00:02<00:03,  2.00it/s]"
    assert write.said(job, Line(0, began, "step 0 of 10", Progress(0, 10))).startswith(
        "  0%|          | 0/10 ["
    )
    assert write.said(job, Line(0, began, "painted by pico in 2 s")) == "painted by pico in 2 s"


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        ({}, "succeeded"),
        ({"replicate": "finish"}, "succeeded"),
        ({"replicate": "cancel"}, "canceled"),
    ],
)
async def test_who_hangs_up_while_waiting_cancels_only_where_the_operator_says_so(
    tmp_path: Path, policy: dict[str, Any], status: str
) -> None:
    engine = PlainEngine(hold_at=1)
    app = create_app(Settings(data_dir=tmp_path, on_hang_up=policy), engine)
    body = json.dumps({"input": SMALL}).encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"{SCHNELL}/predictions",
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"prefer", b"wait"),
            (b"authorization", b"Bearer r8_secret"),
        ],
        "scheme": "http",
    }
    coming = [{"type": "http.request", "body": body}]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if coming:
            return coming.pop()
        await engine.reached("a cat", 1)
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        await app(scope, receive, send)
        assert sent[0]["status"] == 499
        engine.gate.set()
        (listed,) = (await client.get(f"{ROOT}/predictions", headers=KEY)).json()["results"]
        assert (await ended(client, listed))["status"] == status
