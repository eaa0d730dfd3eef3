"""The store of everything that has an address: what is kept, for how long, and after a crash."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore, MemoryStore, ObjectStore

from imagemill.errors import Fault, Kind
from imagemill.files.contents import MAX_PARTS, PIECE
from imagemill.files.keys import new_key, safe_name
from imagemill.files.objects import STALE, Objects, open_store
from imagemill.store import Database, at
from imagemill.store.files import FileTable, Upload
from tests.clocks import Clock

pytestmark = pytest.mark.anyio
A, B = b"a" * 100, b"b" * 100


@dataclass
class Shelf:
    """Objects with all that stands behind them."""

    objects: Objects
    table: FileTable
    store: ObjectStore
    clock: Clock

    async def keys(self) -> list[str]:
        """What lies in the store, told of or not."""
        return sorted(each["path"] for each in await obstore.list(self.store).collect_async())

    async def uploads(self) -> list[Upload]:
        return await self.table.stale_uploads(float("inf"), 100)


@asynccontextmanager
async def opened(folder: Path, store: ObjectStore) -> AsyncIterator[Shelf]:
    database, clock = Database(at(folder)), Clock()
    await database.open()
    table = FileTable(database)
    try:
        yield Shelf(Objects(store, table, clock), table, store, clock)
    finally:
        await database.close()


@pytest.fixture(params=["folder", "memory"])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    memory = request.param == "memory"
    store = MemoryStore() if memory else open_store(str(tmp_path / "objects"))
    async with opened(tmp_path, store) as shelf:
        yield shelf


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Shelf]:
    async with opened(tmp_path, open_store(str(tmp_path / "objects"))) as shelf:
        yield shelf


async def stream(
    pieces: Iterable[bytes], error: BaseException | None = None
) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if error is not None:
        raise error


@dataclass
class Slow:
    """A content that comes in part, and no further before it is let go."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def content(self) -> AsyncIterator[bytes]:
        try:
            for _ in range(12):  # enough to be written to the disk
                yield b"x" * 2**20
            self.started.set()
            await self.let_go.wait()
        finally:
            self.ended.set()


def files_of(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.rglob("*") if each.is_file())


async def test_what_was_put_comes_back(shelf: Shelf) -> None:
    put = await shelf.objects.put(A, "image/png", "a cat.png", caller="me", job="j", keep=60)
    got = await shelf.objects.get(put.key)
    assert got == put
    assert (put.name, put.content_type, put.size) == ("a cat.png", "image/png", 100)
    assert (put.caller, put.job, put.public) == ("me", "j", True)
    assert put.expires == shelf.clock.now + 60
    assert await shelf.objects.read(put.key) == A
    assert await shelf.uploads() == []


@pytest.mark.parametrize(
    ("start", "end", "read"),
    [(0, 3, b"012"), (7, None, b"789"), (4, 5, b"4"), (0, 99, b"0123456789")],
)
async def test_a_part_of_a_file_can_be_read(
    shelf: Shelf, start: int, end: int | None, read: bytes
) -> None:
    put = await shelf.objects.put(b"0123456789", "text/plain")
    assert await shelf.objects.read(put.key, start, end) == read


@pytest.mark.parametrize("pieces", [[], [b""], [b"a"], [b"a" * PIECE] * 50])
async def test_content_may_come_as_a_stream(shelf: Shelf, pieces: list[bytes]) -> None:
    put = await shelf.objects.put(stream(pieces), "application/zip")
    whole = b"".join(pieces)
    assert put.size == len(whole)
    assert await shelf.objects.read(put.key) == whole


async def test_a_key_cannot_be_guessed_and_ends_in_the_name() -> None:
    shape = r"files/b/[0-9a-f]{8}/[\w-]{22}"
    assert re.fullmatch(shape + "_cat.png", new_key("cat.png", "image/png"))
    assert re.fullmatch(shape + r"\.jpg", new_key("", "image/jpeg; q=1"))
    assert re.fullmatch(shape + r"\.bin", new_key("...", "no type"))
    assert len({new_key("cat.png", "image/png") for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\windows\\cat.png", "cat.png"),
        ("a cat?#1.png", "a_cat_1.png"),
        (".htaccess", "htaccess"),
        ("..", ""),
        ("猫.png", "png"),
        ("x\r\nset-cookie: a.png", "x_set-cookie_a.png"),
        ("x" * 300 + ".png", "x" * 76 + ".png"),
        ("x." + "y" * 300, "x." + "y" * 20),
    ],
)
async def test_a_name_is_made_harmless(shelf: Shelf, name: str, safe: str) -> None:
    assert safe_name(name) == safe
    put = await shelf.objects.put(A, "image/png", name)
    assert await shelf.objects.read(put.key) == A
    assert put.name.isprintable()
    assert len(put.key) < 255


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("image/svg+xml; charset=utf-8", "image/svg+xml; charset=utf-8"),
        ("", "application/octet-stream"),
        ("image", "application/octet-stream"),
        ("text/html\r\nset-cookie: a=b", "application/octet-stream"),
        ("bild/größe", "application/octet-stream"),
        ("a/" + "b" * 100, "application/octet-stream"),
    ],
)
async def test_a_type_that_has_not_the_form_of_one_is_unknown(
    shelf: Shelf, given: str, kept: str
) -> None:
    assert (await shelf.objects.put(A, given)).content_type == kept


