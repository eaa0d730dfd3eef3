"""Jobs have a flow, whose share of the queue they take. What waits keeps its order, and goes before
what comes from now on: turns are not counted in seconds any more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"

BEGUN = sa.text("started IS NOT NULL")
STEP = 1e-3  # between the turns of jobs that wait; far less than a job costs
JOBS = sa.table(
    "jobs", *map(sa.column, ("id", "priority", "turn", "status", "started", "caller", "flow"))
)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("flow", sa.String(80), nullable=False, server_default=""))
    op.execute("UPDATE jobs SET flow = priority || '/usual/' || caller WHERE finished IS NULL")
    _renumber(op.get_bind())
    op.create_index("ix_jobs_flow", "jobs", ["flow", "status", "turn"])
    op.create_index(
        "ix_jobs_begun",
        "jobs",
        ["priority", "turn"],
        sqlite_where=BEGUN,
        postgresql_where=BEGUN,
    )


def _renumber(connection: sa.Connection) -> None:
    """Turns of what waits, in its order and close behind what was begun last."""
    begun = sa.select(JOBS.c.priority, sa.func.max(JOBS.c.turn)).where(JOBS.c.started.is_not(None))
    found = connection.execute(begun.group_by(JOBS.c.priority))
    last = dict(map(tuple, found))
    waiting = sa.select(JOBS.c.id, JOBS.c.priority, JOBS.c.turn).where(JOBS.c.status == "queued")
    turns = list[dict[str, object]]()
    for row in connection.execute(waiting.order_by(JOBS.c.priority, JOBS.c.turn, JOBS.c.id)):
        last[row.priority] = last.get(row.priority, row.turn) + STEP
        turns.append({"waiting": row.id, "next": last[row.priority]})
    if turns:
        mine = sa.update(JOBS).where(JOBS.c.id == sa.bindparam("waiting"))
        connection.execute(mine.values(turn=sa.bindparam("next")), turns)
