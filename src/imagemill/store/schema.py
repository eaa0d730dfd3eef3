"""The tables. Times are unix seconds; what only code reads is JSON."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    false,
    text,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


class Words(TypeDecorator[str]):
    """Text that every database holds. PostgreSQL has none with NUL, nor halves of characters; who
    sends such gets their place marked, and finds nothing under such a name.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


SUSPECT = 2  # times begun from which on a job is claimed beside no other such one
SUSPECTED = text(f"begun >= {SUSPECT}")
BEGUN = text("started IS NOT NULL")

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", Words(64), primary_key=True),
    Column("door", Words(32), nullable=False),
    Column("caller", Words(64), nullable=False),
    Column("status", Words(16), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("turn", Float, nullable=False),  # the order of claims within a priority
    Column("flow", Words(80), nullable=False),  # whose share of the queue it takes
    # Whether it may be claimed: where it needs inputs, by the worker alone that has gathered them.
    Column("ready", Boolean, nullable=False),
    Column("host", Words(255), nullable=False),  # that the first of its inputs comes from
    Column("attended", Boolean, nullable=False),
    Column("created", Float, nullable=False),
    Column("start_by", Float),
    Column("started", Float),
    Column("finished", Float),
    Column("attempts", Integer, nullable=False),  # claims
    Column("begun", Integer, nullable=False),  # claims whose work began and did not end in order
    Column("worker", Words(64)),  # who has claimed it; its claim counts until `lease`
    Column("lease", Float),
    Column("server", Words(64)),  # on whose connection the caller of an attended one waits
    Column("unwanted", Boolean, nullable=False),  # to be cancelled by the worker that has it
    Column("callback", Words),
    Column("keep", Float),
    Column("public", Boolean, nullable=False),
    Column("stored", Boolean, nullable=False),
    Column("local", Boolean, nullable=False, server_default=false()),
    Column("source", Words, nullable=False),
    # The upstream that paints it, at most 32 characters; empty where an engine of ours does.
    Column("upstream", Words(32), nullable=False, server_default=""),
    Column("generation", JSON, nullable=False),
    Column("wire", JSON, nullable=False),
    Column("result", JSON),
    Column("fault", JSON),
    # Micro-credits that are held for it, and charged when it succeeds.
    Column("price", BigInteger, nullable=False, server_default=text("0")),
    Index("ix_jobs_queue", "status", "priority", "upstream", "ready", "turn", "id"),
    Index("ix_jobs_finished", "finished"),
    Index("ix_jobs_caller", "door", "caller", "created"),
    Index("ix_jobs_flow", "flow", "status", "turn"),
    Index("ix_jobs_suspected", "status", sqlite_where=SUSPECTED, postgresql_where=SUSPECTED),
    Index(
        "ix_jobs_begun", "upstream", "priority", "turn",
        sqlite_where=BEGUN, postgresql_where=BEGUN,
    ),
)  # fmt: skip

LINES = Table(
    "lines",
    METADATA,
    Column("job", Words(64), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("message", Words, nullable=False),
    # Of a line that tells how far the job has come.
    Column("step", Integer),
    Column("steps", Integer),
)

# Deliveries are written in the transaction that ends their job, so that none is forgotten.
DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("job", Words(64), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("url", Words, nullable=False),
    Column("created", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", Float),  # of the next attempt; none where it is delivered or dead
    Column("delivered", Float),
    Column("dead", Boolean, nullable=False),
    Column("error", Words),  # of the last attempt
    Column("receiver", Words(300), nullable=False),  # its scheme, host and port
    Column("caller", Words(64), nullable=False),
    Column("lane", Integer, nullable=False),
    Index("ix_deliveries_due", "lane", "due"),
)

FILES = Table(
    "files",
    METADATA,
    Column("key", Words(255), primary_key=True),
    Column("job", Words(64)),  # that made it; none where it was uploaded
    Column("caller", Words(64), nullable=False),
    Column("name", Words, nullable=False),
    Column("content_type", Words, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("public", Boolean, nullable=False),
    Index("ix_files_expires", "expires"),
    Index("ix_files_job", "job"),
)

# Uploads that were announced and not finished; `parts` of a multipart upload are objects of their
# own until it is completed.
UPLOADS = Table(
    "uploads",
    METADATA,
    Column("id", Words(64), primary_key=True),
    Column("key", Words(255), nullable=False),
    Column("caller", Words(64), nullable=False),
    Column("name", Words, nullable=False),
    Column("content_type", Words, nullable=False),
    Column("created", Float, nullable=False),
    Column("keep", Float),
    Column("public", Boolean, nullable=False),
    Column("parts", Boolean, nullable=False),
    Column("held", BigInteger, nullable=False, server_default=text("0")),  # bytes, until it is done
    Index("ix_uploads_created", "created"),
)

# The parts of uploads that are not done.
PARTS = Table(
    "parts",
    METADATA,
    Column("upload", Words(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
)

# The processes that serve from a database that several share, and when they were last there.
SERVERS = Table(
    "servers",
    METADATA,
    Column("name", Words(64), primary_key=True),
    Column("seen", Float, nullable=False),
)

# What upstreams paint of our jobs: kept until the job has ended and nothing is painted for it.
REMOTE_REQUESTS = Table(
    "remote_requests",
    METADATA,
    Column("job", Words(64), primary_key=True),
    Column("source", Words, nullable=False),
    Column("id", Words(200), nullable=False),  # at the upstream; empty until it has answered
    Column("created", Float, nullable=False),
)

# Calls that may be sent again, by a digest of who sent them and by which name.
REPEATS = Table(
    "repeats",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("content", String(64), nullable=False),
    Column("job", String(64), nullable=False),
    Column("created", Float, nullable=False),
    Index("ix_repeats_created", "created"),
)

# Styles that callers made of images.
STYLES = Table(
    "styles",
    METADATA,
    Column("id", Words(64), primary_key=True),
    Column("caller", Words(64), nullable=False),
    Column("vector", JSON, nullable=False),
    Column("preset", Words),
    Column("created", Float, nullable=False),
    Index("ix_styles_created", "created"),
)

# What the server keeps for itself, such as the key that signs webhooks.
SECRETS = Table(
    "secrets",
    METADATA,
    Column("name", Words(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# Who may call.
ACCOUNTS = Table(
    "accounts",
    METADATA,
    Column("id", Words(32), primary_key=True),
    Column("name", Words(64), nullable=False, unique=True),
    Column("created", Float, nullable=False),
    Column("disabled", Float),
    # What the ledger's entries of the account sum up to, in micro-credits.
    Column("purse", BigInteger, nullable=False, server_default=text("0")),
    Column("held", BigInteger, nullable=False, server_default=text("0")),
)

KEYS = Table(
    "keys",
    METADATA,
    Column("id", Words(16), primary_key=True),
    Column("account", Words(32), ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("beginning", Words(16), nullable=False),
    Column("created", Float, nullable=False),
    Column("dialects", JSON, nullable=False),
    Column("addresses", JSON, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
    Index("ix_keys_account", "account", "created"),
)

# Double entry: the amounts of a transaction sum up to 0.
LEDGER = Table(
    "ledger",
    METADATA,
    Column("transaction", Words(128), primary_key=True),
    Column("ledger", Words(64), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("created", Float, nullable=False),
    Index("ix_ledger_ledger", "ledger", "created"),
)
