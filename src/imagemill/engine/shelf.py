"""Which models are there, which are on their way, and who waits for them. No torch.

An adapted model is a plain one with LoRAs beside it, whose bytes are bounded: one that nobody
paints with gives way to the next that is wanted, the least recently used first. Who wants one for
which there is no room yet is passed by nobody else who wants an adapted model, so that a stream of
requests for one cannot keep another out for ever.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from imagemill.engine.messages import Submit
from imagemill.pipelines.sources import Given

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
    """A submission whose inputs have been read."""

    submit: Submit
    given: Given

    @property
    def key(self) -> Key:
        weights = tuple((each.digest, each.scale) for each in self.given.weights)
        return Key(self.submit.source, weights)


@dataclass
class Shelf(Generic[Model]):
    """load: begins loading what an order needs, with the plain model where that is there.

    start: begins painting. lora_bytes: of LoRAs that are held at a time. sizes: theirs, by digest.
    """

    load: Callable[[Key, Wanted, Model | None], None]
    start: Callable[[Wanted, Model], None]
    models: dict[Key, Model] = field(default_factory=dict)  # least recently used first
    loading: set[Key] = field(default_factory=set)
    waiting: list[Wanted] = field(default_factory=list)
    lora_bytes: int = LORA_BYTES
    sizes: dict[str, int] = field(default_factory=dict)

    def want(self, order: Wanted) -> None:
        self.waiting.append(order)

    def arrived(self, key: Key, model: Model) -> None:
        self.loading.discard(key)
        self.models[key] = model

    def failed(self, key: Key) -> list[str]:
        """Who wanted the model, or one made of it; they wait no longer."""
        self.loading.discard(key)
        concerned = {id(each) for each in self.waiting if key in (each.key, each.key.plain)}
        out = [each.submit.id for each in self.waiting if id(each) in concerned]
        self.waiting = [each for each in self.waiting if id(each) not in concerned]
        return out

    def forget(self, id: str) -> bool:
        """Takes a cancelled submission out; False where it does not wait."""
        before = len(self.waiting)
        self.waiting = [each for each in self.waiting if each.submit.id != id]
        return len(self.waiting) < before

    def advance(self, used: Iterable[Model]) -> bool:
        """Starts whose model is there, and begins loading for others; `used` are painted with.

        False where nothing was started.
        """
        waiting, self.waiting = self.waiting, []
        busy, full = [id(model) for model in used] if waiting else [], False
        for order in waiting:
            key = order.key
            if key in self.models and not (key.weights and full):
                model = self.models[key] = self.models.pop(key)
                busy.append(id(model))
                self.start(order, model)
                continue
            self.waiting.append(order)
            if key.plain not in self.models:
                self._load(key.plain, order, None)
            elif key not in self.loading and key not in self.models:
                full = full or not self._room(order, busy)
                if not full:
                    self._load(key, order, self.models[key.plain])
        return len(self.waiting) < len(waiting)

    def _load(self, key: Key, order: Wanted, plain: Model | None) -> None:
        if key not in self.loading:
            self.loading.add(key)
            self.load(key, order, plain)

    def _room(self, order: Wanted, busy: list[int]) -> bool:
        """Whether one more adapted model may be loaded, if need be in the place of idle ones."""
        new = {each.digest: each.size for each in order.given.weights}
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
