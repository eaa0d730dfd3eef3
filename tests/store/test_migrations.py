"""The migrations lead to the tables that the code goes by."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, NullPool, String, Text, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from imagemill.store.schema import METADATA
from tests.databases import Opened, database, database_url, postgres

__all__ = ["database", "database_url", "postgres"]
pytestmark = pytest.mark.anyio


def unlike(_context: Any, _column: Any, _known: Any, there: Any, wanted: Any) -> bool | None:
    """Whether two types differ; None leaves that to Alembic, which has no word for no length."""
    wanted = getattr(wanted, "impl", wanted)
    unbounded = isinstance(wanted, String) and wanted.length is None
    return False if unbounded and isinstance(there, Text) else None


def differences(connection: Connection) -> list[Any]:
    """What would have to change in a database for it to have the tables of the schema."""
    context = MigrationContext.configure(connection, opts={"compare_type": unlike})
    return list(compare_metadata(context, METADATA))


async def test_a_new_database_has_the_tables_of_the_schema(
    database: Opened, database_url: str
) -> None:
    async with database():
        pass
    if database_url.startswith("sqlite"):
        engine = create_engine(database_url, poolclass=NullPool)
        with engine.connect() as connection:
            left = differences(connection)
    else:
        server = create_async_engine(database_url, poolclass=NullPool)
        async with server.connect() as asked:
            left = await asked.run_sync(differences)
    assert left == []


def test_a_column_that_no_migration_adds_is_a_difference() -> None:
    with create_engine("sqlite://").connect() as connection:
        METADATA.create_all(connection)
        connection.exec_driver_sql("ALTER TABLE jobs DROP COLUMN fault")
        assert [(name, table) for name, _, table, _ in differences(connection)] == [
            ("add_column", "jobs")
        ]
