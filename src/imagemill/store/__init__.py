"""The database: jobs, their logs, deliveries, files. Only this room speaks SQL."""

from collections.abc import Iterable
from pathlib import Path

from imagemill.store.database import Database
from imagemill.store.deliveries import Delivery, DeliveryTable
from imagemill.store.holds import Holds
from imagemill.store.jobs import Jobs
from imagemill.store.urls import at

__all__ = ["Database", "Holds", "Jobs", "at", "dead_letters"]


async def dead_letters(
    url: str | None, folder: Path, retry: Iterable[str], now: float
) -> tuple[list[Delivery], list[str]]:
    """The deliveries that are dead, after those to `retry` were brought back; and the ids of these
    that are not among them.
    """
    database = Database(url or at(folder))
    try:
        await database.open(create=False)
        table = DeliveryTable(database)
        unknown = [id for id in retry if not await table.retry(id, now)]
        return await table.dead(limit=1000), unknown
    finally:
        await database.close()
