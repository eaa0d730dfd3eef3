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
        self._previewed = set[str]()  # jobs of which somebody wants to see pictures on their way
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

    def preview(self, id: str) -> None:
        """Somebody wants previews, until `left` is called."""
        self._previewed.add(id)

    def left(self, id: str) -> None:
        self._previewed.discard(id)

    def previewed(self, id: str) -> bool:
        return id in self._previewed

    def tell(self, id: str, item: Item) -> None:
        for heard in self._listeners.get(id, ()):
            heard.put_nowait(item)
