"""Who is on this machine, so that the server fetches from its other servers for them alone."""

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from PIL import Image

from imagemill.app import create_app
from imagemill.engine.events import State
from imagemill.settings import Settings
from tests.databases import place_database
from tests.engines import PlainEngine
from tests.realtime_harness import ask
from tests.realtime_harness import serving as listening
from tests.sites import make_answer, open_site
from tests.test_admission import PAGE, open_server

pytestmark = pytest.mark.anyio

REMIX = {"prompt": "a cat", "rendering_speed": "TURBO", "seed": 1}
SMALL = {"width": 64, "height": 64, "steps": 1}


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "png")
    return file.getvalue()


def every_call(url: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """One of each dialect that takes the address of a picture: a path and a body."""
    edit = {"prompt": "a cat", "images": [{"image_url": url}], "num_inference_steps": 1}
    flux = {"prompt": "a cat", "image": url, "num_inference_steps": 1, "megapixels": "0.25"}
    kontext = {"model": "black-forest-labs/FLUX.1-kontext-dev", "prompt": "a cat", "steps": 1}
    parameters = {"prompt": "a cat", "num_inference_steps": 1}
    return {
        "fal": ("/fal/run/fal-ai/ideogram/v3/remix", REMIX | {"image_url": url}),
        "hf-inference": ("/models/a/b", {"inputs": url, "parameters": parameters}),
        "openai": ("/openai/v1/images/edits", edit),
        "replicate": (
            "/replicate/v1/models/black-forest-labs/flux-dev/predictions",
            {"input": flux},
        ),
        "together": ("/together/v1/images/generations", kontext | {"image_url": url}),
        "sdapi": ("/sdapi/v1/img2img", SMALL | {"prompt": "a cat", "init_images": [url]}),
    }


STRANGERS: dict[str, Mapping[str, str]] = {
    "by nginx": {"x-real-ip": "203.0.113.9"},
    "by Caddy": {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"},
    "who says to be local": {"x-forwarded-for": "127.0.0.1"},
    "by the standard": {"forwarded": "for=203.0.113.9"},
    "by Varnish": {"via": "1.1 varnish"},
    "by Cloudflare": {"cf-connecting-ip": "203.0.113.9"},
    "by the name of the machine": {"host": "images.example.com"},
    "from a page that is listed": {"origin": PAGE},
}


async def test_a_program_on_this_machine_may_name_its_other_servers(tmp_path: Path) -> None:
    picture = make_answer(body=png(), content_type="image/png")
    async with open_site(picture) as site, open_server(tmp_path) as client:
        calls = every_call(site.url("/x.png")).values()
        for path, body in calls:
            reply = await client.post(path, json=body, headers={"prefer": "wait"})
            assert reply.status_code < 300, reply.text
    assert len(site.heard) == len(calls)


@pytest.mark.parametrize("who", STRANGERS)
async def test_a_stranger_reaches_none_and_cannot_tell_which_there_are(
    tmp_path: Path, who: str
) -> None:
    picture = make_answer(body=png(), content_type="image/png")
    async with open_site(picture) as shut:
        pass
    settings: dict[str, Any] = {"hosts": ["images.example.com"], "origins": [PAGE]}
    headers = {"prefer": "wait", **STRANGERS[who]}
    async with open_site(picture) as site, open_server(tmp_path, **settings) as client:
        for name in every_call(""):
            told = set()
            for each in (site, shut):
                path, body = every_call(each.url("/x.png"))[name]
                reply = await client.post(path, json=body, headers=headers)
                told.add((reply.status_code, failure(reply)))
            [(_, words)] = told
            assert "could not be fetched" in words, name
    assert site.heard == []


def failure(reply: httpx.Response) -> str:
    """The words of a refusal, wherever a dialect has them."""
    told = reply.json()
    return str(told["error"] if reply.status_code < 300 else told.get("error") or told["detail"])


@pytest.mark.parametrize(
    ("settings", "client"),
    [
        ({"host": "0.0.0.0"}, ("127.0.0.1", 1)),
        ({"behind_proxy": True}, ("127.0.0.1", 1)),
        ({}, ("203.0.113.9", 1)),
        ({}, ("10.0.0.1", 1)),
        ({}, ("::ffff:203.0.113.9", 1)),
        ({}, ("testclient", 1)),
    ],
)
async def test_a_server_for_others_and_a_peer_elsewhere_are_strange(
    tmp_path: Path, settings: dict[str, Any], client: tuple[str, int]
) -> None:
    assert await status_of(tmp_path, settings, client) == 422


@pytest.mark.parametrize("client", [("127.0.0.1", 1), ("::1", 1), ("::ffff:127.0.0.1", 1)])
async def test_every_address_of_this_machine_is_of_it(
    tmp_path: Path, client: tuple[str, int]
) -> None:
    assert await status_of(tmp_path, {}, client) == 200


async def test_who_speaks_as_old_proxies_do_is_strange(tmp_path: Path) -> None:
    """nginx's default tells nothing of whom it speaks for, but that it speaks HTTP/1.0."""
    assert await status_of(tmp_path, {}, ("127.0.0.1", 1), version="1.0") == 422


async def status_of(
    folder: Path, settings: dict[str, Any], client: tuple[str, int], version: str = "1.1"
) -> int:
    """The status of a call with a picture on this machine."""
    place_database(folder)
    app = create_app(Settings(data_dir=folder, **settings), PlainEngine())

    async def dialled(scope: Any, receive: Any, send: Any) -> None:
        await app(scope | {"http_version": version}, receive, send)

    transport = httpx.ASGITransport(dialled, client=client)
    picture = make_answer(body=png(), content_type="image/png")
    async with (
        open_site(picture) as site,
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as caller,
    ):
        path, body = every_call(site.url("/x.png"))["fal"]
        return (await caller.post(path, json=body)).status_code


async def test_what_a_job_may_reach_is_kept_with_it(tmp_path: Path) -> None:
    """A job is painted, and told of, by another process than the one that took it."""
    picture, heard = make_answer(body=png(), content_type="image/png"), asyncio.Event()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(make_answer())
        heard.set()

    async with open_site(picture) as site, open_site(hear) as hook:
        path, body = every_call(site.url("/x.png"))["fal"]
        url = f"{path.replace('/run/', '/queue/')}?fal_webhook={hook.url()}"
        async with open_server(tmp_path, PlainEngine(State.DEAD)) as client:
            near = await client.post(url, json=body)
            far = await client.post(path.replace("/run/", "/queue/"), json=body, headers=FORWARDED)
        assert site.heard == []
        async with open_server(tmp_path) as client:
            async with asyncio.timeout(30):
                await heard.wait()
            replies = [await ended(client, each.json()["response_url"]) for each in (near, far)]
    assert [reply.status_code for reply in replies] == [200, 422]
    assert len(site.heard) == 1


FORWARDED = {"x-forwarded-for": "203.0.113.9"}


async def ended(client: httpx.AsyncClient, url: str) -> httpx.Response:
    async with asyncio.timeout(30), client.stream("GET", f"{url}/status/stream") as events:
        async for _ in events.aiter_lines():
            pass
    return await client.get(url)


@pytest.mark.parametrize("headers", [{}, FORWARDED])
@pytest.mark.parametrize("event", ["completed", "start"])
async def test_only_who_is_on_this_machine_has_its_servers_told(
    tmp_path: Path, headers: dict[str, str], event: str
) -> None:
    asked = {"prompt": "a cat", "num_inference_steps": 1, "megapixels": "0.25"}
    path = "/replicate/v1/models/black-forest-labs/flux-dev/predictions"
    async with open_site(make_answer()) as site, open_server(tmp_path) as client:
        for url in (site.url(), "http://127.0.0.1:1/"):
            body = {"input": asked, "webhook": url, "webhook_events_filter": [event]}
            reply = await client.post(path, json=body, headers=headers)
            queued = await client.post(
                f"/fal/queue/fal-ai/flux/dev?fal_webhook={url}",
                json={"prompt": "a cat"},
                headers=headers,
            )
            if headers:
                for refused in (reply, queued):
                    told = "127.0.0.1 cannot be told of results; give a public address"
                    assert (refused.status_code, told in refused.text) == (422, True)
            else:
                assert (reply.status_code, queued.status_code) == (201, 200)
    assert not (headers and site.heard)


@pytest.mark.parametrize("headers", [{}, FORWARDED])
async def test_in_realtime_it_is_the_same(tmp_path: Path, headers: dict[str, str]) -> None:
    app = create_app(Settings(data_dir=tmp_path, shutdown_time=0), PlainEngine())
    picture, credential = make_answer(body=png()), {"authorization": "Key k1"}
    async with open_site(picture) as site, listening(app, lifespan="on") as port:
        url = f"ws://127.0.0.1:{port}/fal/run/fal-ai/ideogram/v3/remix/realtime"
        sent = credential | headers
        async with websockets.connect(url, additional_headers=sent, proxy=None) as talk:
            answer = await ask(talk, REMIX | {"image_url": site.url()})
    assert len(site.heard) == (0 if headers else 1)
    assert ("could not be fetched" in answer.get("reason", "")) is bool(headers)
