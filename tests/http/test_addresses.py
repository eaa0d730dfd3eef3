"""Addresses behind a proxy: the prefix, scheme and host that callers know, in all that is returned;
and slashes too many.
"""

import base64
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from imagemill.app import create_app, server_config
from imagemill.http.addresses import plain
from imagemill.settings import Settings, prefixed
from tests.engines import PlainEngine
from tests.painting_calls import CALLS
from tests.realtime_harness import APP
from tests.realtime_harness import serving as listening
from tests.slow_clients import connection
from tests.slow_clients import listening as served
from tests.test_admission import open_server

pytestmark = pytest.mark.anyio

BASE = "https://pics.example/mill"
PROXY = {
    "x-forwarded-proto": "https",
    "x-forwarded-host": "pics.example",
    "x-forwarded-prefix": "/mill",
}
SIZE = {"width": 64, "height": 64}
PROMPT = {"prompt": "a red cat"}
URLS = {"response_format": "url", "model": "a/b", "num_inference_steps": 1}
Asked = tuple[str, str, Any]  # verb, path and body
# What answers with addresses, at every API that does.
RETURNING: Mapping[str, Asked] = {
    "openai": ("POST", "/openai/v1/images/generations", PROMPT | SIZE | URLS),
    "shared": ("POST", "/v1/images/generations", PROMPT | {"size": "64x64"} | URLS),
    "together": (
        "POST",
        "/together/v1/images/generations",
        PROMPT | SIZE | {"model": "a/b", "steps": 1},
    ),
    "nebius": ("POST", "/nebius/v1/images/generations", PROMPT | SIZE | URLS),
    "fal": ("POST", "/fal/run/fal-ai/flux/dev", PROMPT | {"image_size": SIZE}),
    "fal's queue": ("POST", "/fal/queue/fal-ai/flux/dev", PROMPT | {"image_size": SIZE}),
    "fal's token": ("POST", "/fal/rest/storage/auth/token", {}),
    "fal's upload": ("POST", "/fal/rest/storage/upload/initiate", {"file_name": "a.png"}),
    "fal's parts": ("POST", "/fal/rest/storage/upload/initiate-multipart", {"file_name": "a.png"}),
    "fal's models": ("GET", "/fal/api/v1/models?limit=2&expand=openapi-3.0", None),
    "fal's OpenAPI": ("GET", "/fal/openapi.json?endpoint_id=fal-ai/flux/dev", None),
    "the router": ("POST", "/fal-ai/fal-ai/flux/dev", PROMPT | {"image_size": SIZE}),
    "the router's queue": (
        "POST",
        "/fal-ai/fal-ai/flux/dev?_subdomain=queue",
        PROMPT | {"image_size": SIZE},
    ),
    "replicate": (
        "POST",
        "/replicate/v1/models/black-forest-labs/flux-schnell/predictions",
        {"input": PROMPT},
    ),
    "replicate at the root": ("POST", "/v1/models/a/b/predictions", {"input": PROMPT}),
    "replicate's list": ("GET", "/replicate/v1/predictions", None),
    "replicate's model": ("GET", "/replicate/v1/models/black-forest-labs/flux-schnell", None),
    "replicate's models": ("GET", "/replicate/v1/models", None),
    "sdapi": ("POST", "/sdapi/v1/txt2img", PROMPT | SIZE | {"steps": 1, "save_images": True}),
}
KEY = {"authorization": "Bearer key", "prefer": "wait"}


def own_addresses(value: Any) -> Iterator[str]:
    """All addresses of a server in an answer, also within JSON as text."""
    for address in re.findall(r"https?://[^\s\"'\\]+", json.dumps(value)):
        if not re.match(
            r"https?://([\w.-]+\.)?(fal\.ai|schema\.org|github\.com|w3\.org|example\.com)/", address
        ):
            yield address


