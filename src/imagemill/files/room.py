"""Room: how many bytes callers may keep here, besides what was painted for them.

What is kept is counted in the database, and in memory from one count to the next; what is on its
way is counted as it comes, so that many who send at the same time do not find the same room.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from imagemill.errors import Fault, Kind
from imagemill.files.contents import Content
from imagemill.store.files import FileTable, charged

AGAIN = 3600.0  # seconds after which there may be room again


@dataclass
class Room:
    """each: bytes of one caller. total: of all. None for no bound."""

    table: FileTable
    each: int | None = None
    total: int | None = None
    _kept: Counter[str] = field(default_factory=Counter)
    _coming: Counter[str] = field(default_factory=Counter)
    _counted: bool = False

    async def count(self) -> None:
        """Looks at the database, where other servers may have written, too."""
        self._kept, self._counted = Counter(await self.table.held()), True

    async def ready(self) -> None:
        if not self._counted:
            await self.count()

    @contextmanager
    def writing(self, caller: str, announced: int = 0) -> Iterator["Writing"]:
        """What is taken within, and not kept, is free again at the end.

        announced: bytes of it that are kept already.
        """
        claim = Writing(self, caller, announced)
        try:
            yield claim
        finally:
            self._coming[caller] -= claim.taken

    def keep(self, caller: str, size: int) -> None:
        """Bytes that are kept from now on; fewer than none for those that are gone."""
        self._kept[caller] += size

    def take(self, caller: str, size: int) -> None:
        """Bytes that are on their way; raises a Fault where there is no room for them."""
        mine = self._kept[caller] + self._coming[caller] + size
        if self.each is not None and mine > self.each:
            message = f"a caller may keep {self.each} bytes here, and yours would be {mine}"
            way_out = "delete some files, or wait until they expire"
            raise Fault(Kind.FULL, f"{message}; {way_out}", "body", AGAIN)
        if self.total is not None and self._kept.total() + self._coming.total() + size > self.total:
            message = f"the {self.total} bytes that callers may keep here are full"
            raise Fault(Kind.FULL, f"{message}; come again later", "body", AGAIN)
        self._coming[caller] += size


@dataclass
class Writing:
    """Of one writing. announced: bytes that need no room of their own. taken: bytes so far."""

    room: Room
    caller: str
    announced: int = 0
    taken: int = 0

    def take(self, size: int) -> None:
        counted = min(self.announced, size)
        self.announced -= counted
        size -= counted
        self.room.take(self.caller, size)
        self.taken += size

    def metered(self, content: Content) -> Content:
        """The same, for which room is taken before it is written."""
        if isinstance(content, bytes):
            self.take(charged(len(content)))
            return content
        self.take(charged(0))
        return self._pieces(content)

    async def _pieces(self, content: Content) -> AsyncIterator[bytes]:
        assert not isinstance(content, bytes)
        async for piece in content:
            self.take(len(piece))
            yield piece
