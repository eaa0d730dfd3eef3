"""Jobs tell which upstream paints them, and wait in a queue for each; what upstreams do is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision: str | None = "0013"

BEGUN = sa.text("started IS NOT NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("upstream", sa.String(32), nullable=False, server_default=""))
    op.drop_index("ix_jobs_queue", "jobs")
    op.drop_index("ix_jobs_begun", "jobs")
    waiting = ["status", "priority", "upstream", "ready", "turn", "id"]
    op.create_index("ix_jobs_queue", "jobs", waiting)
    op.create_index(
        "ix_jobs_begun",
        "jobs",
        ["upstream", "priority", "turn"],
        sqlite_where=BEGUN,
        postgresql_where=BEGUN,
    )
    op.create_table(
        "remote_requests",
        sa.Column("job", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
    )
