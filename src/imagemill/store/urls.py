"""URLs of databases: as operators have them, and as the driver takes them."""

from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from imagemill.errors import Fault, invalid

DRIVER = "postgresql+asyncpg"
SCHEMES = {"postgres": DRIVER, "postgresql": DRIVER, DRIVER: DRIVER, "sqlite": "sqlite"}
# Parameters that other clients of PostgreSQL know, by what the driver calls the same.
PARAMETERS = {"sslmode": "ssl"}
_FORM = "give postgresql://user:password@host:5432/name, or nothing for SQLite in the data folder"


def at(folder: Path) -> str:
    """The URL of the database in a data folder."""
    return f"sqlite:///{folder / 'imagemill.db'}"


def resolved(url: str) -> URL:
    """The URL that the driver takes; raises a Fault, which does not repeat the password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise _wrong(f"the setting database is no URL; {_FORM}") from None
    driver = SCHEMES.get(parsed.drivername)
    if driver is None:
        raise _wrong(f"databases of the kind {parsed.drivername:.40} are not known; {_FORM}")
    query = {PARAMETERS.get(name, name): value for name, value in parsed.query.items()}
    return parsed.set(drivername=driver, query=query)


def shown(url: URL) -> str:
    """Where a database is, for its operator."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = url.query.get("host") or url.host or "localhost"
    return f"{host}:{url.port or 5432}"


def file_uri(file: str, mode: str) -> str:
    """A SQLite file as a URI, with the mode that it is opened in."""
    return f"file:{quote(file)}?mode={mode}"


def _wrong(message: str) -> Fault:
    return invalid("database", message)