async def test_an_expired_file_is_gone_before_anybody_removes_it(shelf: Shelf) -> None:
    put = await shelf.objects.put(A, "image/png", keep=60)
    shelf.clock.now += 60
    assert await shelf.objects.get(put.key) is None
    with pytest.raises(Fault, match="no such file") as raised:
        await shelf.objects.read(put.key)
    assert raised.value.kind is Kind.NOT_FOUND


async def test_the_same_key_replaces_and_needs_no_announcement(shelf: Shelf) -> None:
    key = "files/b/01234567/job.png"
    await shelf.objects.put(A, "image/png", key=key, job="j")
    put = await shelf.objects.put(b"b", "image/jpeg", key=key, job="j")
    assert await shelf.objects.read(key) == b"b"
    assert await shelf.table.of_job("j") == [put]
    assert (put.name, put.size) == ("job.png", 1)


async def test_a_deleted_file_is_gone_and_can_be_deleted_again(shelf: Shelf) -> None:
    put = await shelf.objects.put(A, "image/png")
    for _ in range(2):
        await shelf.objects.delete(put.key)
    assert await shelf.objects.get(put.key) is None
    assert await shelf.keys() == []


@pytest.mark.parametrize("key", ["../imagemill.db", "/etc/passwd", "files/b/../../x", "", "a//b"])
async def test_only_what_the_table_tells_of_can_be_read(shelf: Shelf, key: str) -> None:
    assert await shelf.objects.get(key) is None


async def test_a_private_file_is_open_to_its_caller_alone(shelf: Shelf) -> None:
    mine = await shelf.objects.put(A, "image/png", caller="me", public=False)
    nobodys = await shelf.objects.put(A, "image/png", public=False)
    assert [mine.open_to(each) for each in ("me", "you", "")] == [True, False, False]
    assert not nobodys.open_to("")


async def test_a_stream_that_breaks_leaves_nothing_to_be_read(local: Shelf, tmp_path: Path) -> None:
    broken = stream([b"x" * 2**20] * 12, Fault(Kind.TOO_LARGE, "too large"))
    with pytest.raises(Fault, match="too large"):
        await local.objects.put(broken, "image/png")
    (upload,) = await local.uploads()
    assert await local.objects.get(upload.key) is None
    assert files_of(tmp_path / "objects") == []


async def test_a_caller_who_goes_away_leaves_nothing_after_a_day(
    local: Shelf, tmp_path: Path
) -> None:
    slow = Slow()
    putting = asyncio.create_task(local.objects.put(slow.content(), "image/png"))
    await slow.started.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    slow.let_go.set()
    await slow.ended.wait()
    await local.objects.prune(local.clock.now + STALE + 1)
    assert await local.uploads() == []
    assert files_of(tmp_path / "objects") == []


async def test_prune_removes_what_expired_and_nothing_else(shelf: Shelf) -> None:
    short = await shelf.objects.put(A, "image/png", keep=60)
    long = await shelf.objects.put(A, "image/png", keep=600)
    ever = await shelf.objects.put(A, "image/png")
    assert await shelf.objects.prune(shelf.clock.now + 60) == 1
    assert await shelf.keys() == sorted([long.key, ever.key])
    assert await shelf.table.get(short.key) is None
    assert await shelf.objects.prune(shelf.clock.now + 60) == 0


async def test_prune_goes_on_after_a_crash_between_object_and_row(shelf: Shelf) -> None:
    put = await shelf.objects.put(A, "image/png", keep=60)
    await obstore.delete_async(shelf.store, put.key)
    assert await shelf.objects.prune(shelf.clock.now + 60) == 1
    assert await shelf.table.get(put.key) is None


async def test_one_that_cannot_be_removed_keeps_its_row_and_holds_up_no_other(
    local: Shelf, tmp_path: Path
) -> None:
    stuck = await local.objects.put(A, "image/png", keep=1)
    other = await local.objects.put(A, "image/png", keep=2)
    path = tmp_path / "objects" / stuck.key
    path.unlink()
    path.mkdir()
    assert await local.objects.prune(local.clock.now + 60) == 1
    assert await local.table.get(stuck.key) == stuck
    assert await local.table.get(other.key) is None


