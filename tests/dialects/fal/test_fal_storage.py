"""fal's storage as its clients use it, and the files under `/fal/cdn`."""

import asyncio
import gc
import hashlib
import json
import logging
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

import fal_client
import httpx
import pytest
import requests
import uvicorn
from fastapi import FastAPI
from obstore.store import MemoryStore, ObjectStore
from starlette.datastructures import Headers

from imagemill.dialects.fal.lifecycle import lifecycle_of
from imagemill.dialects.fal.storage import routes
from imagemill.dialects.fal.upload_body import UploadLimits
from imagemill.files.objects import Objects, open_store
from imagemill.http.identity import caller_of
from imagemill.store import Database, at
from imagemill.store.files import FileTable, StoredFile

KEY = {"authorization": "Key id:secret"}
CALLER = hashlib.sha256(b"id:secret").hexdigest()[:32]
SMALL = UploadLimits(upload=1000, multipart=2500, silence=5.0)
CONTENT = bytes(range(256)) * 3

NOW = 1_800_000_000.0


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


class Site:
    """A server without a socket, and what stands behind it."""

    def __init__(self, app: FastAPI, objects: Objects, clock: Clock) -> None:
        self.objects, self.clock = objects, clock
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://server:8000")

    async def put(self, content: bytes = CONTENT, **facts: Any) -> StoredFile:
        return await self.objects.put(content, facts.pop("type", "image/png"), **facts)

    async def get(self, file: StoredFile, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.get(f"/fal/cdn/{file.key}", headers=named)

    async def stored(self, url: str) -> StoredFile:
        """The file that an address of ours stands for."""
        file = await self.objects.get(url.removeprefix("http://server:8000/fal/cdn/"))
        assert file is not None
        return file


@asynccontextmanager
async def site(
    folder: Path,
    store: ObjectStore | None = None,
    limits: UploadLimits = SMALL,
) -> AsyncIterator[Site]:
    database, clock = Database(at(folder)), Clock()
    await database.open()
    objects = Objects(store or MemoryStore(), FileTable(database), clock)
    app = FastAPI()
    app.include_router(routes(objects, limits))
    opened = Site(app, objects, clock)
    async with opened.client:
        yield opened
    await database.close()


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as opened:
        yield opened


@pytest.fixture(params=["folder", "memory"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    store = open_store(str(tmp_path / "objects")) if request.param == "folder" else None
    async with site(tmp_path, store) as opened:
        yield opened


def lifecycle(**facts: Any) -> dict[str, str]:
    return {"x-fal-object-lifecycle": json.dumps(facts)}


# Whose a file is, how long it is kept, and where.


def test_a_caller_is_a_digest_of_the_credential_alone() -> None:
    assert caller_of(Headers(KEY)) == CALLER
    assert caller_of(Headers({"authorization": " bearer  id:secret "})) == CALLER
    assert caller_of(Headers({})) == caller_of(Headers({"authorization": "Key "})) == ""


@pytest.mark.parametrize(
    ("value", "keep", "public"),
    [
        ("{}", None, True),
        ('{"expiration_duration_seconds": null}', None, True),
        ('{"expiration_duration_seconds": 3600}', 3600, True),
        ('{"expiration_duration_seconds": 0}', None, True),
        ('{"initial_acl": {"default": "allow"}}', None, True),
        ('{"initial_acl": {"default": "hide"}}', None, False),
        ('{"initial_acl": {"default": "forbid"}, "new": 1}', None, False),
        ('{"initial_acl": {"rules": [{"user": "u", "decision": "allow"}]}}', None, True),
    ],
)
def test_a_lifecycle_is_read(value: str, keep: float | None, public: bool) -> None:
    for name in ("X-Fal-Object-Lifecycle", "X-Fal-Object-Lifecycle-Preference"):
        assert lifecycle_of(Headers(KEY | {name: value})) == (keep, public)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1h",
        "[]",
        '{"expiration_duration_seconds": -1}',
        '{"expiration_duration_seconds": true}',
        '{"expiration_duration_seconds": "60"}',
        '{"expiration_duration_seconds": 1e999}',
        '{"initial_acl": {"default": "deny"}}',
    ],
)
def test_a_lifecycle_that_cannot_be_read_is_ignored_with_a_line_in_the_log(
    value: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    headers = Headers(KEY | {"x-fal-object-lifecycle": value})
    assert lifecycle_of(headers) == (None, True)
    assert "x-fal-object-lifecycle cannot be read" in caplog.text


def test_what_has_no_caller_cannot_be_private(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert lifecycle_of(Headers(lifecycle(initial_acl={"default": "hide"}))) == (None, True)
    assert "nobody's" in caplog.text


@pytest.mark.anyio
async def test_a_host_that_is_none_is_not_printed_into_addresses(here: Site) -> None:
    headers = {"host": "evil.example/path?x="}
    reply = await here.client.post("/fal/rest/storage/auth/token", headers=headers)
    assert reply.status_code == 400
    assert "send the header Host" in reply.json()["detail"]


# Uploads, as each client does them.


@pytest.mark.anyio
async def test_a_token_lets_upload_for_an_hour(both: Site) -> None:
    reply = await both.client.post(
        "/fal/rest/storage/auth/token?storage_type=fal-cdn-v3", headers=KEY, json={}
    )
    token = reply.json()
    assert (token["token_type"], token["base_url"]) == ("Bearer", "http://server:8000/fal/cdn")
    assert token["expires_at"].endswith("+00:00")
    assert datetime.fromisoformat(token["expires_at"]) == datetime.fromtimestamp(NOW + 3600, UTC)
    headers = {"authorization": f"Bearer {token['token']}", "content-type": "image/png"}
    url = f"{token['base_url']}/files/upload"
    reply = await both.client.post(url, content=CONTENT, headers=headers)
    file = await both.stored(reply.json()["access_url"])
    assert (file.caller, file.content_type, file.size) == (CALLER, "image/png", len(CONTENT))
    both.clock.now += 3600
    late = await both.client.post(url, content=CONTENT, headers=headers)
    assert (late.status_code, list(late.json())) == (401, ["detail", "message"])


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/fal/cdn/files/upload", "/fal/cdn/files/upload/multipart"])
@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Key anything", 200),
        ("Bearer wrong", 401),
        ("Bearer a.9999999999.00", 401),
        ("Key", 200),
        ("Key two words", 401),
        ("Basic dXNlcjpwYXNz", 401),
        ("", 200),
        (None, 200),
    ],
)
async def test_an_upload_to_the_cdn_needs_a_credential_of_the_right_form(
    here: Site, path: str, authorization: str | None, status: int
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    reply = await here.client.post(path, content=CONTENT, headers=headers)
    assert reply.status_code == status
    assert status == 200 or isinstance(reply.json()["detail"], str)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"cat.png", "cat.png"),
        ("猫.png".encode(), "猫.png"),
        ("größe.png".encode("latin-1"), "größe.png"),
        (b"../../etc/passwd", "passwd"),
    ],
)
async def test_a_file_keeps_the_name_that_was_given(here: Site, header: bytes, name: str) -> None:
    headers = [(b"x-fal-file-name", header), (b"authorization", b"Key k")]
    reply = await here.client.post("/fal/cdn/files/upload", content=CONTENT, headers=headers)
    assert (await here.stored(reply.json()["access_url"])).name == name


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["fal-cdn-v3", "gcs"])
async def test_an_upload_address_needs_no_credential(both: Site, kind: str) -> None:
    begun = await both.client.post(
        f"/fal/rest/storage/upload/initiate?storage_type={kind}",
        json={"file_name": "cat.png", "content_type": "image/png"},
        headers=KEY | lifecycle(expiration_duration_seconds=60),
    )
    upload_url, file_url = begun.json()["upload_url"], begun.json()["file_url"]
    assert (await both.client.get(file_url)).status_code == 404
    for _ in range(2):  # as a client does that missed the first answer
        reply = await both.client.put(upload_url, content=CONTENT)
        assert reply.status_code == 200
    file = await both.stored(file_url)
    assert (file.caller, file.name, file.expires) == (CALLER, "cat.png", NOW + 60)
    assert (await both.client.get(file_url)).content == CONTENT


