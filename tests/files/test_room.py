"""What callers may keep: how much, how long, and what they are told when that is too much."""

import asyncio
import base64
import io
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from obstore.store import MemoryStore
from PIL import Image

from imagemill.errors import Fault, Kind
from imagemill.files.objects import Objects
from imagemill.files.room import Room
from imagemill.store import Database
from imagemill.store.files import BLOCK, FileTable, StoredFile
from tests.clocks import Clock
from tests.conftest import Serving
from tests.databases import Opened
from tests.databases import database as database
from tests.databases import database_url as database_url
from tests.databases import postgres as postgres
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

EACH, TOTAL = 10 * BLOCK, 25 * BLOCK
MONTH = 30 * 86_400.0
ME = {"authorization": "Key me:1"}


def made(db: Database, clock: Clock, **more: Any) -> Objects:
    table = FileTable(db)
    room = Room(table, more.get("each", EACH), more.get("total", TOTAL))
    return Objects(MemoryStore(), table, clock, room, more.get("longest", MONTH))


async def full(objects: Objects, size: int, caller: str = "me", **more: Any) -> str:
    with pytest.raises(Fault) as caught:
        await objects.put(bytes(size), "image/png", caller=caller, **more)
    assert caught.value.kind is Kind.FULL
    assert caught.value.retry_after
    return caught.value.message


