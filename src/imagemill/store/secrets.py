"""Secrets: what this database's servers share and nobody else knows, each under a name."""

from sqlalchemy import select

from imagemill.store.database import Database, unbroken
from imagemill.store.schema import SECRETS


class SecretTable:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[str, bytes] = {}  # by name; none ever changes

    @unbroken
    async def known(self, name: str) -> bytes | None:
        """The secret that is kept under a name, if there is one."""
        async with self._database.reading() as connection:
            wanted = select(SECRETS.c.value).where(SECRETS.c.name == name)
            kept: bytes | None = (await connection.execute(wanted)).scalar_one_or_none()
        return kept

    @unbroken
    async def secret(self, name: str, fresh: bytes) -> bytes:
        """The secret that is kept under a name: `fresh` from now on, where there was none.

        Of several servers that start at once one keeps its own, and all get that one.
        """
        if name in self._kept:
            return self._kept[name]
        insert = self._database.insert(SECRETS).values({"name": name, "value": fresh})
        async with self._database.writing() as connection:
            await connection.execute(insert.on_conflict_do_nothing())
            wanted = select(SECRETS.c.value).where(SECRETS.c.name == name)
            kept: bytes = (await connection.execute(wanted)).scalar_one()
        self._kept[name] = kept
        return kept
