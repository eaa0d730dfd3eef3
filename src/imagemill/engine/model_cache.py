"""Which models are there, which are on their way, and who waits for them. No torch.

Models share a budget of memory: one that nobody paints with gives way to the next that is wanted,
the least recently used first, but for those that are kept. Who wants one for which there is no room
yet is passed by nobody who comes later and wants another on that device, so that a stream of
requests for one cannot keep another out for ever. A model that has come is painted with by all who
were waiting for it then, wherever they stand, before it gives way again: two that do not fit
together take turns, and are not swapped for each request.

An adapted model is a plain one with LoRAs beside it, whose bytes are bounded in the same way, for
themselves.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from imagemill.engine.footprints import Footprint
from imagemill.engine.ipc import Submit
from imagemill.engine.residents import Residents
from imagemill.errors import Fault
from imagemill.pipelines.inputs import NOTHING, DecodedInputs

log = logging.getLogger(__name__)
LORA_BYTES = 2**30  # of LoRAs that are held at a time, as large as their files
ADAPTED = 256  # models with LoRAs that are held at a time, most of which share these

Model = TypeVar("Model")


@dataclass(frozen=True)
class Key:
    """A model: its source, and the digests and scales of its LoRAs."""

    source: str
    weights: tuple[tuple[str, float], ...] = ()

    @property
    def plain(self) -> "Key":
        return Key(self.source)


@dataclass(frozen=True)
class Wanted:
    """A submission whose inputs have been read. footprint: of its model, where that is known."""

    submit: Submit
    decoded: DecodedInputs
    footprint: Footprint | None = None

    @property
    def key(self) -> Key:
        weights = tuple((each.digest, each.scale) for each in self.decoded.weights)
        return Key(self.submit.source, weights)


@dataclass
class Shelf(Generic[Model]):
    """load: begins loading what an order needs, with the plain model where that is there.

    start: begins painting. lora_bytes: of LoRAs that are held at a time. sizes: theirs, by digest.
    residents: the memory of the plain models. gone: is told of each source that was let go.
    admitted: ids of who waits for a model that came for them. evicted: how many models had to go.
    """

    load: Callable[[Key, DecodedInputs, Model | None], None]
    start: Callable[[Wanted, Model], None]
    models: dict[Key, Model] = field(default_factory=dict)  # least recently used first
    loading: set[Key] = field(default_factory=set)
    waiting: list[Wanted] = field(default_factory=list)
    lora_bytes: int = LORA_BYTES
    sizes: dict[str, int] = field(default_factory=dict)
    residents: Residents = field(default_factory=Residents)
    gone: Callable[[str], None] = lambda _source: None
    admitted: set[str] = field(default_factory=set)
    evicted: int = 0

    def want(self, order: Wanted) -> Fault | None:
        """Why the model can never be loaded, where it cannot; the order does not wait then."""
        there, footprint = order.key.plain in self.models, order.footprint
        refusal = None if there or footprint is None else self.residents.refusal(footprint)
        if refusal is None:
            self.waiting.append(order)
        return refusal

    def wish(self, source: str, footprint: Footprint | None, used: Iterable[Model]) -> Fault | None:
        """Has a model be loaded for who will come, where nobody who is painted for is in its way;
        or tells why it never can be.
        """
        key = Key(source)
        if key in self.models or key in self.loading:
            return None
        if footprint is not None and (refusal := self.residents.refusal(footprint)):
            return refusal
        served = {each.submit.source for each in self.waiting}
        self._bring(key, NOTHING, footprint, {id(model) for model in used}, served)
        return None

    def arrived(self, key: Key, model: Model, footprint: Footprint | None = None) -> None:
        """footprint: what it takes in fact."""
        self.loading.discard(key)
        self.models[key] = model
        if not key.weights:
            if footprint is not None:
                self.residents.held[key.source] = footprint
            self.admitted |= {
                each.submit.id for each in self.waiting if each.submit.source == key.source
            }

    def failed(self, key: Key) -> list[str]:
        """Who wanted the model, or one made of it; they wait no longer."""
        self.loading.discard(key)
        if not key.weights:
            self.residents.held.pop(key.source, None)
        concerned = {id(each) for each in self.waiting if key in (each.key, each.key.plain)}
        out = [each.submit.id for each in self.waiting if id(each) in concerned]
        self.waiting = [each for each in self.waiting if id(each) not in concerned]
        return out

    def forget(self, id: str) -> bool:
        """Takes a cancelled submission out; False where it does not wait."""
        before = len(self.waiting)
        self.waiting = [each for each in self.waiting if each.submit.id != id]
        return len(self.waiting) < before

    def spare(self, used: Iterable[Model]) -> bool:
        """Lets all go that may; False where that is none."""
        busy, before = {id(model) for model in used}, self.evicted
        for source in self._idle(busy, set()):
            self._evict(source)
        return self.evicted > before

    def again(self, key: Key) -> None:
        """Has the model be loaded once more."""
        self.loading.discard(key)
        self.residents.held.pop(key.source, None)

    def advance(self, used: Iterable[Model]) -> bool:
        """Starts whose model is there, and begins loading for others; `used` are painted with.

        False where nothing was started.
        """
        waiting, self.waiting = self.waiting, []
        self.admitted &= {order.submit.id for order in waiting}
        served = {order.submit.source for order in waiting if order.submit.id in self.admitted}
        busy, full = {id(model) for model in used} if waiting else set[int](), False
        blocked = set[str]()  # sources that somebody waits for to go
        for order in waiting:
            key = order.key
            passes = order.submit.id in self.admitted or key.source not in blocked
            if passes and key in self.models and not (key.weights and full):
                model = self.models[key] = self.models.pop(key)
                busy.add(id(model))
                self.start(order, model)
                continue
            self.waiting.append(order)
            if key.plain not in self.models:
                blocked |= self._bring(key.plain, order.decoded, order.footprint, busy, served)
            elif passes and key not in self.loading and key not in self.models:
                full = full or not self._room(order, busy)
                if not full:
                    self._load(key, order.decoded, self.models[key.plain])
        return len(self.waiting) < len(waiting)

    def _bring(
        self,
        key: Key,
        decoded: DecodedInputs,
        footprint: Footprint | None,
        busy: set[int],
        served: set[str],
    ) -> set[str]:
        """Begins loading a plain model, if need be in the place of idle ones; or else the sources
        that have to go first.
        """
        if key in self.loading:
            return set()
        if footprint is not None:
            going = self._going(footprint, self._idle(busy, served))
            if going is None:
                return set(self._going(footprint, self._idle(set(), set())) or ())
            for source in going:
                self._evict(source)
            self.residents.held[key.source] = footprint
        self._load(key, decoded, None)
        return set()

    def _going(self, footprint: Footprint, sources: list[str]) -> list[str] | None:
        """Which of them have to go for it, and no more than that; None where all are too few."""
        going = list[str]()
        for source in sources:
            if self.residents.fits(footprint, going):
                break
            going.append(source)
        if not self.residents.fits(footprint, going):
            return None
        for source in list(going):  # the last may have made room enough
            rest = [each for each in going if each != source]
            if self.residents.fits(footprint, rest):
                going = rest
        return going

    def _idle(self, busy: set[int], served: set[str]) -> list[str]:
        """Sources of plain models that may go, the least recently used first. served: whose turn it
        is.
        """
        used = {key.source for key, model in self.models.items() if id(model) in busy}
        used |= {key.source for key in self.loading} | served
        kept = {source for source, each in self.residents.held.items() if each.keep}
        return [
            key.source for key in self.models if not key.weights and key.source not in used | kept
        ]

    def _evict(self, source: str) -> None:
        """With all that was made of it."""
        log.info("%s makes room for another model", source)
        for key in [key for key in self.models if key.source == source]:
            del self.models[key]
        self.residents.held.pop(source, None)
        self.evicted += 1
        self.gone(source)

    def _load(self, key: Key, decoded: DecodedInputs, plain: Model | None) -> None:
        if key not in self.loading:
            self.loading.add(key)
            self.load(key, decoded, plain)

    def _room(self, order: Wanted, busy: set[int]) -> bool:
        """Whether one more adapted model may be loaded, if need be in the place of idle ones."""
        new = {each.digest: each.size for each in order.decoded.weights}
        self.sizes |= new
        while not self._fits(new):
            held = (key for key in self.models if key.weights)
            idle = next((key for key in held if id(self.models[key]) not in busy), None)
            if idle is None:
                return False
            del self.models[idle]
        return True

    def _fits(self, new: Mapping[str, int]) -> bool:
        adapted = [key for key in (*self.models, *self.loading) if key.weights]
        digests = {digest for key in adapted for digest, _ in key.weights}
        self.sizes = {each: self.sizes[each] for each in digests | new.keys()}
        # One that alone is larger than all that may be held is held alone.
        return not adapted or (
            len(adapted) < ADAPTED and sum(self.sizes.values()) <= self.lora_bytes
        )
