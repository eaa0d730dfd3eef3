"""Bodies that come packed: gzip is read within the limits, everything else is told 415."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.types import Message

from imagemill.budget import Budget
from imagemill.errors import Fault, Kind
from imagemill.http.content_coding import MOST_MEMBERS, PIECE, Gzip, unpacker
from imagemill.http.request_body import COPIES, Bodies, Pace, settled
from tests.conftest import Serving
from tests.dialects.openai.test_openai_edits import png
from tests.engines import PlainEngine
from tests.painting_calls import CALLS, SMALL
from tests.test_admission import open_server

pytestmark = pytest.mark.anyio

PACKED = {"content-encoding": "gzip", "content-type": "application/json"}
LIMIT = 2**20


def packed(body: Any) -> bytes:
    return gzip.compress(json.dumps(body).encode())


def edit() -> httpx.Request:
    """A form with a file."""
    fields = {"model": "a/b", "prompt": "x", "num_inference_steps": "1", "size": "64x64"}
    return httpx.Request(
        "POST", "http://a/", data=fields, files={"image": ("a.png", png(), "image/png")}
    )


async def test_a_gzip_body_was_not_utf_8(tmp_path: Path) -> None:
    async with open_server(tmp_path, PlainEngine()) as client:
        for name, call in CALLS.items():
            for coding in ("gzip", "X-GZIP"):
                reply = await client.post(
                    call.path,
                    content=packed(call.body),
                    headers=PACKED | {"content-encoding": coding},
                )
                assert reply.status_code < 300, (name, reply.text)
            as_it_is = await client.post(
                call.path, json=call.body, headers={"content-encoding": "identity"}
            )
            assert as_it_is.status_code < 300, (name, as_it_is.text)
        form = edit()
        headers = {"content-type": form.headers["content-type"], "content-encoding": "gzip"}
        content = gzip.compress(form.read())
        reply = await client.post("/v1/images/edits", content=content, headers=headers)
        assert reply.status_code == 200, reply.text
        body = {"inputs": "a red cat"}  # which the router's paths are told apart by
        path = "/together/v1/images/generations"
        reply = await client.post(path, content=packed(body), headers=PACKED)
        assert reply.headers["content-type"].startswith("image/"), reply.text


async def test_an_upload_is_kept_as_it_was_before_it_was_packed(tmp_path: Path) -> None:
    async with open_server(tmp_path, PlainEngine()) as client:
        reply = await client.post(
            "/fal/cdn/files/upload",
            content=gzip.compress(b"abc" * 1000),
            headers={"content-type": "text/plain", "content-encoding": "gzip"},
        )
        kept = await client.get(reply.json()["access_url"])
    assert kept.content == b"abc" * 1000


@pytest.mark.parametrize("coding", ["deflate", "br", "zstd", "gzip, gzip", "compress"])
async def test_other_codings_are_told_415_with_the_one_that_is_read(
    tmp_path: Path, coding: str
) -> None:
    engine, headers = PlainEngine(), PACKED | {"content-encoding": coding}
    paths = {name: call.path for name, call in CALLS.items()} | {
        "fal's tokens": "/fal/rest/tokens",
        "fal's upload": "/fal/cdn/files/upload",
        "replicate's files": "/replicate/v1/files",
        "openai's edits": "/openai/v1/images/edits",
    }
    async with open_server(tmp_path, engine) as client:
        for name, path in paths.items():
            reply = await client.post(path, content=b"\x01\x02", headers=headers)
            assert (reply.status_code, reply.headers["accept-encoding"]) == (415, "gzip"), name
            assert f"bodies packed as '{coding}' are not read; send gzip" in reply.text
    assert engine.submitted == []


@pytest.mark.parametrize(
    "content",
    [b"{}", gzip.compress(b"{}", mtime=0)[:-3], b"\x1f\x8b" + b"x" * 99],
    ids=["no gzip", "cut off", "broken"],
)
async def test_what_is_no_whole_gzip_is_told(tmp_path: Path, content: bytes) -> None:
    async with open_server(tmp_path, engine := PlainEngine()) as client:
        for name, call in CALLS.items():
            reply = await client.post(call.path, content=content, headers=PACKED)
            assert reply.status_code in (400, 422), (name, reply.text)
            assert "gzip" in reply.text, name
    assert engine.submitted == []


async def test_what_is_small_only_when_packed_is_too_large(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(2**26))
    assert len(bomb) < 2**17
    async with open_server(tmp_path, PlainEngine(), body_limit=2**16, input_limit=2**18) as client:
        for name, call in CALLS.items():
            reply = await client.post(call.path, content=bomb, headers=PACKED)
            assert reply.status_code == 413, (name, reply.text)


async def read(bodies: Bodies, *pieces: bytes) -> bytes:
    """The body of a request that comes in pieces, packed."""
    left = list(pieces)
    scope: dict[str, Any] = {"headers": [(b"content-encoding", b"gzip")]}

    async def receive() -> Message:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    try:
        return await bodies.read(scope, receive, LIMIT)
    finally:
        settled(scope)


async def test_millions_of_empty_members_held_up_everybody(tmp_path: Path) -> None:
    member = gzip.compress(b"a")
    content = member * MOST_MEMBERS
    assert await read(Bodies(folder=tmp_path), content[:99], content[99:]) == b"a" * MOST_MEMBERS
    with pytest.raises(Fault, match=f"more than {MOST_MEMBERS} members of gzip; pack it as one"):
        list(Gzip().pieces(content + member))


async def test_a_bomb_is_unpacked_no_further_than_the_limit(tmp_path: Path) -> None:
    bomb, bodies = gzip.compress(bytes(2**27)), Bodies(folder=tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(Fault) as caught:
            await read(bodies, bomb)
        assert tracemalloc.get_traced_memory()[1] < LIMIT + 8 * PIECE
    finally:
        tracemalloc.stop()
    assert caught.value.kind is Kind.TOO_LARGE
    assert bodies.disk.taken == 0


async def test_the_memory_that_it_takes_is_that_of_the_unpacked(tmp_path: Path) -> None:
    content = bytes(2**19)
    bodies = Bodies(memory=Budget(COPIES * 2**19, wait=0.001), folder=tmp_path)
    assert await read(bodies, gzip.compress(content)) == content
    async with bodies.memory.holding(1):
        with pytest.raises(Fault) as caught:
            await read(bodies, gzip.compress(content))
    assert caught.value.kind is Kind.BUSY


async def test_members_and_pieces_may_lie_anyhow(tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    whole = gzip.compress(content[:1000]) + gzip.compress(b"") + gzip.compress(content[1000:])
    pieces = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    assert await read(Bodies(folder=tmp_path), *pieces) == content


async def test_a_body_that_unpacks_to_nothing_has_an_end(tmp_path: Path) -> None:
    """Empty blocks of deflate say nothing, and may be any number."""
    endless = b"\x00\x00\x00\xff\xff" * (LIMIT // 80)
    with pytest.raises(Fault) as caught:
        await read(Bodies(folder=tmp_path), gzip.compress(b"")[:10], *[endless] * 48)
    assert caught.value.kind is Kind.TOO_LARGE


def test_a_piece_is_never_larger_than_one_piece() -> None:
    sizes = [len(each) for each in Gzip().pieces(gzip.compress(bytes(10 * PIECE)))]
    assert max(sizes) <= PIECE
    assert sum(sizes) == 10 * PIECE


def test_a_body_without_a_coding_is_passed_on() -> None:
    plain = unpacker(Headers({}))
    assert [*plain.pieces(b"abc")] == [b"abc"]
    plain.end()


async def test_a_slow_body_that_is_packed_is_told_of(serving: Serving) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield packed(SMALL)[:20]
        await asyncio.Event().wait()

    async with serving(PlainEngine(), bodies=Bodies(pace=Pace(silence=0.01))) as client:
        reply = await client.post("/", content=slowly(), headers=PACKED)
    assert reply.status_code == 408