@pytest.mark.anyio
async def test_parts_go_below_an_upload_address_one_after_another(both: Site) -> None:
    begun = await both.client.post(
        "/fal/rest/storage/upload/initiate-multipart?storage_type=fal-cdn-v3",
        json={"content_type": "video/mp4", "file_name": "film.mp4"},
        headers=KEY,
    )
    upload_url = begun.json()["upload_url"]
    parts = []
    for number in (1, 2, 3):
        reply = await both.client.put(f"{upload_url}/{number}", content=bytes([number]) * 500)
        assert reply.json()["etag"] == reply.headers["etag"]
        parts.append(reply.json())
    done = await both.client.post(f"{upload_url}/complete", json={"parts": parts})
    assert done.json() == {"access_url": begun.json()["file_url"]}
    whole = await both.client.get(begun.json()["file_url"])
    assert whole.content == b"\1" * 500 + b"\2" * 500 + b"\3" * 500


@pytest.mark.anyio
async def test_parts_go_below_the_address_of_the_file_in_any_order(both: Site) -> None:
    headers = KEY | {"content-type": "video/mp4", "x-fal-file-name": "film.mp4"}
    begun = await both.client.post("/fal/cdn/files/upload/multipart", headers=headers)
    place = f"{begun.json()['access_url']}/multipart/{begun.json()['uploadId']}"
    replies = await asyncio.gather(
        *(both.client.put(f"{place}/{n}", content=bytes([n]) * 500) for n in (3, 1, 2))
    )
    parts = [
        {"partNumber": n, "etag": r.headers["etag"]}
        for n, r in zip((3, 1, 2), replies, strict=True)
    ]
    for _ in range(2):  # as a client does that missed the first answer
        done = await both.client.post(f"{place}/complete", json={"parts": parts})
        assert done.json() == {"access_url": begun.json()["access_url"]}
    whole = await both.client.get(begun.json()["access_url"])
    assert whole.content == b"\1" * 500 + b"\2" * 500 + b"\3" * 500
    assert whole.headers["content-type"] == "video/mp4"


