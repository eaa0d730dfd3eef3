"""Faults and the servers that they are done to; the table of docs/faults.md."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from benchmarks.results import machine
from resilience.postgres import Postgres, postgres_in
from resilience.servers import Server, running
from resilience.table import DOCUMENT, SECTIONS, Row, written
from resilience.watching import Watch, watching

DATABASE = "shared"  # the database of the server that keeps its jobs in PostgreSQL
ROWS = pytest.StashKey[dict[str, Row]]()

Watching = Callable[..., AbstractContextManager[Watch]]
Tell = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", action="store_true", help="write docs/faults.md")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = {}


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.getoption("--faults", False) and not is_whole(session):
        raise pytest.UsageError("--faults is for the whole suite, not for a part of it")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.getoption("--faults", False) and exitstatus == pytest.ExitCode.OK:
        rows = session.config.stash[ROWS].values()
        DOCUMENT.write_text(written(rows, faults_of(session), machine()), "utf-8")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.get_verbosity() > 0:
        for row in config.stash[ROWS].values():
            terminalreporter.write(str(row))


def faults_of(session: pytest.Session) -> dict[str, str]:
    """The faults of this run in their order, each with its section."""
    return {fault: item.path.stem for item in session.items for fault in named(item)}


def named(item: pytest.Item) -> list[str]:
    return [fault for mark in item.iter_markers("fault") for fault in mark.args]


def is_whole(session: pytest.Session) -> bool:
    files = {item.path for item in session.items}
    parts = any("::" in argument for argument in session.config.args)
    chosen = session.config.getoption("-k") or session.config.getoption("-m")
    return files >= set(Path(__file__).parent.glob("test_*.py")) and not parts and not chosen


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell has what it runs in the background ignore interrupts, and so would its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def faults(request: pytest.FixtureRequest) -> dict[str, str]:
    """All that the tests of this run inject, each with its section."""
    return faults_of(request.session)


@pytest.fixture(scope="session")
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether every test of the suite is in this run."""
    return is_whole(request.session)


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """`tell(happened)` makes the row of the test's fault; `fault=` says which, of several."""

    def told(happened: str, watch: Watch | None = None, fault: str | None = None) -> None:
        known = named(request.node)
        fault = fault or known[0]
        assert fault in known
        assert happened, f"nothing is told of: {fault}"
        section = request.node.path.stem
        assert section in SECTIONS
        measured = None if watch is None else watch.measured
        request.config.stash[ROWS][fault] = Row(section, fault, happened, measured)

    return told


@pytest.fixture
def watched(tell: Tell) -> Watching:
    """`with watched(server) as watch:` asks the server meanwhile, and makes the row in the end."""

    @contextmanager
    def watch_of(server: Server, fault: str | None = None) -> Iterator[Watch]:
        with watching(server) as watch:
            yield watch
        tell(watch.happened, watch, fault)

    return watch_of


@pytest.fixture(scope="session")
def pico(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the embedded model."""
    with running(Server(tmp_path_factory.mktemp("pico"), options=("--engine", "pico"))) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    # Not in pytest's own folder, which every run of it closes to the user that root runs it as.
    with TemporaryDirectory(prefix="imagemill") as folder, postgres_in(Path(folder)) as found:
        yield found


@pytest.fixture(scope="session")
def on_postgres(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Server]:
    """A server that keeps its jobs in PostgreSQL."""
    settings = {"database": postgres.database(DATABASE)}
    with running(Server(tmp_path_factory.mktemp("on_postgres"), settings)) as server:
        yield server


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose engine paints at once, for the faults that leave it alive."""
    with running(Server(tmp_path_factory.mktemp("server"))) as server:
        yield server


@pytest.fixture
def plain(shared: Server) -> Server:
    """The same, started anew where an earlier test has left it dead."""
    if not shared.alive:
        shared.start()
        shared.ready()
    return shared