async def test_an_object_whose_row_was_never_written_is_removed_after_a_day(shelf: Shelf) -> None:
    upload = await shelf.objects.begin("image/png", parts=False)
    await shelf.objects.contents.write(upload.key, A)  # and here the process dies
    await shelf.objects.prune(shelf.clock.now + STALE)
    assert await shelf.keys() == [upload.key]
    await shelf.objects.prune(shelf.clock.now + STALE + 1)
    assert await shelf.keys() == []
    assert await shelf.uploads() == []


async def test_parts_that_nobody_completed_are_removed_after_a_day(shelf: Shelf) -> None:
    upload = await shelf.objects.begin("image/png")
    other = await shelf.objects.begin("image/png")
    for each in (upload, other):
        await shelf.objects.put_part(each.id, 1, A)
    await shelf.objects.abort(other.id)
    assert len(await shelf.keys()) == 1
    await shelf.objects.prune(shelf.clock.now + STALE + 1)
    assert await shelf.keys() == []
    await shelf.objects.abort(other.id)


async def test_what_a_killed_writer_left_in_the_folder_is_removed_after_a_day(
    local: Shelf, tmp_path: Path
) -> None:
    upload = await local.objects.begin("image/png")
    for left in (f"{upload.key}#1", f"uploads/{upload.id}/00001#1"):
        path = tmp_path / "objects" / left
        path.parent.mkdir(parents=True)
        path.write_bytes(A)
    await local.objects.prune(local.clock.now + STALE + 1)
    assert files_of(tmp_path / "objects") == []
    assert not (tmp_path / "objects" / upload.key).parent.exists()


async def test_a_finished_upload_is_forgotten_after_a_day_and_its_file_stays(shelf: Shelf) -> None:
    upload = await shelf.objects.begin("image/png", parts=False, keep=2 * STALE)
    file = await shelf.objects.fill(upload.id, A)
    await shelf.objects.prune(shelf.clock.now + STALE + 1)
    assert await shelf.uploads() == []
    assert await shelf.objects.read(file.key) == A


async def test_content_that_comes_twice_is_taken_once(shelf: Shelf) -> None:
    upload = await shelf.objects.begin("image/png", parts=False)
    first = await shelf.objects.fill(upload.id, stream([A]))
    assert await shelf.objects.fill(upload.id, stream([B])) == first
    assert await shelf.objects.fill(upload.id, B) == first
    assert await shelf.objects.read(first.key) == A


async def test_an_upload_that_was_given_up_takes_nothing(shelf: Shelf) -> None:
    upload = await shelf.objects.begin("image/png", parts=False)
    shelf.clock.now += STALE + 1
    with pytest.raises(Fault, match="no such upload"):
        await shelf.objects.fill(upload.id, A)
    with pytest.raises(Fault, match="no such upload"):
        await shelf.objects.put_part("unknown", 1, A)


async def test_an_upload_that_is_given_up_while_it_is_filled_leaves_nothing(shelf: Shelf) -> None:
    upload = await shelf.objects.begin("image/png", parts=False)

    async def content() -> AsyncIterator[bytes]:
        yield A
        await shelf.table.delete_upload(upload.id)

    with pytest.raises(Fault, match="no such upload"):
        await shelf.objects.fill(upload.id, content())
    assert await shelf.keys() == []


async def test_parts_are_joined_in_the_order_of_their_numbers(shelf: Shelf) -> None:
    upload = await shelf.objects.begin("video/mp4", "film.mp4", caller="me", keep=60)
    sent = {number: bytes([number]) * PIECE * 3 for number in (3, 1, 20, 2)}
    etags = {n: await shelf.objects.put_part(upload.id, n, stream([c])) for n, c in sent.items()}
    quoted = [(number, f'"{etag}"') for number, etag in etags.items()]
    file = await shelf.objects.complete(upload.id, quoted)
    assert await shelf.objects.read(file.key) == b"".join(sent[n] for n in sorted(sent))
    assert (file.key, file.caller, file.size) == (upload.key, "me", 12 * PIECE)
    assert file.expires == shelf.clock.now + 60
    assert await shelf.keys() == [file.key]


async def test_a_part_that_is_sent_again_replaces(shelf: Shelf) -> None:
    upload = await shelf.objects.begin("video/mp4")
    old = await shelf.objects.put_part(upload.id, 1, A)
    new = await shelf.objects.put_part(upload.id, 1, B + B)
    with pytest.raises(Fault, match="another etag"):
        await shelf.objects.complete(upload.id, [(1, old)])
    file = await shelf.objects.complete(upload.id, [(1, new)])
    assert await shelf.objects.read(file.key) == B + B


