"""The engine in a thread of this process, for programs that paint without a server.

It is the engine of the server's process (`child`), with its batches, its models that share memory
and its cancelling; only the pipe is missing. Nothing supervises it: where it dies, the program
does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import cast

from imagemill.engine.engine_main import Child, Received, WarmUp
from imagemill.engine.exact_batching import compute_with
from imagemill.engine.ipc import Cancel, Heard, Options, Submit

NO_CONNECTION = cast(Connection, None)  # everything that would use it is overridden here


@dataclass(frozen=True)
class Stop:
    """Ends the thread."""


class Stopped(Exception):
    """Leaves the endless loop of the engine."""


class EngineThread(Child):
    """`paint` runs the engine in the calling thread until `stop`; all else is for other threads.

    hear: is told what the engine says, in whatever thread of it.
    """

    def __init__(self, options: Options, hear: Callable[[Heard], None]) -> None:
        super().__init__(NO_CONNECTION, options)
        self.hear = hear

    def paint(self) -> None:
        """Runs the engine; returns after `stop`, when nothing is computed any more."""
        compute_with(1)  # lanes take more where that is of use
        try:
            self.run(preload=(), known=())
        except Stopped:
            pass
        finally:
            self._let_go()

    def submit(self, submit: Submit) -> None:
        """Begins one generation; its inputs are read in the calling thread."""
        self._receive(submit)

    def cancel(self, id: str) -> None:
        """Stops a generation within two steps."""
        self.runner.cancel(id)
        self.inbox.put(Cancel(id))

    def warm(self, source: str) -> None:
        """Has the model at `source` be loaded, if it is not there."""
        self.inbox.put(WarmUp(source, self._footprint(source)))

    def stop(self) -> None:
        """Has `paint` return; what is under way is cancelled."""
        self.inbox.put(cast(Received, Stop()))

    def _handle(self, message: Received | Stop) -> None:
        if isinstance(message, Stop):
            raise Stopped
        super()._handle(message)

    def _let_go(self) -> None:
        """Unwinds the pipelines that are under way, in the thread that they run in."""
        for id in list(self.runner.active):
            self.runner.cancel(id)
        self.runner._drop_cancelled()
        self._send()
        for pool in (self.loader, self.adapter, self.encoder, self.runner._lanes):
            pool.shutdown(wait=True, cancel_futures=True)

    def _send(self) -> None:
        with self.writing:
            for _ in range(self.unsaid.qsize()):
                self.hear(self.unsaid.get())

    def _read(self) -> None:
        """There is no pipe to read from."""

    def _beat(self) -> None:
        """Nobody watches."""
