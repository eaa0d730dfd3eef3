"""The table of secrets: the first one under a name is everybody's."""

import asyncio
from pathlib import Path

import pytest

from imagemill.store.secrets import SecretTable
from tests.store.test_deliveries import opened

pytestmark = pytest.mark.anyio


async def test_the_first_secret_is_kept_whoever_comes_later(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        offers = [(one, b"1"), (other, b"2"), (one, b"3"), (other, b"4")]
        tables = [(SecretTable(database), fresh) for database, fresh in offers]
        kept = await asyncio.gather(*(table.secret("webhooks", fresh) for table, fresh in tables))
    async with opened(tmp_path) as again:
        assert {*kept, await SecretTable(again).secret("webhooks", b"5")} == {kept[0]}


async def test_a_secret_goes_by_its_name_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        table = SecretTable(database)
        assert await table.known("tokens") is None
        assert await table.secret("tokens", b"1") == b"1"
        assert (await table.known("tokens"), await table.known("webhooks")) == (b"1", None)