async def test_parts_that_are_wrong_are_told_and_can_be_mended(shelf: Shelf) -> None:
    upload = await shelf.objects.begin("video/mp4")
    etag = await shelf.objects.put_part(upload.id, 1, A)
    wrong = {
        "part 2 was not uploaded": [(1, etag), (2, etag)],
        "another etag": [(1, "x")],
        "name each once": [(1, etag), (1, etag)],
        "0 parts are named": list[tuple[int, str]](),
    }
    for message, parts in wrong.items():
        with pytest.raises(Fault, match=message) as raised:
            await shelf.objects.complete(upload.id, parts)
        assert raised.value.kind is Kind.INVALID
    assert await shelf.objects.get(upload.key) is None
    assert (await shelf.objects.complete(upload.id, [(1, etag)])).size == 100


async def test_parts_are_bounded_in_number_and_in_bytes(shelf: Shelf) -> None:
    upload = await shelf.objects.begin("video/mp4")
    for number in (0, -1, MAX_PARTS + 1):
        with pytest.raises(Fault, match="out of range"):
            await shelf.objects.put_part(upload.id, number, A)
    etags = [(number, await shelf.objects.put_part(upload.id, number, A)) for number in (1, 2)]
    assert await shelf.objects.held(upload.id, besides=2) == 100
    assert await shelf.objects.held(upload.id, besides=3) == 200
    with pytest.raises(Fault, match="out of range"):
        await shelf.objects.held(upload.id, besides=10**30)
    with pytest.raises(Fault, match="larger than 199 bytes") as raised:
        await shelf.objects.complete(upload.id, etags, limit=199)
    assert raised.value.kind is Kind.TOO_LARGE


async def test_for_a_part_that_comes_no_other_is_looked_at(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else ten thousand parts would be fifty million looks."""
    upload = await shelf.objects.begin("video/mp4")
    with monkeypatch.context() as no_lists:
        no_lists.delattr(obstore, "list")
        for number in range(1, 9):
            assert await shelf.objects.held(upload.id, number) == (number - 1) * 100
            await shelf.objects.put_part(upload.id, number, A)
    await shelf.objects.abort(upload.id)
    assert await shelf.keys() == []
    assert await shelf.table.part(upload.id, 1) == 0


async def test_a_part_that_comes_several_times_at_once_is_counted_as_it_is_in_the_end(
    shelf: Shelf,
) -> None:
    upload = await shelf.objects.begin("video/mp4")
    sizes = [100, 1, 70, 3, 900, 20]
    await asyncio.gather(*(shelf.objects.put_part(upload.id, 1, b"x" * size) for size in sizes))
    _, size = await shelf.objects.contents.part(upload.id, 1)
    assert await shelf.table.part(upload.id, 1) == size
    assert await shelf.objects.held(upload.id, besides=2) == size


async def test_an_upload_takes_only_what_was_announced(shelf: Shelf) -> None:
    parts, whole = await shelf.objects.begin("a/b"), await shelf.objects.begin("a/b", parts=False)
    with pytest.raises(Fault, match="takes numbered parts"):
        await shelf.objects.fill(parts.id, A)
    with pytest.raises(Fault, match="takes its content at once"):
        await shelf.objects.put_part(whole.id, 1, A)


async def test_a_completion_can_be_asked_for_again_and_twice_at_once(shelf: Shelf) -> None:
    upload = await shelf.objects.begin("video/mp4")
    parts = [(n, await shelf.objects.put_part(upload.id, n, A)) for n in range(1, 9)]
    twice = (shelf.objects.complete(upload.id, parts) for _ in range(2))
    files = [*await asyncio.gather(*twice), await shelf.objects.complete(upload.id, parts)]
    assert {file.key for file in files} == {upload.key}
    assert await shelf.objects.read(upload.key) == A * 8
    assert await shelf.keys() == [upload.key]


async def test_a_ticket_tells_whose_it_is_until_it_ends(local: Shelf) -> None:
    ticket = await local.objects.ticket("me", int(local.clock.now) + 60)
    gateway = Objects(MemoryStore(), local.table, local.clock)  # another one, on the same database
    assert await gateway.holder(ticket) == "me"
    assert await gateway.holder(await gateway.ticket("", int(local.clock.now) + 60)) == ""
    for forged in (ticket[:-1], ticket.replace("me", "you"), "", "é", ".", "me.9999999999.00"):
        assert await local.objects.holder(forged) is None
    local.clock.now += 60
    assert await local.objects.holder(ticket) is None


def test_a_folder_or_a_bucket_is_opened_by_its_name(tmp_path: Path) -> None:
    assert isinstance(open_store(str(tmp_path / "new" / "folder")), LocalStore)
    assert (tmp_path / "new" / "folder").is_dir()
    assert "S3Store" in repr(open_store("s3://bucket/path"))
    assert isinstance(open_store("memory:///"), MemoryStore)
    with pytest.raises(Fault, match=r"nowhere://\.\.\.; give a folder") as raised:
        open_store("nowhere://user:secret@bucket")
    assert "secret" not in raised.value.message
