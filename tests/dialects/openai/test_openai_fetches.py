"""The dialect openai: images that edits name by an address, fetched for who still listens."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagemill.app import create_app
from imagemill.jobs.input_files import FETCHES
from imagemill.settings import Settings
from tests.conftest import Serving
from tests.dialects.openai.test_openai_edits import EDITS, error, png
from tests.dialects.openai.test_openai_streams import Caller
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

NOWHERE = "http://10.0.0.1/x.png"  # which is refused as soon as anybody looks


class Site:
    """Lets each caller wait for its picture until `answered` is set, and counts who waits."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.waiting = self.most = self.calls = 0
        self._changed = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await self._count(1)
        gone = asyncio.create_task(reader.read())
        answered = asyncio.create_task(self.answered.wait())
        await asyncio.wait((gone, answered), return_when=asyncio.FIRST_COMPLETED)
        await self._count(-1)
        if answered.done():
            content = png()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(content) + content)
        writer.close()
        await asyncio.gather(gone, _cancelled(answered), return_exceptions=True)

    async def until(self, waiting: int) -> None:
        """Returns once so many wait."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.waiting == waiting)

    async def _count(self, change: int) -> None:
        async with self._changed:
            self.waiting += change
            self.calls += change > 0
            self.most = max(self.most, self.waiting)
            self._changed.notify_all()


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()


@asynccontextmanager
async def listening(site: Site, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """The address of a picture there."""
    server = await asyncio.start_server(site.serve, host, 0)
    async with server:
        yield f"http://{host}:{server.sockets[0].getsockname()[1]}/x.png"


def edit(url: str, **changes: Any) -> dict[str, Any]:
    body = {"prompt": "a cat", "images": [{"image_url": url}], "num_inference_steps": 1}
    return body | changes


@pytest.mark.parametrize("stream", [False, True])
async def test_nothing_is_fetched_for_who_has_hung_up(tmp_path: Path, stream: bool) -> None:
    engine, site = PlainEngine(), Site()
    app = create_app(Settings(data_dir=tmp_path, fetch_hosts=["127.0.0.1"]), engine)
    async with listening(site) as url, app.router.lifespan_context(app):
        body = edit(url, stream=stream)
        caller = Caller(app, httpx.Request("POST", f"http://localhost{EDITS}", json=body))
        await site.until(1)
        caller.gone.set()
        await caller.call
        await site.until(0)
    assert caller.sent[0]["status"] == 499
    assert engine.submitted == []


async def test_only_so_many_pictures_are_fetched_from_a_host_at_once(serving: Serving) -> None:
    share = FETCHES[-1]
    site, count = Site(), share + 2
    async with listening(site) as url, serving(PlainEngine()) as client:
        calls = [asyncio.create_task(client.post(EDITS, json=edit(url))) for _ in range(count)]
        await site.until(share)
        site.answered.set()
        assert {(await each).status_code for each in calls} == {200}
    assert (site.most, site.calls) == (share, count)


@pytest.mark.parametrize("path", [EDITS, "/sdapi/v1/img2img"])
async def test_who_waits_for_slow_hosts_holds_up_nobody_else(serving: Serving, path: str) -> None:
    def body(url: str) -> dict[str, Any]:
        return edit(url) if path == EDITS else {"prompt": "a cat", "steps": 1, "init_images": [url]}

    async def ask(client: httpx.AsyncClient, url: str, user: str) -> httpx.Response:
        credential = {EDITS: f"Bearer {user}"}.get(path, f"Basic {b64(user)}")
        return await client.post(path, json=body(url), headers={"authorization": credential})

    slow, honest, count = Site(), Site(), 3 * sum(FETCHES[:2])
    honest.answered.set()
    async with AsyncExitStack() as stack:
        urls = [
            await stack.enter_async_context(listening(slow, f"127.0.2.{number + 1}"))
            for number in range(count)
        ]
        url = await stack.enter_async_context(listening(honest, "127.0.3.1"))
        client = await stack.enter_async_context(serving(PlainEngine()))
        calls = [asyncio.create_task(ask(client, each, "greedy")) for each in urls]
        await slow.until(FETCHES[0] // 2)
        assert (await ask(client, url, "honest")).status_code == 200
        assert slow.calls < count
        slow.answered.set()
        assert {(await each).status_code for each in calls} == {200}


def b64(user: str) -> str:
    return base64.b64encode(f"{user}:password".encode()).decode()


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"strength": 2}, "strength"),
        ({"output_compression": 5}, "output_compression"),
        ({"images": [{"image_url": NOWHERE}] * 2, "mask": {"image_url": NOWHERE}}, "mask"),
    ],
)
async def test_what_is_out_of_range_is_told_before_anything_is_fetched(
    serving: Serving, changes: dict[str, Any], param: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(EDITS, json=edit(NOWHERE, **changes))
    assert error(reply)["param"] == param
