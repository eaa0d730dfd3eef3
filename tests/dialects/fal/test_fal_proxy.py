"""fal's server-side proxy: another address in a header, our own routes behind it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.types import Message, Scope

from imagemill.dialects.fal import proxy
from imagemill.dialects.fal.proxy import PATH, PREFIXES, VERBS, FalProxy

pytestmark = pytest.mark.anyio

TARGET = "x-fal-target-url"


@dataclass
class Seen:
    """What arrived at the routes behind the proxy."""

    method: str = ""
    path: str = ""
    raw_path: str = ""
    query: str = ""
    body: bytes = b""
    params: dict[str, Any] = field(default_factory=dict)
    headers: list[tuple[str, str]] = field(default_factory=list)


def make_app(seen: Seen, inner: APIRouter | None = None) -> FastAPI:
    """Routes that tell what they saw, and the proxy before them, in one application."""
    router = inner or APIRouter()

    async def look(request: Request, path: str) -> Response:
        seen.method, seen.path, seen.query = request.method, request.url.path, request.url.query
        seen.raw_path = request.scope["raw_path"].decode()
        seen.headers, seen.params = request.headers.items(), request.path_params
        seen.body = await request.body()
        headers = {"x-fal-request-id": "r1", "set-cookie": "a=b", "keep-alive": "timeout=5"}
        return JSONResponse({"ok": True}, 202, headers)

    for prefix in set(PREFIXES.values()):
        router.add_api_route(prefix + "/{path:path}", look, methods=["GET", "POST", "PUT"])
    router.include_router(proxy.routes(router))
    app = FastAPI()
    app.include_router(router)
    return app


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://mill:8000")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("https://fal.run/fal-ai/flux/dev", "/fal/run/fal-ai/flux/dev", ""),
        ("https://fal.run", "/fal/run/", ""),
        (
            "https://queue.fal.run/fal-ai/flux?fal_webhook=a%3Db",
            "/fal/queue/fal-ai/flux",
            "fal_webhook=a%3Db",
        ),
        ("https://rest.fal.ai/tokens/", "/fal/rest/tokens", ""),
        (
            "https://rest.alpha.fal.ai/storage/upload/initiate?storage_type=gcs",
            "/fal/rest/storage/upload/initiate",
            "storage_type=gcs",
        ),
        ("https://v3.fal.media/files/b/x.png", "/fal/cdn/files/b/x.png", ""),
        ("https://v3b.fal.media/files/b/x.png", "/fal/cdn/files/b/x.png", ""),
        ("https://fal.media/files/x.png#part", "/fal/cdn/files/x.png", ""),
        ("HTTPS://FAL.RUN/a/B", "/fal/run/a/B", ""),
    ],
)
@pytest.mark.parametrize("verb", VERBS)
async def test_each_host_is_a_path_of_ours(verb: str, target: str, path: str, query: str) -> None:
    seen = Seen()
    async with client_of(make_app(seen)) as client:
        reply = await client.request(verb, f"{PATH}?of=another", headers={TARGET: target})
    assert reply.status_code == 202
    assert (seen.method, seen.path, seen.query) == (verb, path, query)
    assert seen.params == {"path": path.split("/", 3)[3]}


async def test_a_path_is_decoded_once_and_kept_as_it_came() -> None:
    seen = Seen()
    async with client_of(make_app(seen)) as client:
        await client.get(PATH, headers={TARGET: "https://v3.fal.media/files/a%20b%252F%C3%A9"})
    assert seen.params == {"path": "files/a b%2Fé"}
    assert seen.raw_path == "/fal/cdn/files/a%20b%252F%C3%A9"


async def test_body_credential_and_fal_s_own_headers_arrive() -> None:
    seen = Seen()
    sent = {
        "authorization": "Key k1",
        "content-type": "application/json",
        "x-fal-queue-priority": "low",
        "x-fal-runner-hint": "h",
        "accept": "text/event-stream",
    }
    async with client_of(make_app(seen)) as client:
        target = {TARGET: "https://fal.run/a/b"}
        await client.post(PATH, headers=sent | target, content=b'{"prompt": "a cat"}')
    assert sent.items() <= dict(seen.headers).items()
    assert seen.body == b'{"prompt": "a cat"}'
    assert dict(seen.headers)["host"] == "mill:8000"  # for the addresses in our replies


async def test_what_is_between_neighbours_and_cookies_do_not_pass() -> None:
    seen = Seen()
    held = {
        "cookie": "session=1",
        "connection": "keep-alive, X-Hop",
        "x-hop": "1",
        "te": "trailers",
        "upgrade": "h2c",
        "proxy-authorization": "Basic x",
    }
    async with client_of(make_app(seen)) as client:
        reply = await client.get(PATH, headers=held | {TARGET: "https://fal.run/a/b"})
    assert not {*held, TARGET} & set(dict(seen.headers))
    assert reply.headers["x-fal-request-id"] == "r1"
    assert not {"set-cookie", "keep-alive"} & set(reply.headers)


@pytest.mark.parametrize(
    "target",
    [
        "http://fal.run/a/b",
        "wss://fal.run/a/b/realtime",
        "ftp://fal.run/a/b",
        "file:///etc/passwd",
        "//fal.run/a/b",
        "fal.run/a/b",
        "/fal/run/a/b",
        "",
        "https:///a",
        "https://",
        "https://fal.run:443/a/b",
        "https://fal.run:8443/a/b",
        "https://fal.run:/a/b",
        "https://user@fal.run/a/b",
        "https://@fal.run/a/b",
        "https://fal.run@evil.example/a/b",
        "https://fal.run\\@evil.example/a/b",
        "https://fal.run.evil.example/a/b",
        "https://evil.example/fal.run",
        "https://fal.run./a/b",
        "https://xfal.run/a/b",
        "https://a.fal.run/a/b",
        "https://api.fal.ai/v1/models",
        "https://fal.run%2f.evil.example/",
        "https://[fal.run]/a",
        "https://[::1]/a",
        "https://127.0.0.1:8000/fal/proxy",
        "https://mill:8000/fal/proxy",
        "https://fal.run /a",
        "https://fal\t.run/a",
        "https://fal.run/a\x7f",
        "https://fäl.run/a",
        "https://fal.run/../proxy",
        "https://fal.run/a/../../proxy",
        "https://fal.run/%2e%2E/proxy",
        "https://fal.run/..%2fproxy",
        "https://fal.run/./a",
    ],
)
async def test_all_else_is_refused(target: str) -> None:
    seen = Seen()
    async with client_of(make_app(seen)) as client:
        reply = await client.post(PATH, headers=[(TARGET.encode(), target.encode("latin-1"))])
    assert reply.status_code == 412
    assert reply.json()["detail"].startswith("x-fal-target-url ")
    assert seen == Seen()


@pytest.mark.parametrize("count", [0, 2])
async def test_there_must_be_one_target(count: int) -> None:
    seen = Seen()
    async with client_of(make_app(seen)) as client:
        reply = await client.get(PATH, headers=[(TARGET, "https://fal.run/a/b")] * count)
    assert reply.status_code == 400
    assert f"came {count} times" in reply.json()["detail"]
    assert seen == Seen()


@pytest.mark.parametrize("verb", ["DELETE", "PATCH", "OPTIONS", "BREW"])
async def test_other_verbs_are_refused(verb: str) -> None:
    async with client_of(make_app(Seen())) as client:
        reply = await client.request(verb, PATH, headers={TARGET: "https://fal.run/a/b"})
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, POST, PUT")
    message = f"{verb} is not passed on; use one of GET, POST, PUT"
    assert reply.json() == {"detail": message, "message": message}


@pytest.mark.parametrize("target", ["https://fal.run/fal/proxy", "https://queue.fal.run/proxy"])
async def test_the_proxy_is_not_led_to_itself(target: str) -> None:
    seen = Seen()
    async with client_of(make_app(seen)) as client:
        reply = await client.get(PATH, headers={TARGET: target})
    assert reply.status_code == 202
    assert seen.path.startswith(("/fal/run/fal/proxy", "/fal/queue/proxy"))
    assert TARGET not in dict(seen.headers)  # and if it were, there would be nothing to follow


@given(st.text(alphabet=".%2fFeE/\\@:?#;a[]", max_size=20).map(lambda rest: f"/{rest}"))
def test_whatever_the_target_the_path_stays_below_the_prefixes(rest: str) -> None:
    led: list[Scope] = []

    async def inner(scope: Scope, receive: Any, send: Any) -> None:
        led.append(scope)

    async def talk() -> None:
        headers = [(TARGET.encode(), f"https://fal.run{rest}".encode())]
        scope = {"type": "http", "method": "GET", "path": PATH, "headers": headers}
        await FalProxy(inner)(scope, _nothing, _nowhere)

    asyncio.run(talk())
    for scope in led:
        assert scope["path"].startswith("/fal/run/")
        assert not {".", ".."} & set(scope["path"].split("/"))


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


async def _nowhere(message: Message) -> None:
    return None


async def test_a_refusal_behind_the_proxy_is_told_in_json() -> None:
    router = APIRouter()

    async def refuse() -> None:
        raise HTTPException(409, "the files are at odds", {"retry-after": "3"})

    router.add_api_route("/fal/run/a/odd", refuse, methods=["GET"])
    async with client_of(make_app(Seen(), router)) as client:
        reply = await client.get(PATH, headers={TARGET: "https://fal.run/a/odd"})
    assert (reply.status_code, reply.headers["retry-after"]) == (409, "3")
    assert reply.json() == {"detail": "the files are at odds"}


async def test_a_path_that_nobody_has_is_told_in_json() -> None:
    app, router = FastAPI(), APIRouter()
    router.include_router(proxy.routes(router))
    app.include_router(router)
    async with client_of(app) as client:
        reply = await client.get(PATH, headers={TARGET: "https://fal.run/a/b"})
    assert (reply.status_code, reply.json()) == (
        404,
        {"detail": "Not Found", "message": "Not Found"},
    )


async def test_an_address_below_a_root_path_is_found() -> None:
    seen = Seen()
    transport = httpx.ASGITransport(make_app(seen), root_path="/mill")
    async with httpx.AsyncClient(transport=transport, base_url="http://mill") as client:
        reply = await client.get(f"/mill{PATH}", headers={TARGET: "https://fal.run/a/b"})
    assert (reply.status_code, seen.path) == (202, "/mill/fal/run/a/b")


def make_scope(app: FastAPI, verb: str, target: str) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": verb,
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(TARGET.encode(), target.encode())],
        "server": ("mill", 8000),
        "client": ("127.0.0.1", 1),
    }


async def test_events_pass_one_by_one_as_they_come() -> None:
    """Each event is sent only after the one before it has reached the caller."""
    router, arrived = APIRouter(), asyncio.Event()

    async def events() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"
            await arrived.wait()
            arrived.clear()

    async def stream() -> Response:
        return StreamingResponse(events(), media_type="text/event-stream")

    router.add_api_route("/fal/run/a/b/stream", stream, methods=["POST"])
    app, got = make_app(Seen(), router), list[Message]()

    async def receive() -> Message:
        if not got:
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        got.append(message)
        if message.get("body"):
            arrived.set()

    async with asyncio.timeout(30):
        await app(make_scope(app, "POST", "https://fal.run/a/b/stream"), receive, send)
    assert got[0]["status"] == 200
    assert (b"content-type", b"text/event-stream; charset=utf-8") in got[0]["headers"]
    assert bodies(got) == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]


async def test_an_upload_passes_piece_by_piece() -> None:
    """Each piece is sent only after the one before it was read behind the proxy."""
    router, read, pieces = APIRouter(), asyncio.Event(), list[bytes]()

    async def take(request: Request) -> Response:
        async for piece in request.stream():
            pieces.append(piece)
            read.set()
        return Response(status_code=204)

    router.add_api_route("/fal/cdn/up", take, methods=["PUT"])
    app, got, left = make_app(Seen(), router), list[Message](), [b"three", b"two", b"one"]

    async def receive() -> Message:
        if len(left) < 3:
            await read.wait()
            read.clear()
        return {"type": "http.request", "body": left.pop(), "more_body": bool(left)}

    async def send(message: Message) -> None:
        got.append(message)

    async with asyncio.timeout(30):
        await app(make_scope(app, "PUT", "https://v3.fal.media/up"), receive, send)
    assert got[0]["status"] == 204
    assert pieces[:3] == [b"one", b"two", b"three"]


async def test_a_caller_who_hangs_up_is_noticed_behind_the_proxy() -> None:
    router, left = APIRouter(), asyncio.Event()

    async def wait(request: Request) -> Response:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left.set()
        return Response()

    router.add_api_route("/fal/run/a/b", wait, methods=["GET"])
    app = make_app(Seen(), router)
    await app(make_scope(app, "GET", "https://fal.run/a/b"), _nothing, _nowhere)
    assert left.is_set()


def bodies(messages: Iterable[Message]) -> list[bytes]:
    return [message["body"] for message in messages if message.get("body")]
