"""A caller's jobs are listed."""

from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    op.create_index("ix_jobs_caller", "jobs", ["door", "caller", "created"], unique=False)
