"""A disk cache of finished pictures: bounded in bytes and age, least recently used goes first.

An entry is one file, named by a digest of everything that decides its bytes; it begins with a
digest of what follows, so that a broken or truncated file is found out and counts as a miss. The
cache is a convenience: a disk that fails costs time, never a request.
"""

import hashlib
import json
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imagemill.folders import make_private
from imagemill.generation import GeneratedImages

log = logging.getLogger(__name__)

_DIGEST = hashlib.sha256
_DIGEST_BYTES = 32
_PART = ".part"  # an entry still being written
_LAYOUT = 2  # of entries; another one makes every older entry a miss


def key(*parts: object) -> str:
    """The address of what `parts` decide; every part must be JSON."""
    return _DIGEST(json.dumps([_LAYOUT, *parts], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    size: int  # bytes on disk
    stored: float  # unix time


class Cache:
    """Entries survive a restart: a file's mtime is when it was stored, its atime when last used."""

    def __init__(
        self, folder: Path, max_bytes: int, max_age: float, clock: Callable[[], float]
    ) -> None:
        self._folder, self._max_bytes, self._max_age = folder, max_bytes, max_age
        self._clock = clock
        self._lock = threading.Lock()  # look-ups and stores run in threads
        self._entries: OrderedDict[str, Entry] = OrderedDict()  # least recently used first
        self._size = 0
        if max_bytes:
            self._recover()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self._size

    def get(self, key: str) -> bytes | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            content = self._read(key) if self._fresh(entry) else None
            if content is None:
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return content

    def put(self, key: str, content: bytes) -> None:
        size = _DIGEST_BYTES + len(content)
        if size > self._max_bytes:
            return
        with self._lock:
            self._drop(key)
            while self._entries and self._size + size > self._max_bytes:
                self._drop(next(iter(self._entries)))
            if self._write(key, _DIGEST(content).digest() + content):
                self._entries[key] = Entry(size, self._clock())
                self._size += size

    def _fresh(self, entry: Entry) -> bool:
        return self._clock() - entry.stored <= self._max_age

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    def _read(self, key: str) -> bytes | None:
        path = self._path(key)
        try:
            data = path.read_bytes()
            os.utime(path, (self._clock(), self._entries[key].stored))
        except OSError:
            return None
        content = data[_DIGEST_BYTES:]
        return content if _DIGEST(content).digest() == data[:_DIGEST_BYTES] else None

    def _write(self, key: str, data: bytes) -> bool:
        path, now = self._path(key), self._clock()
        part = path.with_suffix(_PART)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            os.utime(part, (now, now))
            part.replace(path)
        except OSError as error:
            log.warning("a picture could not be kept: %s", error.strerror)
            _remove(part)
            return False
        return True

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry.size
            _remove(self._path(key))

    def _recover(self) -> None:
        entries: list[tuple[float, str, Entry]] = []
        try:
            make_private(self._folder)
            for path in self._folder.glob("??/*"):
                if path.suffix == _PART:  # its writer did not live to finish it
                    _remove(path)
                else:
                    stat = path.stat()
                    entries.append((stat.st_atime, path.name, Entry(stat.st_size, stat.st_mtime)))
        except OSError as error:
            log.warning("kept pictures could not be listed: %s", error.strerror)
        for _, name, entry in sorted(entries, key=lambda each: each[:2]):
            self._entries[name] = entry
            self._size += entry.size
        for name in [name for name, entry in self._entries.items() if not self._fresh(entry)]:
            self._drop(name)
        while self._size > self._max_bytes:
            self._drop(next(iter(self._entries)))


def pack(painted: GeneratedImages) -> bytes:
    """A line of JSON that tells the lengths, then the pictures."""
    head = {
        "lengths": [len(picture) for picture in painted.pictures],
        "seconds": painted.seconds,
        "served_by": painted.served_by,
        "ignored": painted.ignored,
        "flagged": painted.flagged,
    }
    return json.dumps(head).encode() + b"\n" + b"".join(painted.pictures)


def unpack(content: bytes) -> GeneratedImages:
    line, _, rest = content.partition(b"\n")
    head = json.loads(line)
    pictures, start = [], 0
    for length in head["lengths"]:
        pictures.append(rest[start : start + length])
        start += length
    return GeneratedImages(
        tuple(pictures),
        head["seconds"],
        head["served_by"],
        tuple(head["ignored"]),
        tuple(head["flagged"]),
    )


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("a kept picture could not be removed: %s", error.strerror)
