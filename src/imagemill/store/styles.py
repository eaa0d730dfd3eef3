"""Styles that callers made of images: each a vector under an id, for every server of a database."""

from sqlalchemy import delete, select

from imagemill.conditions import StoredStyle
from imagemill.store.database import Database, unbroken
from imagemill.store.schema import STYLES


class StyleTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    @unbroken
    async def add(self, style: StoredStyle, forgotten: float) -> None:
        """Keeps a style. Those that are not younger than `forgotten` go on the way."""
        row = {
            "id": style.id,
            "caller": style.caller,
            "vector": list(style.vector),
            "preset": style.preset,
            "created": style.created,
        }
        insert = self._database.insert(STYLES).values(row).on_conflict_do_nothing()
        async with self._database.writing() as connection:
            await connection.execute(delete(STYLES).where(STYLES.c.created <= forgotten))
            await connection.execute(insert)

    @unbroken
    async def get(self, id: str, caller: str, forgotten: float) -> StoredStyle | None:
        """The caller's style of that id, where it is younger than `forgotten`."""
        mine = (STYLES.c.id == id) & (STYLES.c.caller == caller) & (STYLES.c.created > forgotten)
        async with self._database.reading() as connection:
            row = (await connection.execute(select(STYLES).where(mine))).one_or_none()
        if row is None:
            return None
        return StoredStyle(row.id, row.caller, tuple(row.vector), row.preset, row.created)
