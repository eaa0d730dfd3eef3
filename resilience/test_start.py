"""A server that cannot begin says why in one sentence, and disturbs nobody."""

import ctypes
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from resilience.calls import CALLS, JOBS, caller, painting
from resilience.conftest import Tell, Watching
from resilience.servers import HOST, Server, free_port

pytestmark = pytest.mark.anyio

PAGE = 4096  # bytes of a database
DROP_FROM_BOUNDS, OVERRIDE = 24, 1  # of prctl: root, too, is to mind who may write
ALL = f"all {JOBS} jobs and {CALLS} calls that waited of the first one were painted"


def sentence(server: Server) -> str:
    """Why a server did not begin: all that it has said."""
    assert server.ended() != 0
    lines = server.log.strip().splitlines()
    assert "Traceback" not in server.log, server.log
    told = [line for line in lines if line.startswith("imagemill: ")]
    assert len(told) == 1, server.log
    return told[0].removeprefix("imagemill: ").replace(str(server.folder), "…")


def used(server: Server, folder: Path) -> Path:
    """A data folder like that of a server, as a backup has it."""
    shutil.copytree(server.data, folder, ignore=shutil.ignore_patterns("imagemill.db*", "*.lock"))
    with (
        closing(sqlite3.connect(server.data / "imagemill.db")) as source,
        closing(sqlite3.connect(folder / "imagemill.db")) as copy,
    ):
        source.backup(copy)
    return folder / "imagemill.db"


def emptied(server: Server, new: Server) -> None:
    used(server, new.data).write_bytes(b"")


def damaged(server: Server, new: Server) -> None:
    file = used(server, new.data)
    content = bytearray(file.read_bytes())
    content[PAGE:] = b"\xa5" * (len(content) - PAGE)
    file.write_bytes(content)


def read_only(server: Server, new: Server) -> None:
    used(server, new.data)
    for each in (new.data, *new.data.rglob("*")):
        each.chmod(each.stat().st_mode & ~0o222)


def taken(server: Server, new: Server) -> None:
    new.port = server.port


def nobody_there(server: Server, new: Server) -> None:
    new.settings["database"] = f"postgres://{HOST}:{free_port()}/imagemill"


FAULTS: dict[str, Callable[[Server, Server], None]] = {
    "The database file has been emptied": emptied,
    "The database file is damaged": damaged,
    "The data folder may not be written to": read_only,
    "The port is taken": taken,
    "Nobody listens at the database's URL, `postgres://…`": nobody_there,
}


def mind_permissions() -> None:
    """Root could write everywhere."""
    with suppress(AttributeError):  # no such call but on Linux
        ctypes.CDLL(None).prctl(DROP_FROM_BOUNDS, OVERRIDE, 0, 0, 0)


@pytest.fixture(scope="module")
def starting(
    shared: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Server]]:
    """Every faulty server, all of which are started at once."""
    servers = dict[str, Server]()
    for fault, prepare in FAULTS.items():
        servers[fault] = new = Server(tmp_path_factory.mktemp("faulty"))
        prepare(shared, new)
        new.serve(before=mind_permissions)
    yield servers
    for each in servers.values():
        each.kill()


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=pytest.mark.fault(fault)) for fault in FAULTS]
)
async def test_faulty(fault: str, starting: dict[str, Server], tell: Tell) -> None:
    tell(f"It does not start: “{sentence(starting[fault])}”.")
    if fault == "The database file has been emptied":
        assert (starting[fault].data / "imagemill.db").stat().st_size == 0


@contextmanager
def started(new: Server) -> Iterator[Server]:
    new.serve()
    try:
        yield new
    finally:
        new.kill()


@pytest.mark.fault("A second server is started on the same folder while the first one paints")
async def test_same_folder(
    plain: Server, tmp_path_factory: pytest.TempPathFactory, watched: Watching
) -> None:
    second = Server(tmp_path_factory.mktemp("second"), {"data_dir": plain.data})
    async with caller(plain, num_inference_steps=50) as someone:
        with watched(plain) as watch, started(second):
            ids, calls = await painting(plain, someone)
            told = sentence(second)
            await someone.all_answered(ids, calls)
            told = told.replace(str(plain.folder), "…")
            watch.happened = f"It does not start: “{told}”. Meanwhile {ALL}."


@pytest.mark.fault("A second server is started on the same PostgreSQL with a folder of its own")
async def test_same_database(
    on_postgres: Server, tmp_path_factory: pytest.TempPathFactory, watched: Watching
) -> None:
    second = Server(tmp_path_factory.mktemp("second"), dict(on_postgres.settings))
    async with caller(on_postgres, num_inference_steps=50) as someone:
        with watched(on_postgres) as watch, started(second):
            ids, calls = await painting(on_postgres, someone)
            told = sentence(second)
            await someone.all_answered(ids, calls)
            watch.happened = f"It does not start: “{told}”. Meanwhile {ALL}."