@pytest.mark.anyio
async def test_an_upload_is_found_only_below_its_own_file(here: Site) -> None:
    begun = [
        (await here.client.post("/fal/cdn/files/upload/multipart", headers=KEY)).json()
        for _ in range(2)
    ]
    wrong = f"{begun[0]['access_url']}/multipart/{begun[1]['uploadId']}"
    for reply in (
        await here.client.put(f"{wrong}/1", content=b"x"),
        await here.client.post(f"{wrong}/complete", json={"parts": []}),
        await here.client.put("/fal/cdn/uploads/unknown", content=b"x"),
        await here.client.put("/fal/cdn/uploads/unknown/1", content=b"x"),
        await here.client.post("/fal/cdn/uploads/unknown/complete", json={"parts": []}),
    ):
        assert reply.status_code == 404
        assert "no such upload" in reply.json()["detail"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("query", "body", "message"),
    [
        ("?storage_type=s3", {}, "'s3' is not one of fal-cdn-v3, gcs"),
        ("", {"file_name": 7}, "file_name: 7 is not a string"),
        ("", {"size": 7}, "unknown field 'size'"),
        ("", [], "a list is not an object"),
    ],
)
async def test_a_wrong_announcement_is_told(
    here: Site, query: str, body: Any, message: str
) -> None:
    for end in ("", "-multipart"):
        path = f"/fal/rest/storage/upload/initiate{end}{query}"
        reply = await here.client.post(path, json=body, headers=KEY)
        assert reply.status_code == 400
        assert message in reply.json()["detail"]


