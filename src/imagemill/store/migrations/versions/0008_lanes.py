"""Deliveries tell who receives them and whose they are, and wait in lanes."""

import sqlalchemy as sa
from alembic import op

from imagemill.store.deliveries import receiver_of

revision = "0008"
down_revision: str | None = "0007"

DELIVERIES = sa.table("deliveries", *map(sa.column, ("job", "url", "receiver", "caller", "lane")))
JOBS = sa.table("jobs", sa.column("id"), sa.column("caller"))


def upgrade() -> None:
    for name, kind in (("receiver", sa.String(300)), ("caller", sa.String(64))):
        op.add_column("deliveries", sa.Column(name, kind, nullable=False, server_default=""))
    op.add_column("deliveries", sa.Column("lane", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE deliveries SET lane = 1 WHERE attempts > 0")
    _fill(op.get_bind())
    op.drop_index("ix_deliveries_due", "deliveries")
    op.create_index("ix_deliveries_due", "deliveries", ["lane", "due"])


def _fill(connection: sa.Connection) -> None:
    kept = sa.select(DELIVERIES.c.job, DELIVERIES.c.url, JOBS.c.caller)
    found = connection.execute(kept.join(JOBS, JOBS.c.id == DELIVERIES.c.job)).all()
    rows = [{"its": row.job, "to": receiver_of(row.url), "whose": row.caller} for row in found]
    if rows:
        mine = sa.update(DELIVERIES).where(DELIVERIES.c.job == sa.bindparam("its"))
        filled = mine.values(receiver=sa.bindparam("to"), caller=sa.bindparam("whose"))
        connection.execute(filled, rows)
