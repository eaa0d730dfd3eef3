"""Jobs are counted as begun when the engine has them in hand, not when they are claimed."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"

SUSPECTED = sa.text("begun >= 2")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("begun", sa.Integer(), nullable=False, server_default="0"))
    op.create_index(
        "ix_jobs_suspected",
        "jobs",
        ["status"],
        sqlite_where=SUSPECTED,
        postgresql_where=SUSPECTED,
    )
