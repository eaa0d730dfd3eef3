"""Job events: what happens to jobs, published to who subscribes in this process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from imagemill.engine.events import Preview as Preview
from imagemill.job import Job, Line

Item = Job | Line | Preview  # a job that has moved, a line of its log, an image on its way


class JobEvents:
    """What happens to the jobs of this process."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[asyncio.Queue[Item]]] = {}
        self._previewed = set[str]()  # jobs of which somebody wants to see images on their way
        #: There may be something to claim.
        self.submitted = asyncio.Event()

    @contextmanager
    def subscribe(self, id: str) -> Iterator[asyncio.Queue[Item]]:
        """All that happens to a job from now on, for as long as the `with` lasts."""
        queue: asyncio.Queue[Item] = asyncio.Queue()
        self._subscribers.setdefault(id, []).append(queue)
        try:
            yield queue
        finally:
            self._subscribers[id].remove(queue)
            if not self._subscribers[id]:
                del self._subscribers[id]

    def publish(self, id: str, item: Item) -> None:
        """Gives what has happened to all who have subscribed to the job."""
        for queue in self._subscribers.get(id, ()):
            queue.put_nowait(item)

    def want_previews(self, id: str) -> None:
        """Somebody wants previews, until `drop_previews` is called."""
        self._previewed.add(id)

    def drop_previews(self, id: str) -> None:
        """Nobody looks at them any more."""
        self._previewed.discard(id)

    def previews_wanted(self, id: str) -> bool:
        """Whether images on their way are looked at, of which each costs a decoding."""
        return id in self._previewed