@pytest.mark.anyio
async def test_wrong_parts_are_told(here: Site) -> None:
    begun = await here.client.post(
        "/fal/rest/storage/upload/initiate-multipart", json={}, headers=KEY
    )
    url = begun.json()["upload_url"]
    assert (await here.client.put(f"{url}/0", content=b"x")).status_code == 400
    wrong: list[Any] = [[], [{"partNumber": 1, "etag": "x"}], [{"partNumber": "1", "etag": "x"}], 1]
    for body in ({}, *({"parts": parts} for parts in wrong)):
        reply = await here.client.post(f"{url}/complete", json=body)
        assert (reply.status_code, list(reply.json())) == (400, ["detail", "message"])


# Bounds.


async def drip(pieces: list[bytes]) -> AsyncIterator[bytes]:
    """A body whose length is not announced."""
    for piece in pieces:
        yield piece


@pytest.mark.anyio
@pytest.mark.parametrize("announced", [True, False])
async def test_what_is_too_large_is_refused_and_not_kept(both: Site, announced: bool) -> None:
    begun = await both.client.post("/fal/rest/storage/upload/initiate", json={}, headers=KEY)
    for verb, url in (("POST", "/fal/cdn/files/upload"), ("PUT", begun.json()["upload_url"])):
        content = b"x" * 1001 if announced else drip([b"x" * 500] * 3)
        reply = await both.client.request(verb, url, content=content, headers=KEY)
        assert reply.status_code == 413
        assert "larger than 1000 bytes" in reply.json()["detail"]
    assert (await both.client.get(begun.json()["file_url"])).status_code == 404
    assert (await both.client.put(begun.json()["upload_url"], content=CONTENT)).is_success


@pytest.mark.anyio
async def test_all_parts_of_a_file_are_bounded_together(both: Site) -> None:
    begun = await both.client.post(
        "/fal/rest/storage/upload/initiate-multipart", json={}, headers=KEY
    )
    url = begun.json()["upload_url"]
    sizes = {1: 1000, 2: 1000, 3: 500}
    for number, size in sizes.items():
        assert (await both.client.put(f"{url}/{number}", content=b"x" * size)).is_success
    for number, size in {3: 501, 4: 1}.items():
        reply = await both.client.put(f"{url}/{number}", content=b"x" * size)
        assert reply.status_code == 413
    assert (await both.client.put(f"{url}/3", content=b"y" * 500)).is_success


@pytest.mark.anyio
async def test_json_is_bounded(tmp_path: Path) -> None:
    async with site(tmp_path, limits=UploadLimits(json=100)) as here:
        body = {"file_name": "x" * 100}
        reply = await here.client.post("/fal/rest/storage/upload/initiate", json=body)
    assert reply.status_code == 413


@pytest.mark.anyio
async def test_a_body_that_stops_coming_is_given_up(tmp_path: Path) -> None:
    async def stopping() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async with site(tmp_path, limits=UploadLimits(silence=0.01)) as here:
        reply = await here.client.post("/fal/cdn/files/upload", content=stopping())
    assert reply.status_code == 408
    assert "nothing came of the body" in reply.json()["detail"]


@pytest.mark.anyio
async def test_a_store_that_fails_tells_nothing_of_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(tmp_path, open_store(str(tmp_path / "objects"))) as here:
        (tmp_path / "objects").rmdir()
        (tmp_path / "objects").write_bytes(b"")
        reply = await here.client.post("/fal/cdn/files/upload", content=CONTENT)
    assert reply.status_code == 503
    assert str(tmp_path) not in reply.text
    assert "the store of files is unreachable" in caplog.text


# Files.