@asynccontextmanager
async def proxied(folder: Path, strips: bool, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A server behind a proxy that takes the prefix away, or does not."""
    before = "" if strips else "/mill"
    async with open_server(folder, PlainEngine(), **settings) as client:
        client.base_url = httpx.URL(f"http://127.0.0.1:8000{before}/")
        yield client


@pytest.mark.parametrize("strips", [True, False])
@pytest.mark.parametrize("told", ["by header", "by setting"])
async def test_a_prefix_was_lost_in_every_address(tmp_path: Path, strips: bool, told: str) -> None:
    headers = PROXY | KEY
    settings: dict[str, Any] = {"behind_proxy": True}
    if told == "by setting":
        settings["root_path"] = "mill/"
        del headers["x-forwarded-prefix"]
    async with proxied(tmp_path, strips, **settings) as client:
        for name, (verb, path, body) in RETURNING.items():
            sent = {k: v for k, v in headers.items() if name != "sdapi" or k != "authorization"}
            reply = await client.request(verb, path[1:], json=body, headers=sent)
            assert reply.status_code < 300, (name, reply.text)
            found = [*own_addresses(reply.json()), *own_addresses(reply.headers.get("location"))]
            assert found, name
            for address in found:
                assert address.startswith(f"{BASE}/"), (name, address)


@pytest.mark.parametrize("strips", [True, False])
async def test_an_address_below_a_prefix_leads_to_what_it_is_of(
    tmp_path: Path, strips: bool
) -> None:
    async with proxied(tmp_path, strips, behind_proxy=True) as client:

        async def get(address: str) -> httpx.Response:
            assert address.startswith(f"{BASE}/")
            return await client.get(address.removeprefix(f"{BASE}/"), headers=PROXY | KEY)

        for name in ("openai", "together", "nebius", "fal", "the router"):
            _, path, body = RETURNING[name]
            reply = await client.post(path[1:], json=body, headers=PROXY | KEY)
            [address, *_] = own_addresses(reply.json())
            assert (await get(address)).headers["content-type"].startswith("image/"), name
            given = {**RETURNING["replicate"][2]["input"], "image": address}
            used = await client.post(
                "replicate/v1/models/a/b/predictions", json={"input": given}, headers=PROXY | KEY
            )
            assert used.json()["status"] == "succeeded", "a file of ours is read without HTTP"
        for name in ("replicate", "fal's queue", "the router's queue"):
            _, path, body = RETURNING[name]
            told = (await client.post(path[1:], json=body, headers=PROXY | KEY)).json()
            address = told["urls"]["get"] if "urls" in told else told["status_url"]
            assert (await get(address)).status_code in (200, 202), name


async def test_a_file_that_was_uploaded_below_a_prefix_is_known_as_an_input(
    tmp_path: Path,
) -> None:
    async with proxied(tmp_path, True, behind_proxy=True) as client:
        image = (await client.post("", json={"inputs": "x", **SIZE})).json()["image"]
        files = {"content": ("a.png", base64.b64decode(image), "image/png")}
        told = (await client.post("v1/files", files=files, headers=PROXY | KEY)).json()
        assert told["urls"]["get"].startswith(f"{BASE}/replicate/v1/files/")
        body = {"input": PROMPT | {"image": told["urls"]["get"]}}
        reply = await client.post("v1/models/a/b/predictions", json=body, headers=PROXY | KEY)
        assert reply.json()["status"] == "succeeded", reply.text


async def test_the_documents_are_found_below_a_prefix(tmp_path: Path) -> None:
    async with proxied(tmp_path, True, root_path="/mill") as client:
        assert "/mill/openapi.json" in (await client.get("docs")).text
        whole = (await client.get("openapi.json")).json()
        unprefixed = await client.get("http://127.0.0.1:8000/mill/docs/")
    assert whole["servers"][0]["url"] == "/mill"
    assert unprefixed.status_code == 200


@pytest.mark.parametrize("marks", [PROXY, {"x-forwarded-proto": "https"}])
async def test_what_a_proxy_says_is_not_believed_of_strangers(
    tmp_path: Path, marks: dict[str, str]
) -> None:
    async with proxied(tmp_path, True) as client:
        for name, (verb, path, body) in RETURNING.items():
            reply = await client.request(verb, path[1:], json=body, headers=marks | KEY)
            for address in own_addresses(reply.json()):
                assert address.startswith("http://127.0.0.1:8000/"), (name, address)


async def test_the_scheme_was_believed_from_loopback_by_the_http_server(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    config = server_config(settings, create_app(settings, PlainEngine()))
    async with served(config) as port, connection(port) as caller:
        await caller.send(
            b"GET /fal/api/v1/models?limit=1 HTTP/1.1\r\nhost: localhost\r\n"
            b"x-forwarded-proto: https\r\nx-forwarded-for: 9.9.9.9\r\n\r\n"
        )
        _, body = await caller.reply()
    assert {each.partition("://")[0] for each in own_addresses(json.loads(body))} == {"http"}


async def test_callers_behind_a_proxy_are_told_apart_by_what_it_saw(tmp_path: Path) -> None:
    """The last address is the proxy's own word; callers may have written those before."""
    async with proxied(tmp_path, True, behind_proxy=True) as client:
        for address in ("9.9.9.9", "127.0.0.1, 9.9.9.9", "[2001:db8::1]:80", "9.9.9.9:1234"):
            reply = await client.post(
                "sdapi/v1/options",
                json={"sd_model_checkpoint": f"a/{address[-1]}"},
                headers={"x-forwarded-for": address},
            )
            assert reply.status_code == 200, reply.text
        kept = {
            address: (
                await client.get("sdapi/v1/options", headers={"x-forwarded-for": address})
            ).json()["sd_model_checkpoint"]
            for address in ("9.9.9.9", "2001:db8::1", "8.8.8.8")
        }
    assert "a/4" in kept["9.9.9.9"]
    assert "a/0" in kept["2001:db8::1"]
    assert "a/" not in kept["8.8.8.8"]


@pytest.mark.parametrize("prefix", ["/../x", "/a b", "mill?x", "https://a", "/mill#", "/."])
async def test_what_is_no_prefix_is_passed_over_in_a_header_and_refused_as_a_setting(
    tmp_path: Path, prefix: str
) -> None:
    with pytest.raises(ValueError, match="give the beginning of a path"):
        prefixed(prefix)
    async with proxied(tmp_path, True, behind_proxy=True) as client:
        headers = PROXY | {"x-forwarded-prefix": prefix}
        reply = await client.get("fal/api/v1/models?limit=1", headers=headers)
    assert all(each.startswith("https://pics.example/fal/") for each in own_addresses(reply.json()))


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("", ""), ("/", ""), ("mill", "/mill"), ("//a//b/", "/a/b"), (" /v1.2/~x ", "/v1.2/~x")],
)
def test_a_prefix_has_one_spelling(text: str, prefix: str) -> None:
    assert prefixed(text) == prefix


