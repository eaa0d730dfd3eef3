"""The files of LoRAs, ControlNets and IP-Adapters that callers name: each lies on this machine's
disk once, by what is in it.

A file that comes by URL is written to disk as it comes, and those who name the same URL meanwhile
wait for that one download. What was fetched is used again for a while, and cleared away, the least
recently used first, where there is no room; never what a job holds. A name without address is a
file in the operator's own folder, or a repository of the Hub.
"""

import asyncio
import hashlib
import logging
import re
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from huggingface_hub import try_to_load_from_cache

from imagemill.errors import Fault, Kind, invalid
from imagemill.fetch import Fetcher
from imagemill.files.writer import Writer
from imagemill.folders import make_private
from imagemill.generation import LORA_FILE, LoraFile
from imagemill.threads import DISK

log = logging.getLogger(__name__)

LORA_BYTES = 200 * 2**20  # of one
CONTROL_BYTES = 8 * 2**30
ADAPTER_BYTES = 4 * 2**30  # of an IP-Adapter, or of an image encoder
CONTROL_FILE = "diffusion_pytorch_model.safetensors"  # of a Hub id, as diffusers writes it
FRESH_SECONDS = 600.0  # for which what a URL leads to is not asked for again
URLS = 1000  # that are remembered
SUFFIX = ".safetensors"

_HUB = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_FILE = re.compile(r"(?:[\w-][\w.-]*/)*[\w-][\w.-]*\.safetensors", re.ASCII)
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*:", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class WeightKind:
    """what: it is, for sentences. field: of a generation, which names it. hub_file: of a Hub id
    where no other is named. most_bytes: of one file. seconds: that one may take to come.
    """

    what: str
    field: str
    hub_file: str
    most_bytes: int
    seconds: float | None = None


LORA = WeightKind("a LoRA", "loras", LORA_FILE, LORA_BYTES)
CONTROL = WeightKind("a ControlNet", "control.path", CONTROL_FILE, CONTROL_BYTES, 1800.0)
IP_ADAPTER = WeightKind(
    "an IP-Adapter", "ip_adapter.path", "ip-adapter.safetensors", ADAPTER_BYTES, 1800.0
)
IMAGE_ENCODER = WeightKind(
    "an image encoder", "ip_adapter.encoder_path", "model.safetensors", ADAPTER_BYTES, 1800.0
)

Pieces = Callable[[], Awaitable[AsyncIterator[bytes]]]  # of a file that is stored


@dataclass
class Download:
    """One that is under way, and how many wait for it."""

    task: asyncio.Task[LoraFile]
    waiting: int = 0


