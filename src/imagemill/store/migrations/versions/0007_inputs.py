"""Jobs that need inputs wait for them in the queue, and not in a place at the engine."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    # What waits is claimed as it was until now: its worker gathers the inputs.
    op.add_column(
        "jobs", sa.Column("ready", sa.Boolean(), nullable=False, server_default=sa.true())
    )
    op.add_column("jobs", sa.Column("host", sa.String(255), nullable=False, server_default=""))
    op.drop_index("ix_jobs_queue", "jobs")
    op.create_index("ix_jobs_queue", "jobs", ["status", "priority", "ready", "turn", "id"])
