"""The engine process: one thread moves tensors; others read messages, load models, encode."""

import logging
import os
import queue
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch

from imagemill.engine.encoding import encode
from imagemill.engine.events import Event, Failed, Finished
from imagemill.engine.hub import device, prepare
from imagemill.engine.messages import Cancel, Close, Options, Ready, Said, Submit
from imagemill.engine.runner import ROW_BUDGET, Painting, Runner
from imagemill.errors import Fault, Kind
from imagemill.pipelines.loading import Loaded

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arrived:
    """A model has been loaded, or could not be."""

    source: str
    loaded: Loaded | Fault


class Child:
    def __init__(self, connection: Connection, options: Options) -> None:
        self.connection, self.writing = connection, threading.Lock()
        self.inbox: queue.SimpleQueue[Submit | Cancel | Arrived] = queue.SimpleQueue()
        budget = options.budget or ROW_BUDGET[device()]
        self.runner = Runner(budget, self._say, self._finish, time.monotonic)
        self.models: dict[str, Loaded] = {}
        self.awaiting: dict[str, list[Submit]] = {}  # by source that is being loaded
        self.loader, self.encoder = ThreadPoolExecutor(1), ThreadPoolExecutor(1)

    def run(self, preload: tuple[str, ...]) -> None:
        self.models |= {source: prepare(source) for source in preload}
        threading.Thread(target=self._read, daemon=True).start()
        self._send(Ready())
        with torch.inference_mode():
            while True:
                busy = self.runner.step()
                while not busy or not self.inbox.empty():
                    self._handle(self.inbox.get())
                    busy = True

    def _read(self) -> None:
        """In a thread of its own: ends the process with the server, however that ended."""
        try:
            while not isinstance(message := self.connection.recv(), Close):
                if isinstance(message, Cancel):
                    self.runner.cancel(message.id)
                self.inbox.put(message)
        finally:
            os._exit(0)

    def _handle(self, message: Submit | Cancel | Arrived) -> None:
        match message:
            case Submit(id, generation, source):
                if source in self.models:
                    self.runner.start(id, generation, self.models[source])
                else:
                    self._await(message)
            case Cancel(id):
                self._forget(id)
                self.runner.cancel(id)  # once more, for a submission read in the same forward
            case Arrived(source, Fault() as fault):
                for submit in self.awaiting.pop(source):
                    self._say(submit.id, Failed(fault))
            case Arrived(source, Loaded() as loaded):
                self.models[source] = loaded
                for submit in self.awaiting.pop(source):
                    self.runner.start(submit.id, submit.generation, loaded)

    def _await(self, submit: Submit) -> None:
        if submit.source not in self.awaiting:
            self.loader.submit(self._load, submit.source)
        self.awaiting.setdefault(submit.source, []).append(submit)

    def _load(self, source: str) -> None:
        try:
            self.inbox.put(Arrived(source, prepare(source)))
        except Fault as fault:
            self.inbox.put(Arrived(source, fault))
        except Exception:
            log.exception("could not load %s", source)
            self.inbox.put(Arrived(source, Fault(Kind.FAILED, "the model could not be loaded")))

    def _forget(self, id: str) -> None:
        """Takes a cancelled submission out of those that wait for a model."""
        for waiting in self.awaiting.values():
            for submit in [submit for submit in waiting if submit.id == id]:
                waiting.remove(submit)
                self._say(id, Failed(Fault(Kind.CANCELLED, "the work was cancelled")))

    def _finish(self, painting: Painting) -> None:
        self.encoder.submit(self._encode, painting)

    def _encode(self, painting: Painting) -> None:
        try:
            self._say(painting.id, Finished(encode(painting, time.monotonic())))
        except Exception:
            log.exception("encoding %s failed", painting.id)
            self._say(painting.id, Failed(Fault(Kind.FAILED, "the picture could not be encoded")))

    def _say(self, id: str, event: Event) -> None:
        self._send(Said(id, event))

    def _send(self, message: Ready | Said) -> None:
        with self.writing:
            self.connection.send(message)


def main(connection: Connection, options: Options) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to answer
    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    Child(connection, options).run(options.preload)
