"""A server as `imagemill serve` starts it, but with an engine, a clock, a disk and a number of
descriptors that a test chooses: `python -m resilience.launcher FOLDER`.

Files in the folder say what happens to a server that runs: the seconds in `clock` are added to the
time of day; while there is a file `full`, the database cannot grow. Settings come from the
environment.
"""

import argparse
import math
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imagemill.engine.events import Engine

LOOK_EVERY = 0.02  # seconds between looks at what the time shall be
SILENCE = 3.0  # seconds after which a silent engine is taken for hung; usually a minute


def main() -> None:
    options = _options()
    if options.descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (options.descriptors, options.descriptors))
    # Before anything of the server is imported: this process has another time of day then.
    time.time = _TurnedClock(time.time, options.folder / "clock")
    _bound_database(options.folder / "full")
    _serve(options.engine, options.folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engine", choices=("plain", "dying", "pico"), default="plain")
    parser.add_argument("--descriptors", type=int, default=0)
    return parser.parse_args()


class _TurnedClock:
    """The time of day, as far from the true one as a file says, which is looked at now and then."""

    def __init__(self, true: Callable[[], float], offset: Path) -> None:
        self.true, self.offset, self.seconds, self.looked = true, offset, 0.0, -math.inf

    def __call__(self) -> float:
        if time.monotonic() - self.looked > LOOK_EVERY:
            self.looked, self.seconds = time.monotonic(), float(self.offset.read_text("ascii"))
        return self.true() + self.seconds


def _bound_database(full: Path) -> None:
    """Has SQLite find no page more than it has, as on a disk that is full."""
    from sqlalchemy import Connection, Engine, event

    @event.listens_for(Engine, "begin")
    def bound(connection: Connection) -> None:
        if connection.dialect.name != "sqlite":
            return
        most = 1 if full.exists() else 2**30  # pages; below what it has, it stays as it is
        connection.exec_driver_sql(f"PRAGMA max_page_count={most}")


def _serve(engine: str, folder: Path) -> None:
    from imagemill.app import make_server
    from imagemill.settings import load

    server = make_server(load(), _engine(engine, folder))
    server.run()
    sys.exit(not server.started)


def _engine(name: str, folder: Path) -> "Engine":
    from imagemill.engine.ipc import Options
    from imagemill.engine.process import EngineProcess
    from imagemill.engine.watchdog import Timeouts
    from resilience.engines import PlainEngine, painter

    options, timeouts = Options(preload=("pico",)), Timeouts(silence=SILENCE, beat=0.2)
    engines: dict[str, Callable[[], Any]] = {
        "plain": PlainEngine,
        "dying": lambda: EngineProcess(
            options, timeouts, partial(painter, folder / "deaths", folder / "gate")
        ),
        "pico": lambda: EngineProcess(options, timeouts),
    }
    made: Engine = engines[name]()
    return made


if __name__ == "__main__":
    main()
