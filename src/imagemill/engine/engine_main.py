"""The engine process: one thread moves trajectories; others compute, read, load and encode."""

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from weakref import ref

import torch

from imagemill.engine.devices import CPU
from imagemill.engine.encoding import encode
from imagemill.engine.events import NO_INPUTS, Event, Failed, Finished, Preview
from imagemill.engine.exact_batching import compute_with
from imagemill.engine.exits import NO_DEVICE
from imagemill.engine.footprints import Footprint, footprint
from imagemill.engine.ipc import (
    Beat,
    Cancel,
    Close,
    Heard,
    Held,
    Loading,
    Options,
    Ready,
    Said,
    Submit,
    Warm,
)
from imagemill.engine.matting import Mattes
from imagemill.engine.memory import device_memory, for_models, let_go, out_of_memory, release
from imagemill.engine.model_cache import Key, Shelf, Wanted
from imagemill.engine.processors import Load
from imagemill.engine.residents import Residents, budgets
from imagemill.engine.runner import ROW_BUDGET, ActiveGeneration, Computed, Forward, Runner
from imagemill.engine.safety import Safety
from imagemill.engine.sharing import measured
from imagemill.engine.stand_ins import adapt, device, lanes_for, prepare
from imagemill.errors import Fault, Kind
from imagemill.pipelines.inputs import DecodedInputs, read
from imagemill.pipelines.loading import Loaded, dtype_for

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arrived:
    """A model has been loaded, or could not be."""

    key: Key
    loaded: Loaded | Fault
    short: bool = False  # of memory


@dataclass(frozen=True)
class WarmUp:
    """For a model, by who will come for it. now: and not only whether it has room."""

    source: str
    footprint: Footprint | None
    now: bool = True