async def test_each_of_several_proxies_takes_away_its_own_prefix(tmp_path: Path) -> None:
    async with proxied(tmp_path, True, behind_proxy=True) as client:
        headers = PROXY | {"x-forwarded-prefix": "/outer, /inner"}
        reply = await client.get("fal/api/v1/models?limit=1", headers=headers)
    for address in own_addresses(reply.json()):
        assert address.startswith("https://pics.example/outer/inner/fal/")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/v1/", "/v1"),
        ("//v1///images//", "/v1/images"),
        ("/a/b", "/a/b"),
        ("/a//b.png", "/a/b.png"),
    ],
)
def test_slashes_that_say_nothing_are_none(path: str, expected: str) -> None:
    assert plain(path) == expected


async def test_doubled_and_trailing_slashes_were_404(tmp_path: Path) -> None:
    """Clients join a base URL that ends in a slash with a path that begins with one."""
    async with open_server(tmp_path, PlainEngine()) as client:

        async def post(path: str, body: Any) -> int:
            reply = await client.post(f"http://127.0.0.1:8000{path}", json=body)
            return reply.status_code

        for name, call in CALLS.items():
            for path in (f"/{call.path}", f"{call.path}/", call.path.replace("/", "//")):
                assert await post(path, call.body) < 300, (name, path)
        for path in ("/health/", "//health", "/v1//models", "/sdapi/v1/options/", "/docs/"):
            assert (await client.get(f"http://127.0.0.1:8000{path}")).status_code == 200, path
        target = {"x-fal-target-url": "https://fal.run//fal-ai//flux/dev/"}
        reply = await client.post("/fal/proxy/", json=CALLS["fal"].body, headers=target)
        assert reply.status_code == 200, reply.text
        gone = await client.get("/files/")
    assert (gone.status_code, "location" in gone.headers) == (404, False)


async def test_a_page_of_the_proxied_name_is_of_this_server_below_a_prefix(tmp_path: Path) -> None:
    async with proxied(tmp_path, False, behind_proxy=True) as client:
        headers = PROXY | {"origin": "https://pics.example"}
        body = CALLS["flat"].body
        own = await client.post(CALLS["flat"].path[1:], json=body, headers=headers)
        del headers["x-forwarded-host"]
        other = await client.post(CALLS["flat"].path[1:], json=body, headers=headers)
    assert (own.status_code, other.status_code) == (200, 403)


async def test_a_socket_is_found_below_a_prefix(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path, root_path="/mill"), PlainEngine())
    async with app.router.lifespan_context(app), listening(app) as port:
        for path in (f"/mill/fal/run/{APP}/realtime", f"//fal/run/{APP}/realtime/"):
            url = f"ws://127.0.0.1:{port}{path}"
            async with websockets.connect(url, proxy=None) as socket:
                assert "no credential" in str(await socket.recv())
