"""Calls that may be sent again: under which name each came, and the job that it made."""

from dataclasses import dataclass

from sqlalchemy import delete, select

from imagemill.store.database import Database, unbroken
from imagemill.store.schema import REPEATS

FORGOTTEN = 3600.0  # seconds; longer than anybody's patience


@dataclass(frozen=True)
class Claim:
    """content: a digest of what was asked. job: the id of the job that is, or will be, made."""

    content: str
    job: str


class RepeatTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    @unbroken
    async def claim(self, name: str, mine: Claim, now: float, oldest: float) -> Claim:
        """The claim that counts for a name: `mine`, or one that came after `oldest`.

        What nobody repeats any more is forgotten on the way.
        """
        row = {"name": name, "content": mine.content, "job": mine.job, "created": now}
        stale = (REPEATS.c.name == name) & (REPEATS.c.created <= oldest)
        async with self._database.writing() as connection:
            forgotten = REPEATS.c.created < now - FORGOTTEN
            await connection.execute(delete(REPEATS).where(stale | forgotten))
            await connection.execute(
                self._database.insert(REPEATS).values(row).on_conflict_do_nothing()
            )
            wanted = select(REPEATS.c.content, REPEATS.c.job).where(REPEATS.c.name == name)
            claim = (await connection.execute(wanted)).one()
        return Claim(claim.content, claim.job)

    @unbroken
    async def release(self, name: str, job: str) -> None:
        """Gives up the claim of a job that was not made, or whose result nobody wants."""
        mine = (REPEATS.c.name == name) & (REPEATS.c.job == job)
        async with self._database.writing() as connection:
            await connection.execute(delete(REPEATS).where(mine))
