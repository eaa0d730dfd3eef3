"""The database: jobs, their logs, deliveries, files. Only this room speaks SQL."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from imagemill.folders import keep_private
from imagemill.store.database import Database
from imagemill.store.deliveries import Delivery, DeliveryTable
from imagemill.store.holds import Holds
from imagemill.store.jobs import Jobs
from imagemill.store.urls import at

__all__ = ["Database", "Holds", "Jobs", "at", "dead_letters", "opened"]


@asynccontextmanager
async def opened(url: str | None, folder: Path, create: bool = True) -> AsyncIterator[Database]:
    """The database of a server, for a command. create: the server may not have begun yet."""
    if create:
        keep_private(folder)
    database = Database(url or at(folder))
    try:
        await database.open(create)
        yield database
    finally:
        await database.close()


async def dead_letters(
    url: str | None, folder: Path, retry: Iterable[str], now: float
) -> tuple[list[Delivery], list[str]]:
    """The deliveries that are dead, after those to `retry` were brought back; and the ids of these
    that are not among them.
    """
    async with opened(url, folder, create=False) as database:
        table = DeliveryTable(database)
        unknown = [id for id in retry if not await table.retry(id, now)]
        return await table.dead(limit=1000), unknown