Received = Wanted | WarmUp | Cancel | Arrived | Computed
Others = Sequence[ref[Loaded]]  # models that may go meanwhile
UNLOADABLE = "the model could not be loaded"


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
        shared = partial(for_models, engines=options.engines)
        budget = budgets(device(), options.memory, shared)
        budget(device())  # looked at before anything is there
        self.footprints: dict[str, Footprint | None] = {}
        self.held, self.refused = frozenset[str](), dict[str, Fault]()  # as the server was told
        self.shelf: Shelf[Loaded] = Shelf(
            self._begin_loading, self._start, residents=Residents(budget)
        )
        # One thread each, for the arithmetic as well: the processors belong to the lanes.
        self.loader = ThreadPoolExecutor(1, "loader", compute_with, (1,))
        self.adapter = ThreadPoolExecutor(1, "adapter", compute_with, (1,))  # waits for no model
        self.encoder = ThreadPoolExecutor(1, "encoder", compute_with, (1,))
        self.loading, self.beat, self.safety = False, options.beat, Safety(options.safety)
        self.mattes = Mattes(options.matte)
        self.turns, self.turn = 0, set[Forward]()

    def run(self, preload: tuple[str, ...], known: tuple[str, ...]) -> None:
        for work in (self._read, self._beat):
            threading.Thread(target=work, daemon=True).start()
        reasons = {source: self._preloaded(source) for source in preload}
        failed = {source: why for source, why in reasons.items() if why is not None}
        self._tell_held()
        self._tell(Ready(tuple(failed), tuple(filter(None, failed.values()))))
        self.adapter.submit(self._size, known)
        with torch.inference_mode():
            while True:
                while self.shelf.advance(self._used()):
                    pass
                self._tell_held()
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

        A model that cannot be loaded stops no other: who wants it is told so. One that has no room
        beside those before it is loaded when it is wanted.
        """
        known, residents = self._footprint(source), self.shelf.residents
        try:
            if known is not None and (refusal := residents.refusal(known)):
                raise refusal
            if known is None or residents.fits(known):
                loaded = self._prepared(source, self._others())
                self.shelf.arrived(Key(source), loaded, known or measured(loaded))
        except Fault as fault:  # which has been logged
            return str(fault)
        except Exception:
            log.exception("could not load %s", source)
            return ""
        return None

    def _prepared(self, source: str, others: Others) -> Loaded:
        self.loading = True
        self._tell(Loading(source))
        try:
            release()  # what made room
            return prepare(source, filter(None, (each() for each in others)))
        finally:
            self.loading = False
            self._tell(Loading(None))

    def _others(self) -> Others:
        return [ref(model) for key, model in self.shelf.models.items() if not key.weights]

    def _footprint(self, source: str) -> Footprint | None:
        if self.footprints.get(source) is None:  # what was not here may have been fetched since
            own = device()
            self.footprints[source] = footprint(source, own, dtype_for(own).itemsize)
        return self.footprints[source]

    def _size(self, sources: tuple[str, ...]) -> None:
        for source in sources:
            if (known := self._footprint(source)) is not None:
                self.inbox.put(WarmUp(source, known, now=False))

    def _read(self) -> None:
        """In a thread of its own: ends the process with the server, however that ended."""
        try:
            while not isinstance(message := self.connection.recv(), Close):
                if isinstance(message, Warm):
                    self.inbox.put(WarmUp(message.source, self._footprint(message.source)))
                elif isinstance(message, Cancel):
                    self.runner.cancel(message.id)
                    self.inbox.put(message)
                else:
                    self._receive(message)
        finally:
            os._exit(0)

    def _receive(self, submit: Submit) -> None:
        """Reads the inputs here, so that no step of others waits for it."""
        try:
            decoded = read(submit.generation, submit.inputs)
            decoded = self.mattes.applied(submit.generation, decoded)
        except Fault as fault:
            self._say(submit.id, Failed(fault))
        except Exception:
            log.exception("the inputs of %s could not be read", submit.id)
            self._say(submit.id, Failed(Fault(Kind.FAILED, "what was given could not be read")))
        else:
            known = self._footprint(submit.source)
            self.inbox.put(Wanted(replace(submit, inputs=NO_INPUTS), decoded, known))

    def _handle(self, message: Received) -> None:
        match message:
            case Computed():
                self.runner.end(message)
                self._count(message.forward)
            case Wanted():
                self._want(message)
            case WarmUp(source):
                self._refuse(source, self._warmed(message))
            case Cancel(id):
                if self.shelf.forget(id):
                    self._say(id, Failed(Fault(Kind.CANCELLED, "the work was cancelled")))
                self.runner.cancel(id)  # once more, for a submission read in the same forward
            case Arrived(key, Fault(), True) if self.shelf.spare(self._used()):
                self.shelf.again(key)
            case Arrived(key, Fault() as fault):
                for id in self.shelf.failed(key):
                    self._say(id, Failed(fault))
            case Arrived(key, Loaded() as loaded):
                known = self.footprints.get(key.source)
                self.shelf.arrived(key, loaded, known or measured(loaded))

    def _count(self, ended: Forward) -> None:
        """A turn ends once all forwards have that ran when the last one did, so that lanes that get
        on do not hide one that hangs."""
        self.turn.discard(ended)
        if not self.turn:
            self.turns, self.turn = self.turns + 1, set(self.runner.running)

    def _start(self, order: Wanted, loaded: Loaded) -> None:
        submit = order.submit
        if submit.generation.safety.wanted and not loaded.checks_itself:
            self.encoder.submit(self.safety.load)  # it is there when the first picture is
        self.runner.start(submit.id, submit.generation, loaded, order.decoded, submit.previews)

    def _want(self, order: Wanted) -> None:
        if refusal := self.shelf.want(order):
            self._refuse(order.submit.source, refusal)
            self._say(order.submit.id, Failed(refusal))

    def _warmed(self, warm_up: WarmUp) -> Fault | None:
        """Why the model can never be there, where it cannot."""
        if warm_up.now:
            return self.shelf.wish(warm_up.source, warm_up.footprint, self._used())
        return self.shelf.residents.refusal(warm_up.footprint) if warm_up.footprint else None

    def _refuse(self, source: str, refusal: Fault | None) -> None:
        """Tells the server, who need not send more that wants the model."""
        if refusal is not None and source not in self.refused:
            self.refused[source] = refusal
            self.unsaid.put(Held(self.held, dict(self.refused)))

    def _tell_held(self) -> None:
        held = frozenset(key.source for key in self.shelf.models)
        if held != self.held:
            self.held = held
            self.unsaid.put(Held(held, dict(self.refused)))

    def _used(self) -> list[Loaded]:
        return [each.loaded for each in self.runner.active.values()]

    def _begin_loading(self, key: Key, decoded: DecodedInputs, plain: Loaded | None) -> None:
        if plain is None:
            self.loader.submit(self._load, key, partial(self._prepared, key.source, self._others()))
        else:
            self.adapter.submit(self._load, key, partial(adapt, plain, decoded.weights))

    def _load(self, key: Key, load: Callable[[], Loaded]) -> None:
        try:
            self.inbox.put(Arrived(key, load()))
        except Exception as error:
            short = out_of_memory(error)
            if short or not isinstance(error, Fault):
                log.exception("could not load %s", key.source)
            fault = error if isinstance(error, Fault) else Fault(Kind.FAILED, UNLOADABLE)
            if short:
                fault = _no_memory()
                let_go(error)
            self.inbox.put(Arrived(key, fault, short))

    def _finish(self, active: ActiveGeneration) -> None:
        self.encoder.submit(self._encode, active)

    def _encode(self, active: ActiveGeneration) -> None:
        try:
            self._say(active.id, Finished(encode(active, time.monotonic(), self.safety)))
        except Fault as fault:
            self._say(active.id, Failed(fault))
        except Exception:
            log.exception("encoding %s failed", active.id)
            self._say(active.id, Failed(Fault(Kind.FAILED, "the picture could not be encoded")))

    def _say(self, id: str, event: Event) -> None:
        self._tell(Said(id, event))

    def _tell(self, message: Heard) -> None:
        self.unsaid.put(message)
        self._send()

    def _note(self, id: str, event: Event) -> None:
        """Is sent with the next; a picture on its way, once it has been looked at."""
        if isinstance(event, Preview) and (active := self.runner.active[id]).checked:
            self.encoder.submit(self._preview, active, event)
        else:
            self.unsaid.put(Said(id, event))

    def _preview(self, active: ActiveGeneration, event: Preview) -> None:
        try:
            picture = self.safety.preview(event.picture, active.generation.safety)
        except Fault:  # which is told of the finished picture, too
            return
        self._say(active.id, replace(event, picture=picture))

    def _send(self) -> None:
        """All that is unsaid, at once: each message would interrupt the next step anew."""
        with self.writing:
            messages = [self.unsaid.get() for _ in range(self.unsaid.qsize())]
            if messages:
                self.connection.send(messages)


def _no_memory() -> Fault:
    return Fault(
        Kind.FAILED,
        f"memory ran out while the model was loaded: {device_memory(device())} are free now; ask "
        "for another model, or have the operator quantize this one or choose an offload",
    )


def main(connection: Connection, options: Options) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to answer
    compute_with(1)  # lanes take more where that is of use
    if options.device not in (None, CPU) and device() == CPU:
        log.error("torch sees no %s; the driver's tools tell why", options.device)
        os._exit(NO_DEVICE)
    try:
        Child(connection, options).run(options.preload, options.known)
    except Exception:
        log.exception("the engine has a fault, and ends")
    finally:
        os._exit(1)  # whatever its threads still do