@pytest.mark.anyio
async def test_a_file_is_given_with_all_that_caches_want(both: Site) -> None:
    file = await both.put(name="a cat's.png")
    reply = await both.get(file)
    assert reply.content == CONTENT
    headers = dict(reply.headers)
    assert re.fullmatch(r'"[0-9a-f]{32}"', headers.pop("etag"))
    assert headers.pop("access-control-expose-headers")
    assert headers == {
        "content-type": "image/png",
        "content-length": str(len(CONTENT)),
        "content-disposition": "inline; filename=\"a_cat_s.png\"; filename*=UTF-8''a%20cat%27s.png",
        "last-modified": formatdate(NOW, usegmt=True),
        "cache-control": "public, max-age=31536000, immutable",
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
        "access-control-allow-origin": "*",
    }
    head = await both.client.head(f"/fal/cdn/{file.key}")
    assert (head.headers, head.content) == (reply.headers, b"")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("wanted", "status", "first", "after"),
    [
        ("bytes=0-99", 206, 0, 100),
        ("bytes=100-", 206, 100, 768),
        ("bytes=-10", 206, 758, 768),
        ("bytes=-10000", 206, 0, 768),
        ("bytes=767-99999", 206, 767, 768),
        ("bytes = 0 - 0", 206, 0, 1),
        ("bytes=768-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=0-1,3-4", 200, 0, 768),
        ("bytes=9-1", 200, 0, 768),
        ("bytes=a-b", 200, 0, 768),
        ("bytes=-", 200, 0, 768),
        ("lines=1-2", 200, 0, 768),
        ("bytes=" + "9" * 30 + "-", 200, 0, 768),
    ],
)
async def test_a_range_is_given(
    here: Site, wanted: str, status: int, first: int, after: int
) -> None:
    reply = await here.get(await here.put(), range=wanted)
    assert reply.status_code == status
    assert reply.content == CONTENT[first:after]
    assert reply.headers["content-length"] == str(after - first)
    ranges = {200: None, 206: f"bytes {first}-{after - 1}/768", 416: "bytes */768"}
    assert reply.headers.get("content-range") == ranges[status]


@pytest.mark.anyio
async def test_an_empty_file_has_no_range(both: Site) -> None:
    assert (await both.get(await both.put(), range="bytes=1-2")).content == CONTENT[1:3]
    file = await both.put(b"")
    assert (await both.get(file)).status_code == 200
    assert (await both.get(file, range="bytes=0-")).status_code == 416


@pytest.mark.anyio
async def test_a_range_of_another_version_gives_the_whole(here: Site) -> None:
    file = await here.put()
    etag = (await here.get(file)).headers["etag"]
    for validator, status in (
        (etag, 206),
        (formatdate(NOW, usegmt=True), 206),
        (f"W/{etag}", 200),
        ('"other"', 200),
        (formatdate(NOW + 1, usegmt=True), 200),
    ):
        reply = await here.get(file, range="bytes=0-9", if_range=validator)
        assert reply.status_code == status


@pytest.mark.anyio
async def test_what_a_cache_has_is_not_sent_again(here: Site) -> None:
    file = await here.put()
    etag = (await here.get(file)).headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        reply = await here.get(file, if_none_match=known, range="bytes=9999-")
        assert (reply.status_code, reply.content, reply.headers["etag"]) == (304, b"", etag)
    assert (await here.get(file, if_none_match='"other"')).status_code == 200
    same_key = await here.put(b"another", key=file.key)
    here.clock.now += 1
    assert (await here.get(same_key, if_none_match=etag)).status_code == 200


