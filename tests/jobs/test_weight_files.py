"""The files of LoRAs that callers name: on disk once, in nobody's memory, from nowhere else."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

from imagemill.errors import Fault, Kind
from imagemill.fetch import Fetcher, Policy
from imagemill.jobs.weight_files import FRESH_SECONDS, LORA_BYTES, WeightFiles

pytestmark = pytest.mark.anyio


@dataclass
class Host:
    """Answers every path with the content of that name, once it may."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readuntil(b"\r\n\r\n")
        name = line.split()[1].decode().lstrip("/")
        self.asked.append(name)
        await self.free.wait()
        content = self.files[name]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(content) + content)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def hosting(**files: bytes) -> AsyncIterator[Host]:
    host = Host(files=files)
    server = await asyncio.start_server(host.answer, "127.0.0.1", 0)
    host.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    host.free.set()
    async with server:
        yield host
        host.free.set()


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def kept_in(folder: Path, own: Path | None = None, max_bytes: int = 2**20) -> WeightFiles:
    return WeightFiles(folder / "loras", max_bytes, own, Fetcher(Policy()), Clock())


def on_disk(folder: Path) -> set[bytes]:
    return {path.read_bytes() for path in (folder / "loras").iterdir()}


async def test_a_file_lies_on_disk_by_what_is_in_it(tmp_path: Path) -> None:
    loras = kept_in(tmp_path)
    async with hosting(a=b"content", b=b"content") as host:
        one, two = [await loras.get(host.url + name, None, local=True) for name in "ab"]
    assert one == two
    assert (one.digest, one.size) == (sha256(b"content").hexdigest(), 7)
    assert one.path.read_bytes() == b"content"
    assert on_disk(tmp_path) == {b"content"}


async def test_who_names_the_same_url_at_once_shares_one_download(tmp_path: Path) -> None:
    loras = kept_in(tmp_path)
    async with hosting(a=b"content") as host:
        host.free.clear()
        waiting = [
            asyncio.create_task(loras.get(host.url + "a", None, True)) for scale in (1.0, 2.0)
        ]
        while not host.asked:
            await asyncio.sleep(0)
        waiting[0].cancel()  # who leaves takes nothing from the others
        host.free.set()
        assert (await waiting[1]).path.read_bytes() == b"content"
        assert host.asked == ["a"]


async def test_a_download_that_nobody_waits_for_is_given_up(tmp_path: Path) -> None:
    loras = kept_in(tmp_path)
    async with hosting(a=b"content") as host:
        host.free.clear()
        waiting = asyncio.create_task(loras.get(host.url + "a", None, True))
        while not host.asked:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        host.free.set()
        assert (await loras.get(host.url + "a", None, True)).size == 7
    assert host.asked == ["a", "a"]
    assert on_disk(tmp_path) == {b"content"}


async def test_what_a_url_leads_to_is_asked_again_after_a_while(tmp_path: Path) -> None:
    loras, clock = kept_in(tmp_path), Clock()
    loras.clock = clock
    async with hosting(a=b"old") as host:
        for now, content, wanted in (
            (0.0, b"old", b"old"),
            (FRESH_SECONDS, b"new", b"old"),
            (FRESH_SECONDS + 1, b"new", b"new"),
        ):
            clock.now, host.files["a"] = now, content
            assert (await loras.get(host.url + "a", None, True)).path.read_bytes() == wanted


async def test_strangers_do_not_profit_from_what_local_callers_may_fetch(tmp_path: Path) -> None:
    loras = kept_in(tmp_path)
    async with hosting(a=b"content") as host:
        await loras.get(host.url + "a", None, local=True)
        with pytest.raises(Fault) as raised:
            await loras.get(host.url + "a", None, local=False)
    assert raised.value.kind is Kind.UNREACHABLE


async def test_the_least_recently_used_go_and_never_what_a_job_holds(tmp_path: Path) -> None:
    loras = kept_in(tmp_path, max_bytes=20)
    async with hosting(a=b"a" * 10, b=b"b" * 10, c=b"c" * 10, d=b"d" * 10) as host:
        held = await loras.get(host.url + "a", None, True)
        for name in "bcd":
            await loras.get(host.url + name, None, True)
        assert on_disk(tmp_path) == {b"a" * 10, b"d" * 10}
        del held
        await loras.get(host.url + "b", None, True)
        assert on_disk(tmp_path) == {b"b" * 10, b"d" * 10}


