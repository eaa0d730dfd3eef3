"""An upload tells how many bytes of it are kept before it is done."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    column: sa.Column[int] = sa.Column(
        "held", sa.BigInteger(), nullable=False, server_default=sa.text("0")
    )
    op.add_column("uploads", column)