@dataclass
class WeightFiles:
    """folder: for what is fetched, `max_bytes` in all. own: the operator's; None where there is
    none. kind: of what lies there.
    """

    folder: Path
    max_bytes: int
    own: Path | None
    fetcher: Fetcher
    clock: Callable[[], float]
    kind: WeightKind = LORA
    _held: WeakValueDictionary[Path, LoraFile] = field(default_factory=WeakValueDictionary)
    _sizes: OrderedDict[str, int] | None = None  # by digest, least recently used first
    _fetched: OrderedDict[tuple[str, bool], tuple[str, float]] = field(default_factory=OrderedDict)
    _downloads: dict[tuple[str, bool], Download] = field(default_factory=dict)
    _places: asyncio.Semaphore | None = None
    _digests: dict[Path, tuple[tuple[int, int], str]] = field(default_factory=dict)

    async def get(self, path: str, name: str | None, local: bool, caller: str = "") -> LoraFile:
        """path: a URL, a file in the operator's folder, or a Hub id. name: of the file in a Hub id;
        None for the usual one. local: whether the caller is on this machine.
        """
        if ADDRESS.match(path):
            return await self._by_url(path, local, caller)
        if (own := self._of_operator(path)) is not None:
            return await self._known(own)
        if not _HUB.fullmatch(path):
            raise self._unknown(path)
        name = name or self.kind.hub_file
        if not _FILE.fullmatch(name):
            message = f"{name!r:.80} is no name of a safetensors file; give another"
            raise invalid(self.kind.field, message)
        cached = await DISK.run(_in_cache, path, name)
        if cached is not None:
            return await self._known(Path(cached))
        url = f"https://huggingface.co/{path}/resolve/main/{name}"
        return await self._by_url(url, local, caller)

    async def keep(self, key: str, pieces: Pieces) -> LoraFile:
        """A file that is stored elsewhere under a key, whose content never changes."""

        async def write(path: Path) -> str:
            async with Writer(path) as writer:
                async for piece in await pieces():
                    await writer.write(piece)
                return await writer.digest()

        return await self._shared((key, True), write)

    async def _by_url(self, url: str, local: bool, caller: str) -> LoraFile:
        async def write(path: Path) -> str:
            most, seconds = self.kind.most_bytes, self.kind.seconds
            return await self.fetcher.save(url, path, most, local, caller, seconds)

        return await self._shared((url, local), write)

    async def _shared(
        self, key: tuple[str, bool], write: Callable[[Path], Awaitable[str]]
    ) -> LoraFile:
        if (known := self._remembered(key)) is not None:
            return known
        if (download := self._downloads.get(key)) is None:
            download = Download(asyncio.create_task(self._write(key, write)))
            self._downloads[key] = download
            download.task.add_done_callback(lambda _: self._forget(key, download))
        download.waiting += 1
        try:
            return await asyncio.shield(download.task)
        finally:
            download.waiting -= 1
            if not download.waiting:
                self._forget(key, download)
                download.task.cancel()  # nobody wants it any more, or it has ended

    def _forget(self, key: tuple[str, bool], download: Download) -> None:
        if self._downloads.get(key) is download:
            del self._downloads[key]

    def _remembered(self, key: tuple[str, bool]) -> LoraFile | None:
        digest, when = self._fetched.get(key, ("", 0.0))
        if not digest or self.clock() - when > FRESH_SECONDS:
            return None
        size = self._entries().get(digest)
        path = self._path(digest)
        return self._file(path, digest, size) if size is not None and path.is_file() else None

    async def _write(
        self, key: tuple[str, bool], write: Callable[[Path], Awaitable[str]]
    ) -> LoraFile:
        await DISK.run(make_private, self.folder)
        part = self.folder / f"{uuid.uuid4().hex}.part"
        try:
            async with self._room():
                digest = await write(part)
            size = await DISK.run(_settle, part, self._path(digest))
        except OSError as error:
            log.warning("%s could not be kept: %s", self.kind.what, error.strerror)
            message = f"{self.kind.what} could not be kept here; the disk may be full"
            raise Fault(Kind.FAILED, f"{message}; try again later", self.kind.field) from None
        finally:
            await DISK.finish(part.unlink, missing_ok=True)
        file = self._file(self._path(digest), digest, size)
        self._fetched[key] = digest, self.clock()
        while len(self._fetched) > URLS:
            self._fetched.popitem(last=False)
        await self._make_room()
        return file

    def _file(self, path: Path, digest: str, size: int) -> LoraFile:
        entries = self._entries()
        if path.parent == self.folder:
            entries[digest] = size
            entries.move_to_end(digest)
        file = self._held.get(path)
        if file is None or file.digest != digest:
            file = self._held[path] = LoraFile(path, digest, size)
        return file

    def _room(self) -> asyncio.Semaphore:
        """As many downloads at a time as the folder has room for."""
        if self._places is None:
            self._places = asyncio.Semaphore(max(1, self.max_bytes // self.kind.most_bytes))
        return self._places

    async def _make_room(self) -> None:
        entries = self._entries()
        excess = sum(entries.values()) - self.max_bytes
        for digest in [each for each in entries if self._path(each) not in self._held]:
            if excess <= 0:
                return
            excess -= entries.pop(digest)
            await DISK.run(self._path(digest).unlink, missing_ok=True)

    def _entries(self) -> OrderedDict[str, int]:
        """What lies in the folder; at first what an earlier server has left there."""
        if self._sizes is None:
            paths = self.folder.glob(f"*{SUFFIX}") if self.folder.is_dir() else []
            stats = sorted((path.stat().st_mtime, path.stem, path.stat().st_size) for path in paths)
            self._sizes = OrderedDict((stem, size) for _, stem, size in stats)
            for part in self.folder.glob("*.part"):  # their writer did not live to finish them
                part.unlink(missing_ok=True)
        return self._sizes

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}{SUFFIX}"

    def _of_operator(self, name: str) -> Path | None:
        """A file in the operator's folder, by its name there, with or without its ending."""
        if self.own is None or "\0" in name:
            return None
        folder = self.own.resolve()
        with suppress(OSError, RuntimeError):  # too long a name, links in a circle
            for each in (name, f"{name}{SUFFIX}"):
                path = (folder / each).resolve()
                if path.is_relative_to(folder) and path.suffix == SUFFIX and path.is_file():
                    return path
        return None

    def _unknown(self, name: str) -> Fault:
        here = "" if self.own is None else "and no such file is in the server's folder of LoRAs"
        message = f"{name!r:.80} is no address {here}".strip()
        ways = "give the URL of a safetensors file, or owner/name of the Hub"
        return invalid(self.kind.field, f"{message}; {ways}")

    async def _known(self, path: Path) -> LoraFile:
        """Of a file that is here already; read anew where it has changed."""
        stat = await DISK.run(path.stat)
        version = stat.st_mtime_ns, stat.st_size
        before, digest = self._digests.get(path, (None, ""))
        if before != version:
            digest = await DISK.run(_digest, path)
            self._digests[path] = version, digest
        return self._file(path, digest, stat.st_size)


def _in_cache(repository: str, name: str) -> str | None:
    try:
        path = try_to_load_from_cache(repository, name)
    except ValueError:  # no id that the Hub would give
        return None
    return path if isinstance(path, str) else None


def _settle(part: Path, path: Path) -> int:
    """Puts a whole file where it belongs; its size."""
    size = part.stat().st_size
    part.replace(path)
    return size


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