@pytest.mark.anyio
async def test_caches_forget_a_file_when_it_expires(here: Site) -> None:
    file = await here.put(keep=60)
    here.clock.now += 20.5
    assert (await here.get(file)).headers["cache-control"] == "public, max-age=39, immutable"
    here.clock.now += 60
    reply = await here.get(file)
    assert reply.status_code == 404
    message = "there is no such file, or no longer"
    assert reply.json() == {"detail": message, "message": message}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("content_type", "sandboxed"),
    [
        ("image/png", False),
        ("IMAGE/JPEG; q=1", False),
        ("video/mp4", False),
        ("application/pdf", False),
        ("image/svg+xml", True),
        ("Image/SVG+xml; charset=utf-8", True),
        ("text/html", True),
        ("TEXT/HTML;charset=utf-7", True),
        ("application/xhtml+xml", True),
        ("text/xml", True),
        ("text/javascript", True),
        ("multipart/x-mixed-replace", True),
        ("no type", True),
    ],
)
async def test_nothing_that_was_uploaded_runs_as_a_page_of_ours(
    here: Site, content_type: str, sandboxed: bool
) -> None:
    headers = (await here.get(await here.put(b"<script>", type=content_type))).headers
    assert headers.get("content-security-policy", "").startswith("sandbox;") == sandboxed
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.anyio
@pytest.mark.parametrize(("access", "status"), [("forbid", 403), ("hide", 404)])
async def test_a_private_file_is_only_for_the_credential_it_came_with(
    both: Site, access: str, status: int
) -> None:
    acl = lifecycle(initial_acl={"default": access})
    token = (await both.client.post("/fal/rest/storage/auth/token", headers=KEY)).json()["token"]
    bearer = {"authorization": f"Bearer {token}"}
    urls = list[str]()
    for credential in (KEY, bearer):
        reply = await both.client.post(
            "/fal/cdn/files/upload", content=CONTENT, headers=credential | acl
        )
        urls.append(reply.json()["access_url"])
    begun = await both.client.post("/fal/rest/storage/upload/initiate", json={}, headers=KEY | acl)
    await both.client.put(begun.json()["upload_url"], content=CONTENT)
    for url in (*urls, begun.json()["file_url"]):
        for credential in (KEY, bearer):
            mine = await both.client.get(url, headers=credential)
            assert (mine.status_code, mine.content) == (200, CONTENT)
            assert mine.headers["cache-control"] == "private, no-store"
        for stranger in ("", "Key other", "Bearer wrong", f"Key {CALLER}"):
            headers = {"authorization": stranger} if stranger else {}
            theirs = await both.client.get(url, headers=headers)
            assert (theirs.status_code, list(theirs.json())) == (status, ["detail", "message"])


@pytest.mark.anyio
@pytest.mark.parametrize(
    "path",
    ["b/x/y", "%2e%2e/imagemill.db", "b/%2e%2e/%2e%2e/x", "b/x%00y", "x" * 300],
)
async def test_nothing_else_on_the_disk_has_an_address(tmp_path: Path, path: str) -> None:
    async with site(tmp_path, open_store(str(tmp_path))) as here:
        reply = await here.client.get(f"/fal/cdn/files/{path}")
    assert reply.status_code == 404


@pytest.mark.anyio
async def test_a_file_whose_content_was_lost_is_not_there(both: Site) -> None:
    file = await both.put()
    await both.objects.contents.remove(file.key)
    assert (await both.get(file)).status_code == 404


@pytest.mark.anyio
async def test_pages_of_any_origin_may_read_what_comes_of_a_file_s_address(here: Site) -> None:
    missing = await here.client.get("/fal/cdn/files/b/x")
    assert missing.headers["access-control-allow-origin"] == "*"
    begun = await here.client.post("/fal/rest/storage/upload/initiate", json={})
    assert "access-control-allow-origin" not in begun.headers


def test_every_route_has_its_own_operation(tmp_path: Path) -> None:
    app = FastAPI()
    database = Database(at(tmp_path))
    app.include_router(routes(Objects(MemoryStore(), FileTable(database), Clock())))
    assert len(app.openapi()["paths"]) == 11


# The official client, unmodified, on a real socket.


@pytest.fixture
def live(tmp_path: Path) -> Iterator[str]:
    """The address of a server on this machine, with its files in a folder."""
    started = threading.Event()

    async def serve(listening: socket.socket, stop: Callable[[uvicorn.Server], None]) -> None:
        store = open_store(str(tmp_path / "objects"))
        database = Database(at(tmp_path))
        await database.open()
        app = FastAPI()
        app.include_router(routes(Objects(store, FileTable(database), lambda: NOW * 2)))
        running = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        stop(running)
        started.set()
        await running.serve(sockets=[listening])
        await database.close()

    servers = list[uvicorn.Server]()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=lambda: asyncio.run(serve(listening, servers.append)))
        thread.start()
        try:
            assert started.wait(60)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            servers[0].should_exit = True
            thread.join()


