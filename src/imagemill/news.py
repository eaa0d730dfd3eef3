"""News: what happens to jobs, told to who listens in this process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from imagemill.engine.events import Preview as Preview
from imagemill.job import Job, Line

Item = Job | Line | Preview  # a job that has moved, a line of its log, a picture on its way


class News:
    def __init__(self) -> None:
        self._listeners: dict[str, list[asyncio.Queue[Item]]] = {}
        self._expected = set[str]()  # who is about to listen, or does
        self.submitted = asyncio.Event()  # there may be something to claim

    @contextmanager
    def listen(self, id: str) -> Iterator[asyncio.Queue[Item]]:
        heard: asyncio.Queue[Item] = asyncio.Queue()
        self._listeners.setdefault(id, []).append(heard)
        try:
            yield heard
        finally:
            self._listeners[id].remove(heard)
            if not self._listeners[id]:
                del self._listeners[id]

    def expect(self, id: str) -> None:
        """Somebody will listen, and wants all that happens until `left` is called."""
        self._expected.add(id)

    def left(self, id: str) -> None:
        self._expected.discard(id)

    def wanted(self, id: str) -> bool:
        return id in self._listeners or id in self._expected

    def tell(self, id: str, item: Item) -> None:
        for heard in self._listeners.get(id, ()):
            heard.put_nowait(item)
