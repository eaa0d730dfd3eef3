"""Pages of other origins, names that are not the server's, callers who come through a proxy."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import websockets

from resilience.calls import QUEUE, Caller, caller
from resilience.conftest import Watching
from resilience.peers import hanging
from resilience.servers import Server, free_port
from resilience.test_peers import OVER

pytestmark = pytest.mark.anyio

EVIL = "https://evil.example"
PAGE = {"origin": EVIL, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
OPEN = ("/health",)
SHOWN = ("/files/", "/fal/cdn/files/")  # under names that nobody can guess
VERBS = ("get", "post", "put", "patch", "delete", "head")
# Where clients look at the root, which the schema does not list.
ROOT = (
    *("/v1/images/generations", "/v1/images/edits", "/v1/predictions", "/v1/models"),
    *("/api/v1/images/generation", "/fal-ai/fal-ai/flux/dev"),
)
REALTIME = "/fal/run/fal-ai/flux/dev/realtime"


async def routes(server: Server) -> list[tuple[str, str]]:
    """Verb and path of all that the server answers, but for what anybody may see."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        paths: dict[str, Any] = (await client.get("/openapi.json")).json()["paths"]
    found = [
        (verb.upper(), re.sub(r"{\w+}", "x", path))
        for path, verbs in paths.items()
        for verb in verbs
        if verb in VERBS and path not in OPEN and not path.startswith(SHOWN)
    ]
    return found + [("POST", path) for path in ROOT]


async def statuses(
    server: Server, asked: list[tuple[str, str]], headers: dict[str, str]
) -> list[int]:
    body = b'{"prompt": "a cat", "inputs": "a cat"}'
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        simple = headers | {"content-type": "text/plain"}
        return [
            (await client.request(verb, path, content=body, headers=simple)).status_code
            for verb, path in asked
        ]


async def socket_status(server: Server, headers: dict[str, str]) -> int:
    """Of a WebSocket that is refused."""
    url = server.url.replace("http", "ws") + REALTIME
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(url, additional_headers=headers, proxy=None)
    return refused.value.response.status_code


@pytest.mark.fault("A web page of another origin calls every route")
async def test_page(plain: Server, watched: Watching) -> None:
    asked = [*await routes(plain)]
    with watched(plain) as watch:
        told = await statuses(plain, asked, PAGE)
        assert set(told) == {403}, list(zip(asked, told, strict=True))
        assert await socket_status(plain, {"origin": EVIL}) == 403
        watch.happened = f"All {len(asked)} answered 403, and so did a WebSocket."


@pytest.mark.fault("A web page whose name is led to this machine (DNS rebinding) calls every route")
async def test_rebinding(plain: Server, watched: Watching) -> None:
    asked = await routes(plain)
    with watched(plain) as watch:
        told = await statuses(plain, asked, {"host": f"evil.example:{plain.port}"})
        assert set(told) == {421}, list(zip(asked, told, strict=True))
        assert await socket_status(plain, {"host": f"evil.example:{plain.port}"}) == 403
        watch.happened = f"All {len(asked)} answered 421, and a WebSocket was refused."


STRANGER = {"x-forwarded-for": "203.0.113.7"}


def naming(url: str) -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    """Jobs that would have the server call `url`: path, body and query."""
    cat = {"prompt": "a cat"}
    yield OVER, cat | {"image_url": url}, {}
    yield "/fal/queue/fal-ai/stable-diffusion-v35-large", cat | {"loras": [{"path": url}]}, {}
    yield QUEUE, cat, {"fal_webhook": url}


async def answers(someone: Caller, url: str) -> list[str]:
    """What a stranger is told of jobs that name `url`, without the URL itself."""
    told = list[str]()
    for path, body, params in naming(url):
        reply = await someone.client.post(path, json=body, params=params, headers=STRANGER)
        if reply.status_code == 200:
            reply = await someone.result(reply.json()["request_id"])
        assert 400 <= reply.status_code < 500, reply.text
        told.append(re.sub(r"127[\d.:]+", "", reply.text))
    return told


@pytest.mark.fault("A stranger behind a proxy names open and shut ports of this machine")
async def test_proxied(plain: Server, watched: Watching) -> None:
    async with hanging(1) as trap, caller(plain, "stranger") as someone:
        with watched(plain) as watch:
            of_open = await answers(someone, trap.urls[0])
            of_shut = await answers(someone, f"http://127.0.1.1:{free_port()}")
            assert of_open == of_shut
            assert trap.held == []
            watch.happened = (
                f"As pictures, LoRAs and webhooks: none was connected to, and all "
                f"{len(of_open)} answers were the same for both."
            )