# It leaves its connections to the garbage collector, which must come before the next test.
careless = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture
def official(live: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[fal_client.SyncClient]:
    """fal's Python client, told of the addresses that have no environment variable."""
    monkeypatch.setattr("fal_client.client.REST_URL", f"{live}/fal/rest")
    monkeypatch.setattr("fal_client.client.CDN_URL", f"{live}/fal/cdn")
    yield fal_client.SyncClient(key="id:secret")
    gc.collect()


@careless
def test_fals_client_uploads_a_file(official: fal_client.SyncClient) -> None:
    url = official.upload(CONTENT, "image/png", file_name="cat.png")
    reply = requests.get(url, timeout=30)
    assert (reply.content, reply.headers["content-type"]) == (CONTENT, "image/png")


@careless
def test_fals_client_falls_back_to_an_upload_address(official: fal_client.SyncClient) -> None:
    url = official.upload(CONTENT, "image/png", "cat.png", repository="fal")
    assert requests.get(url, timeout=30).content == CONTENT


@careless
def test_fals_client_falls_back_where_its_header_cannot_hold_the_name(
    official: fal_client.SyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    url = official.upload(CONTENT, "image/png", "猫.png")
    assert "falling back" in caplog.text
    reply = requests.get(url, timeout=30)
    assert reply.headers["content-disposition"].endswith("filename*=UTF-8''%E7%8C%AB.png")


@careless
@pytest.mark.parametrize("form", ["bytes", "file"])
def test_fals_client_uploads_a_large_file_in_parts(
    official: fal_client.SyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    monkeypatch.setattr("fal_client.client.MULTIPART_THRESHOLD", 2**20)
    monkeypatch.setattr("fal_client.client.MULTIPART_CHUNK_SIZE", 2**18)
    content = b"".join(bytes([n]) * 2**18 for n in range(11)) + b"the end"
    if form == "bytes":
        url = official.upload(content, "video/mp4", "film.mp4")
    else:
        path = tmp_path / "film.mp4"
        path.write_bytes(content)
        url = official.upload_file(path)
    assert url.endswith("_film.mp4")
    assert requests.get(url, timeout=30).content == content


@careless
def test_fals_client_sets_how_long_and_for_whom(official: fal_client.SyncClient) -> None:
    acl = fal_client.StorageACL(default="forbid")
    lifecycle = fal_client.StorageSettings(expires_in="1h", initial_acl=acl)
    url = official.upload(CONTENT, "image/png", lifecycle=lifecycle)
    assert requests.get(url, timeout=30).status_code == 403
    assert requests.get(url, headers=KEY, timeout=30).content == CONTENT


@careless
@pytest.mark.anyio
async def test_fals_async_client_uploads_too(
    official: fal_client.SyncClient, live: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fal_client.client.MULTIPART_THRESHOLD", 2**20)
    client = fal_client.AsyncClient(key="id:secret")
    urls = [await client.upload(content, "video/mp4") for content in (CONTENT, CONTENT * 4096)]
    async with httpx.AsyncClient() as reader:
        replies = [await reader.get(url) for url in urls]
    assert [len(reply.content) for reply in replies] == [768, 768 * 4096]


def test_who_sends_too_much_hears_it(live: str) -> None:
    reply = requests.post(f"{live}/fal/cdn/files/upload", data=b"x" * (100 * 2**20 + 1), timeout=60)
    assert reply.status_code == 413


def test_who_hangs_up_leaves_no_file(live: str, tmp_path: Path) -> None:
    address = live.removeprefix("http://").split(":")
    head = "POST /fal/cdn/files/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
    with socket.create_connection((address[0], int(address[1])), timeout=30) as caller:
        caller.sendall(head.encode() + b"x" * 8_000_000)
    assert requests.post(f"{live}/fal/cdn/files/upload", data=b"y", timeout=30).ok
    while len(left := [each for each in (tmp_path / "objects").rglob("*") if each.is_file()]) != 1:
        pass
    assert left[0].read_bytes() == b"y"
