"""Accounts and keys as rows."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, exists, select, update

from imagemill.accounts import Account, ApiKey, KeyLimits
from imagemill.store.database import Database, unbroken
from imagemill.store.schema import ACCOUNTS, KEYS


class AccountTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    @unbroken
    async def add(self, account: Account) -> bool:
        """Whether it was added: its name was nobody's."""
        row = {
            "id": account.id, "name": account.name, "created": account.created,
            "disabled": account.disabled,
        }  # fmt: skip
        insert = self._database.insert(ACCOUNTS).values(row).on_conflict_do_nothing()
        async with self._database.writing() as connection:
            return bool((await connection.execute(insert)).rowcount)

    @unbroken
    async def listed(self) -> list[Account]:
        """All accounts, the oldest first."""
        wanted = select(ACCOUNTS).order_by(ACCOUNTS.c.created, ACCOUNTS.c.id)
        return [_account(row) for row in await self._rows(wanted)]

    @unbroken
    async def named(self, name: str) -> Account | None:
        rows = await self._rows(select(ACCOUNTS).where(ACCOUNTS.c.name == name))
        return _account(rows[0]) if rows else None

    @unbroken
    async def any(self) -> bool:
        """Whether there is an account."""
        (row,) = await self._rows(select(exists(select(ACCOUNTS.c.id))))
        return bool(row[0])

    @unbroken
    async def disable(self, id: str, now: float | None) -> None:
        """now: None lets its keys open again."""
        change = update(ACCOUNTS).where(ACCOUNTS.c.id == id).values(disabled=now)
        async with self._database.writing() as connection:
            await connection.execute(change)

    @unbroken
    async def add_key(self, key: ApiKey) -> None:
        limits = key.limits
        row = {
            "id": key.id, "account": key.account, "digest": key.digest,
            "beginning": key.beginning, "created": key.created,
            "dialects": [*limits.dialects], "addresses": [*limits.addresses],
            "expires": limits.expires, "revoked": key.revoked,
        }  # fmt: skip
        async with self._database.writing() as connection:
            await connection.execute(KEYS.insert(), row)

    @unbroken
    async def keys_of(self, account: str) -> list[ApiKey]:
        """The keys of an account, the oldest first."""
        own = select(KEYS).where(KEYS.c.account == account)
        return [_key(row) for row in await self._rows(own.order_by(KEYS.c.created, KEYS.c.id))]

    @unbroken
    async def revoke(self, id: str, now: float) -> bool:
        """Whether there was such a key that opened something."""
        mine = (KEYS.c.id == id) & KEYS.c.revoked.is_(None)
        change = update(KEYS).where(mine).values(revoked=now)
        async with self._database.writing() as connection:
            return bool((await connection.execute(change)).rowcount)

    @unbroken
    async def holder(self, digest: str) -> tuple[Account, ApiKey] | None:
        """Whose key it is, by its digest."""
        keys = await self._rows(select(KEYS).where(KEYS.c.digest == digest))
        if not keys:
            return None
        key = _key(keys[0])
        (row,) = await self._rows(select(ACCOUNTS).where(ACCOUNTS.c.id == key.account))
        return _account(row), key

    async def _rows(self, wanted: Select[Any]) -> Sequence[Row[Any]]:
        async with self._database.reading() as connection:
            rows: Sequence[Row[Any]] = (await connection.execute(wanted)).all()
            return rows


def _account(row: Row[Any]) -> Account:
    return Account(row.id, row.name, row.created, row.disabled)


def _key(row: Row[Any]) -> ApiKey:
    limits = KeyLimits(tuple(row.dialects), tuple(row.addresses), row.expires)
    return ApiKey(row.id, row.account, row.digest, row.beginning, row.created, limits, row.revoked)
