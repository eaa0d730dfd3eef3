"""A job tells whether its caller is on the server's machine; of older ones nobody knows."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    column: sa.Column[bool] = sa.Column(
        "local", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("jobs", column)
