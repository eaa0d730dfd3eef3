"""One engine process and the pipe to it; no torch. Two threads move the messages, so that files of
many megabytes never hold up the event loop."""

import asyncio
import logging
import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from imagemill.engine.devices import VISIBLE, visible
from imagemill.engine.ipc import Cancel, Close, Heard, Options, Submit, Warm

log = logging.getLogger(__name__)

Message = Submit | Cancel | Warm | Close
Entry = Callable[[Connection, Options], None]


def _begin(entry: Entry, connection: Connection, options: Options) -> None:
    """In the new process: hides all devices but its own, before anybody asks for them."""
    if options.device is not None:
        os.environ[VISIBLE] = visible(options.device, os.environ)
    entry(connection, options)


class ProcessLink:
    """Starts a process that runs `entry`, which must be importable. hear: gets what it says, in the
    loop. `code` becomes its exit code once it has ended, however that came, and all is heard.

    Raises OSError where no process can be started.
    """

    def __init__(
        self, entry: Entry, options: Options, hear: Callable[[Sequence[Heard]], None]
    ) -> None:
        self._loop, self._hear = asyncio.get_running_loop(), hear
        self.code: asyncio.Future[int | None] = self._loop.create_future()
        self._outbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()  # None: no more
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_begin, args=(entry, theirs, options), daemon=True)
        try:
            self._process.start()
        finally:
            theirs.close()
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True).start()

    def send(self, message: Message) -> None:
        self._outbox.put(message)

    def kill(self) -> None:
        self._process.kill()

    async def close(self, seconds: float) -> None:
        """Asks the process to end, and sees to it after so long."""
        self.send(Close())
        await asyncio.wait([self.code], timeout=seconds)
        self.kill()
        await self.code

    def _read(self) -> None:
        """Runs in a thread of its own, for the life of the process."""
        try:
            # The pipe alone would not tell, where a child of the process holds its other end.
            while self._ours in wait([self._ours, self._process.sentinel]):
                self._post(self._hear, self._ours.recv())
        except (EOFError, OSError):
            pass
        except Exception:
            log.exception("what the engine process said cannot be read")
        finally:
            self._outbox.put(None)
            self._process.kill()
            self._process.join()
            self._post(self._end, self._process.exitcode)

    def _post(self, work: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody will hear of it
            self._loop.call_soon_threadsafe(work, *args)

    def _end(self, code: int | None) -> None:
        if not self.code.done():
            self.code.set_result(code)

    def _write(self) -> None:
        """Runs in a thread of its own."""
        while (message := self._outbox.get()) is not None:
            try:
                self._ours.send(message)
            except OSError:
                log.warning("the engine process is gone; waiting for its successor")
                return
