"""Engine processes without tensors, that do what their prompts say: for `EngineProcess(entry=...)`.

"kills" ends the process at its second step, "hangs" lets no step end any more, "stops" stops the
process. Everything else is painted in three steps. A source of "deadly" kills the process while it
is loaded, one of "absent" cannot be loaded, one of "endless" is never there.
"""

import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

from imagemill.engine.devices import VISIBLE
from imagemill.engine.events import Failed, Finished, Progress
from imagemill.engine.exits import NO_DEVICE
from imagemill.engine.ipc import (
    Beat,
    Cancel,
    Close,
    Held,
    Loading,
    Options,
    Ready,
    Said,
    Submit,
)
from imagemill.errors import Fault, Kind
from imagemill.generation import GeneratedImages

STEPS = 3
CANCELLED = Failed(Fault(Kind.CANCELLED, "the work was cancelled"))


class Stub:
    def __init__(self, connection: Connection, options: Options, gate: Path | None = None) -> None:
        self.connection, self.options, self.gate = connection, options, gate
        self.work: dict[str, tuple[Submit, int]] = {}
        self.loaded: set[str] = set()
        self.turns, self.loading = 0, False

    def run(self) -> None:
        threading.Thread(target=self.beat, daemon=True).start()
        failed = tuple(each for each in self.options.preload if not self.load(each))
        self.connection.send([Ready(failed)])
        while True:
            while not self.work or self.connection.poll():
                self.take(self.connection.recv())
            while self.gate and not self.gate.exists():
                if self.connection.poll(0.01):
                    self.take(self.connection.recv())
            for id in list(self.work):
                self.step(id)
            self.turns += 1

    def beat(self) -> None:
        while True:
            self.connection.send([Beat(self.turns, self.loading)])
            time.sleep(self.options.beat)

    def load(self, source: str) -> bool:
        self.connection.send([Loading(source)])
        if source == "deadly":
            os._exit(9)
        if source == "endless":
            self.loading = True
            threading.Event().wait()
        self.connection.send([Loading(None)])
        self.loaded.add(source)
        self.connection.send([Held(frozenset(self.loaded - {"absent"}))])
        return source != "absent"

    def take(self, message: Submit | Cancel | Close) -> None:
        match message:
            case Submit(id, _, source):
                if source not in self.loaded:
                    self.load(source)
                self.work[id] = message, 0
            case Cancel(id):
                self.end(id, CANCELLED)
            case Close():
                os._exit(0)

    def step(self, id: str) -> None:
        submit, step = self.work[id]
        prompt = submit.generation.prompt
        if prompt == "kills" and step == 1:
            os._exit(7)
        if prompt == "hangs":
            threading.Event().wait()
        if prompt == "stops":
            os.kill(os.getpid(), signal.SIGSTOP)
        self.work[id] = submit, step + 1
        self.connection.send([Said(id, Progress(step + 1, STEPS))])
        if step + 1 == STEPS:
            self.end(id, Finished(painted()))

    def end(self, id: str, event: Finished | Failed) -> None:
        if self.work.pop(id, None):
            self.connection.send([Said(id, event)])


def painted() -> GeneratedImages:
    """Served by the GPU that the process sees."""
    return GeneratedImages((b"a picture",), 0.1, os.environ.get(VISIBLE, "stub"))


def stub(connection: Connection, options: Options) -> None:
    Stub(connection, options).run()


def gated(gate: Path, connection: Connection, options: Options) -> None:
    """Paints no step as long as there is no `gate`."""
    Stub(connection, options, gate).run()


def gated_each(folder: Path, connection: Connection, options: Options) -> None:
    """Paints no step as long as there is no file in `folder` by the name of its device."""
    gated(folder / (options.device or ""), connection, options)


def lost(folder: Path, connection: Connection, options: Options) -> None:
    """As `gated_each`; but a device is not seen as long as there is a file `no-DEVICE`."""
    if (folder / f"no-{options.device}").exists():
        os._exit(NO_DEVICE)
    gated_each(folder, connection, options)


def failing(notes: Path, deaths: int, connection: Connection, options: Options) -> None:
    """Dies as it starts, so many times; `notes` counts its starts."""
    with notes.open("a", encoding="ascii") as file:
        file.write("x")
    if len(notes.read_text("ascii")) <= deaths:
        os._exit(5)
    stub(connection, options)


def silent(connection: Connection, options: Options) -> None:
    """Says nothing, but ends when it is asked to."""
    while not isinstance(connection.recv(), Close):
        pass
