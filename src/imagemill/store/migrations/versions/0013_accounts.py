"""Accounts, the keys that open them, and what they have and spend."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision: str | None = "0012"


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("disabled", sa.Float(), nullable=True),
        sa.Column("purse", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("held", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("name", name="uq_accounts_name"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("account", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("beginning", sa.String(16), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("dialects", sa.JSON(), nullable=False),
        sa.Column("addresses", sa.JSON(), nullable=False),
        sa.Column("expires", sa.Float(), nullable=True),
        sa.Column("revoked", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("digest", name="uq_keys_digest"),
        sa.ForeignKeyConstraint(
            ["account"], ["accounts.id"], name="fk_keys_account", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_keys_account", "keys", ["account", "created"])
    op.create_table(
        "ledger",
        sa.Column("transaction", sa.String(128), nullable=False),
        sa.Column("ledger", sa.String(64), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("transaction", "ledger", name="pk_ledger"),
    )
    op.create_index("ix_ledger_ledger", "ledger", ["ledger", "created"])
    price = sa.Column("price", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
    op.add_column("jobs", price)
