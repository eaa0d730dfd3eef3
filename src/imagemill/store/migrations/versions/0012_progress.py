"""How far a job has come is two numbers of a line of its log, not to be read out of its text."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision: str | None = "0011"

_STEP = re.compile(r"step (\d{1,9}) of (\d{1,9})")
_LINES = sa.table(
    "lines",
    *(sa.column(name) for name in ("job", "number", "message", "step", "steps")),
)


def upgrade() -> None:
    for name in ("step", "steps"):
        op.add_column("lines", sa.Column(name, sa.Integer(), nullable=True))
    connection = op.get_bind()
    rows = connection.execute(sa.select(_LINES.c.job, _LINES.c.number, _LINES.c.message)).all()
    for row in rows:
        if said := _STEP.fullmatch(row.message):
            mine = (_LINES.c.job == row.job) & (_LINES.c.number == row.number)
            numbers = {"step": int(said[1]), "steps": int(said[2])}
            connection.execute(_LINES.update().where(mine).values(numbers))
