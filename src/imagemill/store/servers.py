"""Servers: the processes that serve from one database, and whether who waits at one still can.

PostgreSQL may have several, of which each shows now and then that it is there. SQLite has one.
"""

from sqlalchemy import ColumnElement, delete, or_, select, true

from imagemill.store.database import Database, Executor
from imagemill.store.schema import JOBS, SERVERS

# Seconds after which the callers of a server that does not show are taken to be gone with it. Until
# then nobody paints for them, and nobody cancels them either: it may only have been stopped.
ABSENT = 600.0
FORGOTTEN = 86_400.0  # seconds after which it is not known any more


async def show(database: Database, connection: Executor, name: str, now: float) -> None:
    """Writes that a server is there, where another may want to know."""
    if database.is_sqlite:
        return
    clock = database.clock(now)
    row = database.insert(SERVERS).values(name=name, seen=clock)
    await connection.execute(
        row.on_conflict_do_update(index_elements=["name"], set_={"seen": clock})
    )
    await connection.execute(delete(SERVERS).where(SERVERS.c.seen < clock - FORGOTTEN))


def attended_or_plain(database: Database, seconds: float, now: float) -> ColumnElement[bool]:
    """Jobs that nobody waits for, and those whose server has shown within so many seconds."""
    return ~JOBS.c.attended | _present(database, seconds, now)


def deserted(database: Database, server: str, now: float) -> ColumnElement[bool]:
    """Jobs whose callers are gone with the server that had their connections; `server` is not."""
    if database.is_sqlite:
        return JOBS.c.attended & JOBS.c.server.is_distinct_from(server)
    return JOBS.c.attended & ~_present(database, ABSENT, now)


def _present(database: Database, seconds: float, now: float) -> ColumnElement[bool]:
    """Of a job without a server's name, as an older version has written it, nothing is known."""
    if database.is_sqlite:
        return true()
    seen = SERVERS.c.seen >= database.clock(now) - seconds
    return or_(JOBS.c.server.is_(None), JOBS.c.server.in_(select(SERVERS.c.name).where(seen)))
