"""The engine process: one thread moves trajectories; others compute, read, load and encode."""

import logging
import os
import queue
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import torch

from imagemill.engine.encoding import encode
from imagemill.engine.events import NO_INPUTS, Event, Failed, Finished
from imagemill.engine.exact import compute_with
from imagemill.engine.hub import adapt, device, lanes_for, prepare
from imagemill.engine.messages import (
    Beat,
    Cancel,
    Close,
    Heard,
    Loading,
    Options,
    Ready,
    Said,
    Submit,
)
from imagemill.engine.processors import Load
from imagemill.engine.runner import ROW_BUDGET, Computed, Forward, Painting, Runner
from imagemill.engine.shelf import Key, Shelf, Wanted
from imagemill.errors import Fault, Kind
from imagemill.pipelines.loading import Loaded
from imagemill.pipelines.sources import Weights, read

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arrived:
    """A model has been loaded, or could not be."""

    key: Key
    loaded: Loaded | Fault


Received = Wanted | Cancel | Arrived | Computed


class Child:
    def __init__(self, connection: Connection, options: Options) -> None:
        self.connection, self.writing = connection, threading.Lock()
        self.unsaid: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self.inbox: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self.runner = Runner(
            options.budget or ROW_BUDGET[device()],
            self._note,
            self._finish,
            time.monotonic,
            lanes_for(options.threads),
            Load().free,
            self.inbox.put,
        )
        self.shelf: Shelf[Loaded] = Shelf(self._begin_loading, self._start)
        # One thread each, for the arithmetic as well: the processors belong to the lanes.
        self.loader = ThreadPoolExecutor(1, "loader", compute_with, (1,))
        self.adapter = ThreadPoolExecutor(1, "adapter", compute_with, (1,))  # waits for no model
        self.encoder = ThreadPoolExecutor(1, "encoder", compute_with, (1,))
        self.loading, self.beat = False, options.beat
        self.turns, self.turn = 0, set[Forward]()

    def run(self, preload: tuple[str, ...]) -> None:
        for work in (self._read, self._beat):
            threading.Thread(target=work, daemon=True).start()
        reasons = {source: self._preloaded(source) for source in preload}
        failed = {source: why for source, why in reasons.items() if why is not None}
        self._tell(Ready(tuple(failed), tuple(filter(None, failed.values()))))
        with torch.inference_mode():
            while True:
                while self.shelf.advance(each.loaded for each in self.runner.paintings.values()):
                    pass
                self.runner.begin()
                self._send()
                self.runner.run_wide()
                self._handle(self.inbox.get())
                while not self.inbox.empty():
                    self._handle(self.inbox.get())

    def _beat(self) -> None:
        """In a thread of its own: shows that the process lives, and how far it has come."""
        with suppress(OSError):  # the server is gone; `_read` sees to that
            while True:
                self._tell(Beat(self.turns, self.loading))
                time.sleep(self.beat)

    def _preloaded(self, source: str) -> str | None:
        """Why the model could not be loaded, empty where nobody knows, and None where it is there.

        A model that cannot be loaded stops no other: who wants it is told so.
        """
        try:
            self.shelf.arrived(Key(source), self._prepared(source))
        except Fault as fault:  # which has been logged
            return str(fault)
        except Exception:
            log.exception("could not load %s", source)
            return ""
        return None

    def _prepared(self, source: str) -> Loaded:
        self.loading = True
        self._tell(Loading(source))
        try:
            return prepare(source)
        finally:
            self.loading = False
            self._tell(Loading(None))

    def _read(self) -> None:
        """In a thread of its own: ends the process with the server, however that ended."""
        try:
            while not isinstance(message := self.connection.recv(), Close):
                if isinstance(message, Cancel):
                    self.runner.cancel(message.id)
                    self.inbox.put(message)
                else:
                    self._receive(message)
        finally:
            os._exit(0)

    def _receive(self, submit: Submit) -> None:
        """Reads the inputs here, so that no step of others waits for it."""
        try:
            given = read(submit.generation, submit.inputs)
        except Fault as fault:
            self._say(submit.id, Failed(fault))
        except Exception:
            log.exception("the inputs of %s could not be read", submit.id)
            self._say(submit.id, Failed(Fault(Kind.FAILED, "what was given could not be read")))
        else:
            self.inbox.put(Wanted(replace(submit, inputs=NO_INPUTS), given))

    def _handle(self, message: Received) -> None:
        match message:
            case Computed():
                self.runner.end(message)
                self._count(message.forward)
            case Wanted():
                self.shelf.want(message)
            case Cancel(id):
                if self.shelf.forget(id):
                    self._say(id, Failed(Fault(Kind.CANCELLED, "the work was cancelled")))
                self.runner.cancel(id)  # once more, for a submission read in the same forward
            case Arrived(key, Fault() as fault):
                for id in self.shelf.failed(key):
                    self._say(id, Failed(fault))
            case Arrived(key, Loaded() as loaded):
                self.shelf.arrived(key, loaded)

    def _count(self, ended: Forward) -> None:
        """A turn ends once all forwards have that ran when the last one did, so that lanes that get
        on do not hide one that hangs."""
        self.turn.discard(ended)
        if not self.turn:
            self.turns, self.turn = self.turns + 1, set(self.runner.running)

    def _start(self, order: Wanted, loaded: Loaded) -> None:
        submit = order.submit
        self.runner.start(submit.id, submit.generation, loaded, order.given, submit.previews)

    def _begin_loading(self, key: Key, order: Wanted, plain: Loaded | None) -> None:
        thread = self.loader if plain is None else self.adapter
        thread.submit(self._load, key, order.given.weights, plain)

    def _load(self, key: Key, weights: tuple[Weights, ...], plain: Loaded | None) -> None:
        try:
            loaded = self._prepared(key.source) if plain is None else adapt(plain, weights)
            self.inbox.put(Arrived(key, loaded))
        except Fault as fault:
            self.inbox.put(Arrived(key, fault))
        except Exception:
            log.exception("could not load %s", key)
            self.inbox.put(Arrived(key, Fault(Kind.FAILED, "the model could not be loaded")))

    def _finish(self, painting: Painting) -> None:
        self.encoder.submit(self._encode, painting)

    def _encode(self, painting: Painting) -> None:
        try:
            self._say(painting.id, Finished(encode(painting, time.monotonic())))
        except Exception:
            log.exception("encoding %s failed", painting.id)
            self._say(painting.id, Failed(Fault(Kind.FAILED, "the picture could not be encoded")))

    def _say(self, id: str, event: Event) -> None:
        self._tell(Said(id, event))

    def _tell(self, message: Heard) -> None:
        self.unsaid.put(message)
        self._send()

    def _note(self, id: str, event: Event) -> None:
        """Is sent with the next."""
        self.unsaid.put(Said(id, event))

    def _send(self) -> None:
        """All that is unsaid, at once: each message would interrupt the next step anew."""
        with self.writing:
            messages = [self.unsaid.get() for _ in range(self.unsaid.qsize())]
            if messages:
                self.connection.send(messages)


def main(connection: Connection, options: Options) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to answer
    compute_with(1)  # lanes take more where that is of use
    try:
        Child(connection, options).run(options.preload)
    except Exception:
        log.exception("the engine has a fault, and ends")
    finally:
        os._exit(1)  # whatever its threads still do