async def pieces(size: int, count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(size)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_a_caller_may_keep_so_much_and_no_more(database: Opened, clock: Clock) -> None:
    async with database() as db:
        objects = made(db, clock)
        first = await objects.put(bytes(6 * BLOCK), "image/png", caller="me")
        told = await full(objects, 4 * BLOCK + 1)
        assert told.startswith(f"a caller may keep {EACH} bytes here, and yours would be ")
        assert told.endswith("delete some files, or wait until they expire")
        await objects.put(bytes(4 * BLOCK), "image/png", caller="me")
        await full(objects, 0)  # the smallest takes a block
        await objects.put(bytes(EACH), "image/png", caller="you")
        await objects.delete(first.key)
        await objects.put(bytes(5 * BLOCK), "image/png", caller="you too")
        told = await full(objects, 7 * BLOCK, "somebody else")
        assert told.startswith(f"the {TOTAL} bytes that callers may keep here are full")


async def test_what_comes_without_a_length_is_stopped_on_its_way(
    database: Opened, clock: Clock
) -> None:
    async with database() as db:
        objects = made(db, clock)
        with pytest.raises(Fault, match="a caller may keep"):
            await objects.put(pieces(BLOCK, 1000), "image/png", caller="me")
        await objects.put(pieces(BLOCK, 9), "image/png", caller="me")  # what was stopped is free


async def test_many_at_once_do_not_find_the_same_room(database: Opened, clock: Clock) -> None:
    async with database() as db:
        objects = made(db, clock)
        calls = (objects.put(pieces(BLOCK, 4), "image/png", caller="me") for _ in range(10))
        ends = await asyncio.gather(*calls, return_exceptions=True)
        kept = [each for each in ends if isinstance(each, StoredFile)]
        assert sum(file.size for file in kept) <= EACH
        assert all(isinstance(end, StoredFile | Fault) for end in ends)
        left = EACH - sum(file.size for file in kept)  # whoever was refused left nothing
        await objects.put(bytes(left or BLOCK), "image/png", caller="me" if left else "you")


async def test_what_was_painted_takes_no_room(database: Opened, clock: Clock) -> None:
    async with database() as db:
        objects = made(db, clock)
        for number in range(4):
            await objects.put(
                bytes(EACH), "image/png", caller="me", job="j", key=f"files/b/{number}"
            )
        await objects.put(bytes(EACH), "image/png", caller="me")


async def test_the_count_is_that_of_the_database(database: Opened, clock: Clock) -> None:
    async with database() as db:
        await made(db, clock).put(bytes(6 * BLOCK), "image/png", caller="me")
        again = made(db, clock)  # after a restart
        await full(again, 5 * BLOCK)
        other = made(db, clock)
        await other.put(bytes(4 * BLOCK), "image/png", caller="me")
        await again.prune(clock())  # which counts
        await full(again, BLOCK)


async def test_a_file_under_a_key_of_its_own_takes_its_room_once(
    database: Opened, clock: Clock
) -> None:
    async with database() as db:
        objects = made(db, clock)
        for size in (4, 4, 5, 3, 3):
            await objects.put(bytes(size * BLOCK), "a/b", caller="me", key="files/r/list.json")
        await full(objects, 8 * BLOCK)
        await objects.put(bytes(7 * BLOCK), "image/png", caller="me")


async def test_parts_take_room_before_they_are_joined_and_after(
    database: Opened, clock: Clock
) -> None:
    async with database() as db:
        objects = made(db, clock)
        begun = await objects.begin("image/png", caller="me")
        etags = [await objects.put_part(begun.id, number, bytes(3 * BLOCK)) for number in (1, 2)]
        etags[1] = await objects.put_part(begun.id, 2, bytes(3 * BLOCK))  # sent again
        await made(db, clock).put_part(begun.id, 2, bytes(3 * BLOCK))  # at another server
        await full(objects, 5 * BLOCK)
        await full(made(db, clock), 5 * BLOCK)
        with pytest.raises(Fault, match="a caller may keep"):
            await objects.put_part(begun.id, 3, pieces(BLOCK, 5))
        await objects.complete(begun.id, [(1, etags[0]), (2, etags[1])])
        await full(objects, 5 * BLOCK)
        await full(made(db, clock), 5 * BLOCK)
        await objects.put(bytes(4 * BLOCK), "image/png", caller="me")


async def test_what_was_announced_takes_a_little_until_it_is_given_up(
    database: Opened, clock: Clock
) -> None:
    async with database() as db:
        objects = made(db, clock)
        begun = [await objects.begin("image/png", caller="me") for _ in range(10)]
        with pytest.raises(Fault, match="a caller may keep"):
            await objects.begin("image/png", caller="me")
        await objects.abort(begun[0].id)
        await objects.fill((await objects.begin("image/png", caller="me", parts=False)).id, b"x")
        clock.now += 2 * 86_400
        await objects.prune(clock())
        await objects.put(bytes(9 * BLOCK), "image/png", caller="me")


@pytest.mark.parametrize("seed", range(3))
async def test_the_count_stays_right_whatever_happens(
    database: Opened, clock: Clock, seed: int
) -> None:
    draw = random.Random(seed)
    async with database() as db:
        objects = made(db, clock, each=100 * BLOCK, total=150 * BLOCK)
        keys, ids = list[str](), list[str]()
        for _ in range(60):
            size, caller = draw.randrange(4 * BLOCK), draw.choice("abc")
            match draw.randrange(6):
                case 0:
                    keys.append((await objects.put(bytes(size), "a/b", caller=caller)).key)
                case 1:
                    ids.append((await objects.begin("a/b", caller=caller)).id)
                case 2 if ids:
                    await objects.put_part(draw.choice(ids), draw.randrange(1, 4), bytes(size))
                case 3 if ids:
                    id = ids.pop()
                    etag = await objects.put_part(id, 1, bytes(size))
                    keys.append((await objects.complete(id, [(1, etag)])).key)
                case 4 if ids:
                    await objects.abort(ids.pop())
                case 5 if keys:
                    await objects.delete(keys.pop())
        room = objects._room
        counted = {caller: held for caller, held in room._kept.items() if held}
        assert counted == {name: held for name, held in (await room.table.held()).items() if held}
        assert not any(room._coming.values())


@pytest.mark.parametrize(
    ("wish", "kept"), [(None, MONTH), (60.0, 60.0), (MONTH - 1, MONTH - 1), (1e9, MONTH)]
)
async def test_no_file_of_a_caller_is_kept_for_ever(
    database: Opened, clock: Clock, wish: float | None, kept: float
) -> None:
    async with database() as db:
        objects = made(db, clock)
        whole = await objects.put(b"x", "image/png", caller="me", keep=wish)
        begun = await objects.begin("image/png", caller="me", keep=wish, parts=False)
        for file in (whole, await objects.fill(begun.id, b"x")):
            assert file.expires == clock() + kept
        clock.now += kept
        assert await objects.get(whole.key) is None
        assert await objects.prune(clock()) == 2


async def test_what_earlier_versions_kept_for_ever_has_an_end(
    database: Opened, clock: Clock
) -> None:
    async with database() as db:
        old = await made(db, clock, longest=None).put(b"x", "image/png", caller="me")
        assert old.expires is None
        objects = made(db, clock)
        await objects.prune(clock())
        found = await objects.get(old.key)
        assert found is not None
        assert found.expires == clock() + MONTH


def png(seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50 + seed).save(file, "png")
    return file.getvalue()


@asynccontextmanager
async def full_house(serving: Serving) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(PlainEngine(), upload_bytes_each=3 * BLOCK) as client:
        stored = await client.post("/fal/cdn/files/upload", content=bytes(2 * BLOCK), headers=ME)
        assert stored.status_code == 200
        yield client


async def test_every_door_tells_in_its_own_words_that_there_is_no_room(serving: Serving) -> None:
    given = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    bearer = {"authorization": "Bearer me:1"}  # the same caller
    remix = {"prompt": "a cat", "image_url": given}
    edits = {"prompt": "a cat", "images": [{"image_url": given}]}
    token = "/fal/rest/storage/auth/token"
    calls: tuple[tuple[str, dict[str, Any]], ...] = (
        ("/fal/cdn/files/upload", {"content": bytes(2 * BLOCK), "headers": ME}),
        ("/fal/run/fal-ai/ideogram/v3/remix", {"json": remix, "headers": ME}),
        ("/replicate/v1/files", {"files": {"content": bytes(2 * BLOCK)}, "headers": bearer}),
        ("/openai/v1/images/edits", {"json": edits, "headers": bearer}),
    )
    async with full_house(serving) as client:
        for path, call in calls:
            reply = await client.post(path, **call)
            assert (reply.status_code, "a caller may keep" in reply.text) == (507, True), path
            assert int(reply.headers["retry-after"]) > 0
        # Others have room, and tokens are the caller's own.
        assert (await client.post("/fal/cdn/files/upload", content=b"x")).status_code == 200
        held = (await client.post(token, json={}, headers=ME)).json()["token"]
        theirs = {"authorization": f"Bearer {held}"}
        reply = await client.post("/fal/cdn/files/upload", content=bytes(2 * BLOCK), headers=theirs)
        assert reply.status_code == 507


async def test_results_are_kept_as_long_as_is_asked_and_no_longer(
    serving: Serving, tmp_path: Path
) -> None:
    lifecycle = '{"expiration_duration_seconds": 31536000}'
    headers = ME | {"x-fal-object-lifecycle-preference": lifecycle}
    async with serving(PlainEngine(), upload_age=3600) as client:
        reply = await client.post(
            "/fal/run/fal-ai/flux/dev", json={"prompt": "a cat"}, headers=headers
        )
        [image] = reply.json()["images"]
        shown = await client.get(image["url"])
    age = int(shown.headers["cache-control"].split("max-age=")[1].split(",")[0])
    assert 3000 < age <= 3600
