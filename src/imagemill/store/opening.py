"""Opening a database: what may be wrong with it at the start, in a sentence with a way out."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, inspect

from imagemill.errors import Fault, Kind
from imagemill.folders import touch_private
from imagemill.store.troubles import StoreFault, Trouble, first_line, of_database
from imagemill.store.urls import shown

MIGRATING = 0x696D6167  # PostgreSQL's advisory lock of those who bring tables up to date
MIGRATIONS = Path(__file__).parent / "migrations"
HEADER = 100  # bytes that every SQLite database begins with

_FILE: Mapping[Trouble, str] = {
    Trouble.LOCKED: "the database {place} is locked by another program; end that, then start again",
    Trouble.FULL: "there is no room left for the database {place}; make some, then start again",
    Trouble.READ_ONLY: (
        "the database {place} cannot be written to; let this user write to it and to its folder, "
        "or give another --data-dir"
    ),
    Trouble.UNREACHABLE: (
        "the database {place} cannot be opened; make it a file that this user may write to, in a "
        "folder that is there, or give another --data-dir"
    ),
    Trouble.DAMAGED: (
        "{place} is no database, or is damaged; put a copy of it in its place, or give another "
        "--data-dir"
    ),
}
_SERVER: Mapping[Trouble, str] = {
    Trouble.UNREACHABLE: (
        "no PostgreSQL answers at {place} ({reason}); start it, or mend the setting database"
    ),
    Trouble.REFUSED: (
        "PostgreSQL at {place} does not let us in: {reason}; mend the setting database"
    ),
}
_OTHER = "the database at {place} does not work: {reason}; mend it, or the setting database"


@contextmanager
def telling(url: URL) -> Iterator[None]:
    """What goes wrong within is told to the operator, in one sentence."""
    try:
        yield
    except CommandError as error:
        if "locate revision" not in str(error):
            raise
        raise Fault(
            Kind.FAILED,
            f"the database at {shown(url)} is of a newer imagemill; start that version, or put a "
            "copy from before in its place",
        ) from None
    except TypeError as error:  # the driver's, of a parameter in the URL
        if "unexpected keyword argument" not in str(error):
            raise
        raise _sentence(url, _OTHER, str(error)) from None
    except StoreFault as fault:
        raise _told(url, fault.trouble, fault.__cause__ or fault) from None
    except Exception as error:
        trouble = of_database(error)
        if trouble is None:
            raise
        raise _told(url, trouble, error) from None


@contextmanager
def telling_of_files(place: str) -> Iterator[None]:
    """The same of a store of files."""
    try:
        yield
    except StoreFault as fault:
        message = f"files cannot be kept in {place}: {first_line(fault.__cause__)}"
        raise Fault(Kind.FAILED, f"{message}; mend that, or give another place as files") from None


def _told(url: URL, trouble: Trouble, error: BaseException) -> Fault:
    file = url.get_backend_name() == "sqlite"
    return _sentence(url, (_FILE if file else _SERVER).get(trouble, _OTHER), first_line(error))


def _sentence(url: URL, words: str, reason: str) -> Fault:
    return Fault(Kind.FAILED, words.format(place=shown(url), reason=reason))


def check_file(file: Path, create: bool) -> None:
    """Refuses to begin anew where there was a database. create: one may be made here."""
    known, bare = mark(file).exists(), not file.exists() or _is_empty(file)
    if known and bare:
        raise _anew(file, "empty" if file.exists() else "gone")
    if bare and not create:
        raise Fault(Kind.NOT_FOUND, f"there is no database {file}; give the --data-dir of a server")
    if file.parent.is_dir():
        touch_private(file)  # the log beside it gets the same mode


def _anew(file: Path, state: str) -> Fault:
    message = f"the database {file} is {state}, and there was one; put a copy of it in its place"
    return Fault(Kind.FAILED, f"{message}, or remove {mark(file).name} beside it to begin anew")


def mark(file: Path) -> Path:
    """What lies beside a database as soon as there is one."""
    return file.with_suffix(".kept")


def migrate(connection: Connection, known: bool = False) -> None:
    """Brings the tables up to date; of several who begin at once, one after another.

    known: there must be some.
    """
    begun = inspect(connection).has_table("alembic_version")
    if known and not begun:
        raise _anew(Path(str(connection.engine.url.database)), "empty")
    if begun and _revisions(connection) == [newest()]:
        return
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATING})")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revisions(connection: Connection) -> list[str]:
    """Up to which migrations the tables are."""
    rows = connection.exec_driver_sql("SELECT version_num FROM alembic_version")
    return [str(each) for each in rows.scalars()]


@cache
def newest() -> str:
    """The last migration's number, which its file's name begins with."""
    return max(path.name for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))[:4]


def _is_empty(file: Path) -> bool:
    """Whether SQLite would take it for a new one; a log beside it changes nothing of that."""
    return file.is_file() and file.stat().st_size < HEADER
