"""Who may call: by which name, from which web page. Over every route there is, so that a new one
cannot be forgotten.
"""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from fastapi.routing import iter_route_contexts
from starlette.types import Message

from imagemill.admission import EXPOSED, OPEN, SHOWN, Names
from imagemill.app import create_app
from imagemill.errors import Fault
from imagemill.http import replies
from imagemill.settings import Settings, load
from tests.databases import place_database
from tests.engines import PlainEngine
from tests.painting_calls import CALLS
from tests.realtime_harness import serving as listening
from tests.replies import RECORD

pytestmark = pytest.mark.anyio

PAGE = "https://evil.example"
# What browsers show of every reply, and what is for them alone.
UNEXPOSED = {
    "cache-control", "content-length", "content-type", "last-modified", "vary", "date",
    "access-control-allow-origin", "access-control-expose-headers", "x-accel-buffering",
    "content-security-policy", "x-content-type-options",
}  # fmt: skip
REBOUND = "evil.example:8000"
SIMPLE = {"content-type": "text/plain;charset=UTF-8"}  # a form's, which no browser asks about
BODY = '{"inputs": "a cat"}'
Route = tuple[str, str]  # verb and path


@asynccontextmanager
async def open_server(
    folder: Path, engine: PlainEngine | None = None, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A server as it is by default, called by its address."""
    place_database(folder)
    app = create_app(Settings(data_dir=folder, **settings), engine or PlainEngine())
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client,
    ):
        yield client


def all_routes(folder: Path) -> list[Route]:
    app = create_app(Settings(data_dir=folder), PlainEngine())
    found = []
    for route in iter_route_contexts(app.routes):
        path = re.sub(r"{\w+(:\w+)?}", "1", str(route.path))
        found += [(verb, path) for verb in sorted(route.methods or {"GET", "POST"})]
    assert {"/", "/fal/proxy", "/docs", "/replicate/v1/files/1"} <= {path for _, path in found}
    return found


def is_open(route: Route) -> bool:
    verb, path = route
    return path in OPEN or (verb in ("GET", "HEAD") and path.startswith(SHOWN))


@pytest.mark.parametrize("marks", [{"origin": PAGE}, {"sec-fetch-site": "cross-site"}])
@pytest.mark.parametrize("credential", [{}, {"authorization": "Bearer invented"}])
async def test_no_route_is_for_pages_of_another_origin(
    tmp_path: Path, marks: dict[str, str], credential: dict[str, str]
) -> None:
    """There are no accounts, so that a credential is nothing that a page could not invent."""
    engine, headers = PlainEngine(), SIMPLE | marks | credential
    async with open_server(tmp_path, engine) as client:
        for verb, path in all_routes(tmp_path):
            reply = await client.request(verb, path, content=BODY, headers=headers)
            refused = reply.status_code == 403 and "the setting origins" in reply.text
            assert refused or verb == "HEAD" or is_open((verb, path)), (verb, path)
            shown = reply.headers.get("access-control-allow-origin")
            assert shown is None or is_open((verb, path)), (verb, path)
    assert engine.submitted == []


@pytest.mark.parametrize("headers", [{}, {"origin": f"http://{REBOUND}"}])
async def test_no_route_is_for_who_was_led_here_by_another_name(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    engine = PlainEngine()
    async with open_server(tmp_path, engine) as client:
        for verb, path in all_routes(tmp_path):
            sent = SIMPLE | headers | {"host": REBOUND}
            reply = await client.request(verb, path, content=BODY, headers=sent)
            assert (reply.status_code == 421) is (path not in OPEN), (verb, path)
    assert engine.submitted == []


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
async def test_what_is_no_host_is_told_on_every_route(tmp_path: Path, bound: str) -> None:
    async with open_server(tmp_path, host=bound) as client:
        for verb, path in all_routes(tmp_path):
            for host in ("a b", "[::1", "a/b"):
                reply = await client.request(verb, path, content=BODY, headers={"host": host})
                assert reply.status_code == 400, (verb, path, reply.text)
                assert verb == "HEAD" or f"the header Host is {host!r}" in reply.text
            reply = await client.request(verb, path, content=b"{", headers={"host": ""})
            assert reply.status_code < 500, (verb, path, reply.text)
        twice = await client.get("/health", headers=[("host", "a"), ("host", "b")])
    assert (twice.status_code, "more than once" in twice.text) == (400, True)


async def test_every_route_is_for_programs(tmp_path: Path) -> None:
    """Node's fetch tells one of a browser's marks; the others tell none."""
    async with open_server(tmp_path) as client:
        for verb, path in all_routes(tmp_path):
            for marks in ({}, {"sec-fetch-mode": "cors", "user-agent": "node"}):
                reply = await client.request(verb, path, content=b"{", headers=marks)
                assert reply.status_code not in (403, 421), (verb, path)


async def test_a_page_is_told_why_and_what_the_operator_can_do(tmp_path: Path) -> None:
    async with open_server(tmp_path) as client:
        foreign = await client.post("/", content=BODY, headers=SIMPLE | {"origin": PAGE})
        rebound = await client.post("/", content=BODY, headers={"host": REBOUND})
    told = f"pages of '{PAGE}' may not call this server; its operator can list their origin in"
    assert foreign.json() == {"error": f"{told} the setting origins"}
    told = f"this server is not known as '{REBOUND}'; call it by an IP address or as localhost, or"
    assert rebound.json()["error"] == f"{told} have its operator add the name to the setting hosts"
    assert foreign.headers["x-request-id"]


@pytest.mark.parametrize(
    "marks",
    [
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
async def test_a_page_of_the_server_itself_may_call(tmp_path: Path, marks: dict[str, str]) -> None:
    async with open_server(tmp_path) as client:
        assert (await client.post("/", content=BODY, headers=marks)).status_code == 200


@pytest.mark.parametrize(
    "marks",
    [
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "http://localhost:8000"},
        {"origin": "http://127.0.0.1:8000.evil.example"},
        {"origin": "http://127.0.0.1"},
        {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:3000"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
    ],
)
async def test_what_is_nearly_the_same_origin_is_another(
    tmp_path: Path, marks: dict[str, str]
) -> None:
    async with open_server(tmp_path) as client:
        for verb, path in (("POST", "/"), ("GET", "/sdapi/v1/progress")):
            reply = await client.request(verb, path, content=BODY, headers=marks)
            assert reply.status_code == 403


@pytest.mark.parametrize("verb", ["GET", "POST"])
async def test_a_link_may_be_followed_and_a_form_may_not_be_sent(tmp_path: Path, verb: str) -> None:
    visit = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    async with open_server(tmp_path) as client:
        headers = visit | {"sec-fetch-dest": "document"}
        reply = await client.request(verb, "/docs", headers=headers)
        framed = await client.request(verb, "/docs", headers=visit | {"sec-fetch-dest": "iframe"})
    assert (reply.status_code == 200) is (verb == "GET")
    assert framed.status_code == 403


@pytest.mark.parametrize("origins", [[PAGE, "http://localhost:3000"], ["*"]])
async def test_a_page_that_the_operator_lists_may_call_and_read(
    tmp_path: Path, origins: list[str]
) -> None:
    async with open_server(tmp_path, origins=origins) as client:
        reply = await client.post("/", content=BODY, headers=SIMPLE | {"origin": PAGE})
        asked = await client.options(
            "/fal/queue/fal-ai/flux/dev",
            headers={
                "origin": PAGE,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,x-fal-runner-hint",
                "access-control-request-private-network": "true",
            },
        )
        other = await client.post("/", content=BODY, headers={"origin": f"{PAGE}:1"})
    assert reply.status_code == asked.status_code == 200
    for each in (reply, asked):
        assert each.headers["access-control-allow-origin"] in (PAGE, "*")
    exposed = {*reply.headers["access-control-expose-headers"].split(", ")}
    assert {*replies.HEADERS, replies.PAGE} <= exposed
    assert asked.headers["access-control-allow-headers"] == "authorization,x-fal-runner-hint"
    assert asked.headers["access-control-allow-private-network"] == "true"
    assert (other.status_code == 200) is (origins == ["*"])


@pytest.mark.parametrize(
    ("listed", "origin", "may"),
    [
        ("http://localhost:*", "http://localhost:5173", True),
        ("http://localhost:*", "http://localhost", True),
        ("http://localhost:*", "http://localhost.evil.example:80", False),
        ("https://*.example.com", "https://a.b.example.com", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "https://evilexample.com", False),
        ("https://*.example.com", "http://a.example.com", False),
        ("chrome-extension://*", "chrome-extension://abcdefghijklmnop", True),
        ("chrome-extension://*", "moz-extension://abcdefghijklmnop", False),
        ("chrome-extension://*", "https://chrome-extension", False),
        ("chrome-extension://abc", "chrome-extension://abcd", False),
        ("null", "null", True),
        ("http://[::1]:3000", "http://[::1]:3000", True),
        ("http://a.b", "http://axb", False),
    ],
)
async def test_a_star_in_an_origin_stands_for_names_ports_or_extensions(
    tmp_path: Path, listed: str, origin: str, may: bool
) -> None:
    async with open_server(tmp_path, origins=[listed]) as client:
        reply = await client.post("/", content=BODY, headers=SIMPLE | {"origin": origin})
    assert (reply.status_code == 200) is may
    assert (reply.headers.get("access-control-allow-origin") == origin) is may


async def test_where_every_page_may_call_a_browser_may_hide_which_it_is(tmp_path: Path) -> None:
    async with open_server(tmp_path, origins=["*"]) as client:
        marks = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "image"}
        assert (await client.get("/sdapi/v1/progress", headers=marks)).status_code == 200


async def test_only_fal_s_storage_answered_a_preflight(tmp_path: Path) -> None:
    """Every API does for a page that is listed, with all that its clients send and read."""
    asked = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang,prefer",
        "access-control-request-private-network": "true",
    }
    async with open_server(tmp_path, PlainEngine(), origins=[PAGE]) as client:
        for name, call in CALLS.items():
            told = (await client.options(call.path, headers=asked)).headers
            assert told["access-control-allow-origin"] == PAGE, name
            assert told["access-control-allow-headers"] == asked["access-control-request-headers"]
            assert {"GET", "POST", "PUT", "DELETE"} <= {
                *told["access-control-allow-methods"].split(", ")
            }
            assert int(told["access-control-max-age"]) >= 600
            assert told["access-control-allow-private-network"] == "true"
            headers = {"origin": PAGE, "prefer": "wait", "authorization": call.credential}
            for body in (call.body, {}):
                told = (await client.post(call.path, json=body, headers=headers)).headers
                assert told["access-control-allow-origin"] == PAGE, name
                exposed = {*told["access-control-expose-headers"].split(", ")}
                assert {*told} - exposed <= UNEXPOSED, name


async def test_a_refused_preflight_says_which_setting_allows_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    asked = {"origin": PAGE, "access-control-request-method": "POST"}
    async with open_server(tmp_path) as client:
        for call in CALLS.values():
            caplog.clear()
            reply = await client.options(call.path, headers=asked)
            assert (reply.status_code, "setting origins" in reply.text) == (403, True)
            assert "access-control-allow-origin" not in reply.headers
            assert f"pages of '{PAGE}' may not call" in caplog.text
            assert "setting origins" in caplog.text


def test_every_header_of_a_reply_may_be_read_by_a_page() -> None:
    kept = [json.loads(line)["headers"] for line in RECORD.read_text("utf-8").splitlines()]
    names = {name for headers in kept for name, _ in headers}
    assert names - {*EXPOSED} <= UNEXPOSED


async def test_a_file_may_be_shown_and_read_by_any_page(tmp_path: Path) -> None:
    async with open_server(tmp_path) as client:
        body = {"prompt": "a cat", "image_size": {"width": 64, "height": 64}}
        [image] = (await client.post("/fal/run/fal-ai/flux/dev", json=body)).json()["images"]
        for url in (image["url"], image["url"].replace("/fal/cdn/", "/")):
            read = await client.get(url, headers={"origin": PAGE})
            assert (read.status_code, read.headers["access-control-allow-origin"]) == (200, "*")
            marks = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "image"}
            assert (await client.get(url, headers=marks)).status_code == 200
            for verb, status in (("GET", 200), ("PUT", 403)):
                asked = {"origin": PAGE, "access-control-request-method": verb}
                assert (await client.options(url, headers=asked)).status_code == status


async def test_head_was_405_but_for_files(tmp_path: Path) -> None:
    """Load balancers ask so after the health; what GET answers is told without a body."""
    async with open_server(tmp_path, PlainEngine()) as client:
        for verb, path in all_routes(tmp_path):
            if verb != "GET":
                continue
            told, whole = await client.head(path), await client.get(path)
            assert (told.status_code, told.content) == (whole.status_code, b""), path
            assert {*told.headers} == {*whole.headers}, path
        for path in ("/health", "/v1/models", "/sdapi/v1/options", "/metrics", "/docs"):
            assert (await client.head(path)).status_code == 200, path
        other = await client.head("/sdapi/v1/txt2img")
        refused = await client.patch("/health")
    assert (other.status_code, other.headers["allow"]) == (405, "POST")
    assert refused.headers["allow"] == "GET, HEAD"


async def test_the_health_is_for_whoever_asks(tmp_path: Path) -> None:
    async with open_server(tmp_path, hosts=["images.example.com"]) as client:
        for headers in ({"host": "10.1.2.3.nip.example"}, {"host": ""}, {"origin": PAGE}):
            assert (await client.get("/health", headers=headers)).status_code == 200


LOCAL = ["localhost", "LOCALHOST:8000", "127.0.0.1", "[::1]:8000", "192.168.1.5:8000", "fal.run"]
NEARBY = ["gpu", "gpu:8000", "gpu.local", "gpu.lan", "mill.internal", "a.home.arpa", "a.localhost"]
ELSEWHERE = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.local.com"]
BROKEN = ["a b", "a/b", "[::1", "a@localhost", "", ":8000", "localhost:8000:1", "[fe80::1%lo]"]


@pytest.mark.parametrize("bound", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_on_loopback_the_names_of_this_machine_are_all(bound: str) -> None:
    names = Names(bound, own="box")
    assert all(names.admit(name, by_page) for name in (*LOCAL, "box") for by_page in (True, False))
    for name in (*NEARBY, *ELSEWHERE, *BROKEN):
        assert not names.admit(name, True)
        assert not names.admit(name, False)


@pytest.mark.parametrize("bound", ["0.0.0.0", "::", "203.0.113.5", "images.example.com"])
def test_elsewhere_programs_may_use_any_name_and_browsers_those_that_nobody_can_give(
    bound: str,
) -> None:
    names = Names(bound, own="box.example")
    for name in (*LOCAL, *NEARBY, "box.example", bound):
        assert names.admit(f"[{bound}]" if bound == "::" and name == bound else name, True)
    for name in (*ELSEWHERE, *BROKEN):
        assert not names.admit(name, True)
        assert names.admit(name, False)


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_the_operator_s_names_are_known_and_no_others(bound: str) -> None:
    names = Names(bound, ["images.example.com", "*.corp.example"], own="box")
    for name in ("images.example.com", "Images.Example.com.:443", "a.corp.example", *LOCAL):
        assert names.admit(name, True)
    for name in ("corp.example", "evilcorp.example", "x.images.example.com", *ELSEWHERE, "gpu"):
        assert not names.admit(name, False)
    assert Names(bound, ["*"]).admit("evil.example", True)


async def test_behind_a_proxy_the_name_that_it_was_asked_by_is_its_own(tmp_path: Path) -> None:
    headers = {"origin": "https://images.example.com", "x-forwarded-host": "images.example.com"}
    for behind_proxy in (True, False):
        async with open_server(tmp_path, behind_proxy=behind_proxy) as client:
            reply = await client.post("/", content=BODY, headers=headers)
            assert (reply.status_code == 200) is behind_proxy


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({}, True),
        ({"origin": "http://127.0.0.1:{port}"}, True),
        ({"origin": PAGE}, False),
        ({"origin": "null"}, False),
        ({"host": REBOUND}, False),
        ({"host": REBOUND, "origin": f"http://{REBOUND}"}, False),
    ],
)
async def test_no_socket_is_opened_by_a_page_of_another_origin(
    tmp_path: Path, headers: dict[str, str], good: bool
) -> None:
    place_database(tmp_path)
    app = create_app(Settings(data_dir=tmp_path), PlainEngine())
    async with listening(app) as port:
        url = f"ws://127.0.0.1:{port}/fal/run/fal-ai/flux/dev/realtime"
        sent = {name: value.format(port=port) for name, value in headers.items()}
        # The client writes a Host of its own, and ours behind it.
        opening = websockets.connect(url, additional_headers=sent, proxy=None)
        if good:
            async with opening as talk:
                assert "credential" in str(await talk.recv())
        else:
            with pytest.raises(websockets.InvalidStatus) as refused:
                await opening
            assert refused.value.response.status_code == 403


async def test_of_several_names_none_may_be_another_s(tmp_path: Path) -> None:
    app, sent = create_app(Settings(data_dir=tmp_path), PlainEngine()), list[Message]()

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"host", b"evil.example")]
    scope = {"type": "http", "method": "GET", "path": "/docs", "headers": headers}
    await app(scope | {"query_string": b""}, receive, send)
    assert sent[0]["status"] == 400


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("hosts", "http://a"),
        ("hosts", "a:80"),
        ("hosts", "a/b"),
        ("hosts", "a.*"),
        ("origins", "localhost:3000"),
        ("origins", "http://a/b"),
        ("origins", "http://a?b"),
    ],
)
def test_a_name_that_is_none_is_told(name: str, wrong: str) -> None:
    given: dict[str, Any] = {name: [wrong]}
    with pytest.raises(Fault, match=rf"{name}.*give"):
        load(**given)