async def test_another_server_finds_what_the_first_has_left_and_clears_halves(
    tmp_path: Path,
) -> None:
    async with hosting(a=b"a" * 10, b=b"b" * 10) as host:
        await kept_in(tmp_path).get(host.url + "a", None, True)
        (tmp_path / "loras" / "half.part").write_bytes(b"half")
        await kept_in(tmp_path, max_bytes=10).get(host.url + "b", None, True)
    assert on_disk(tmp_path) == {b"b" * 10}


async def test_what_is_too_large_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    loras = kept_in(tmp_path)
    server = await asyncio.start_server(_endless, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(Fault) as raised:
            await loras.get(url, None, True)
    assert raised.value.kind is Kind.TOO_LARGE
    assert str(LORA_BYTES) in raised.value.message
    assert on_disk(tmp_path) == set()


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (LORA_BYTES + 1))
    await writer.drain()
    writer.close()


async def test_jobs_that_lie_ready_hold_no_lora_in_memory(tmp_path: Path) -> None:
    loras, content = kept_in(tmp_path, max_bytes=2**24), os.urandom(2**20)
    async with hosting(a=content) as host:
        ready = [await loras.get(host.url + "a", None, True) for _ in range(64)]
    assert all(each is ready[0] for each in ready)  # a path, a digest and a size
    assert isinstance(ready[0].path, Path)
    assert on_disk(tmp_path) == {content}


async def stored(*pieces: bytes) -> AsyncIterator[bytes]:
    async def each() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return each()


async def test_a_file_that_was_uploaded_is_written_out_once(tmp_path: Path) -> None:
    loras = kept_in(tmp_path)
    one = await loras.keep("key", lambda: stored(b"con", b"tent"))
    assert one.path.read_bytes() == b"content"
    assert await loras.keep("key", lambda: stored(b"never read")) == one


# The operator's own folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    (folder / "styles").mkdir(parents=True)
    (folder / "ink.safetensors").write_bytes(b"ink")
    (folder / "styles" / "oil.safetensors").write_bytes(b"oil")
    (folder / "notes.txt").write_bytes(b"private")
    (tmp_path / "secret.safetensors").write_bytes(b"secret")
    (folder / "leads-out.safetensors").symlink_to(tmp_path / "secret.safetensors")
    return folder


@pytest.mark.parametrize(
    ("name", "content"),
    [("ink", b"ink"), ("ink.safetensors", b"ink"), ("styles/oil", b"oil")],
)
async def test_a_name_is_a_file_in_the_operators_folder(
    name: str, content: bytes, own: Path, tmp_path: Path
) -> None:
    file = await kept_in(tmp_path, own).get(name, None, local=False)
    assert file.path.read_bytes() == content
    assert file.digest == sha256(content).hexdigest()
    assert not (tmp_path / "loras").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../secret", "../secret.safetensors", "styles/../../secret", "leads-out", "notes.txt",
        "styles", "", ".", "..", "nothing", "ink\0", "x" * 5000, "/etc/passwd", "..\\secret",
    ],
)  # fmt: skip
async def test_nothing_outside_the_folder_is_read(name: str, own: Path, tmp_path: Path) -> None:
    for path in (name, str(tmp_path / "secret.safetensors")):
        with pytest.raises(Fault) as raised:
            await kept_in(tmp_path, own).get(path, None, local=True)
        assert raised.value.kind is Kind.INVALID
        # A long name is told as far as it goes; what is told of it is the caller's own.
        assert str(own) not in raised.value.message


async def test_a_file_that_the_operator_replaced_is_read_anew(own: Path, tmp_path: Path) -> None:
    loras = kept_in(tmp_path, own)
    before = await loras.get("ink", None, False)
    (own / "ink.safetensors").write_bytes(b"another ink")
    after = await loras.get("ink", None, False)
    assert (before.digest, after.digest) != (after.digest, before.digest)
    assert after.digest == sha256(b"another ink").hexdigest()


# Repositories of the Hub


@pytest.mark.parametrize(
    "name", ["../../x.safetensors", "/x.safetensors", "x.bin", "a/../b.safetensors"]
)
async def test_a_file_of_a_repository_is_a_name_within_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(Fault) as raised:
        await kept_in(tmp_path).get("owner/name", name, True)
    assert raised.value.kind is Kind.INVALID
