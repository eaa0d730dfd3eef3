"""LoRAs: what some of them add to the rows of a model, beside its plain weights.

A LoRA is read once for a model, by what is in its file, and holds its own tensors alone. With
another scale, or several together, it costs next to nothing more.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import torch
from diffusers import DiffusionPipeline
from safetensors import SafetensorError, safe_open

from imagemill.errors import Fault, Kind
from imagemill.pipelines.families import DENOISERS
from imagemill.pipelines.inputs import Weights
from imagemill.pipelines.lora.factors import Change
from imagemill.pipelines.lora.layers import Added, DenseTerm, Term, hook
from imagemill.pipelines.lora.names import LayerPlaces, Place, places
from imagemill.pipelines.lora.reading import Pair, Tensors, pairs

_PRECISIONS = frozenset({torch.float32, torch.float16, torch.bfloat16})


@dataclass(frozen=True, eq=False)
class Adapter:
    """A LoRA that has been read for a model, in its precision and on its device."""

    digest: str
    pairs: Mapping[Place, Pair | Change]


class Adapters:
    """What has been read for a model, for as long as somebody paints with it. fixed: LoRAs that are
    always on.
    """

    def __init__(self, pipe: DiffusionPipeline, fixed: Sequence[Weights] = ()) -> None:
        self._pipe, self.fixed = pipe, tuple(fixed)
        self._places: LayerPlaces | None = None
        self._read: WeakValueDictionary[str, Adapter] = WeakValueDictionary()

    def added(self, weights: Sequence[Weights]) -> dict[str, Added]:
        """What LoRAs add beside the fixed ones, by the part of the pipeline; raises a Fault where
        one is unreadable or does not fit the model, to its last tensor.
        """
        denoisers = [getattr(self._pipe, each, None) for each in DENOISERS]
        if not any(isinstance(each, torch.nn.Module) for each in denoisers):
            raise Fault(Kind.UNSUPPORTED, "this model takes no LoRAs; leave loras out", "loras")
        own = [(self._adapter(each), each.scale) for each in (*self.fixed, *weights)]
        parts = {part for adapter, _ in own for part, _ in adapter.pairs}
        return {part: self._part(part, own) for part in sorted(parts)}

    @property
    def places(self) -> LayerPlaces:
        if self._places is None:
            self._places = places(self._pipe)
        return self._places

    def _adapter(self, weights: Weights) -> Adapter:
        adapter = self._read.get(weights.digest)
        if adapter is None:
            tensors, header = _content(weights)
            by_place = pairs(self._pipe, self.places, tensors, header)
            moved = {place: self._moved(place, pair) for place, pair in by_place.items()}
            adapter = self._read[weights.digest] = Adapter(weights.digest, moved)
        return adapter

    def _moved(self, place: Place, pair: Pair | Change) -> Pair | Change:
        layer, model = self.places.layers[place], getattr(self._pipe, place[0])
        weight: torch.Tensor = layer.weight  # type: ignore[assignment]
        precision = weight.dtype if weight.dtype in _PRECISIONS else model.dtype
        return pair.to(self._pipe._execution_device, precision)

    def _part(self, part: str, own: Sequence[tuple[Adapter, float]]) -> Added:
        terms: dict[torch.nn.Module, list[Term | DenseTerm]] = defaultdict(list)
        kinds = []
        for adapter, scale in own:
            for place, pair in adapter.pairs.items():
                if place[0] == part:
                    layer = self.places.layers[place]
                    terms[layer].append(_term(layer, pair, scale))
                    kinds.append((place[1], *pair.kind))
        for layer in terms:
            hook(layer)
        kind = hashlib.sha256(repr(kinds).encode()).hexdigest()
        adapters = tuple(adapter for adapter, _ in own)
        return Added({layer: tuple(each) for layer, each in terms.items()}, kind, adapters)


def _term(layer: torch.nn.Module, pair: Pair | Change, scale: float) -> Term | DenseTerm:
    scale *= pair.strength
    if isinstance(pair, Change):
        return DenseTerm(pair.weight, scale)
    if pair.magnitude is None:
        return Term(pair.down, pair.up, scale, pair.bias)
    weight: torch.Tensor = layer.weight  # type: ignore[assignment]
    # As PEFT has it: the lengths are those at the scale that is asked for.
    lengths = torch.linalg.norm(weight + scale * (pair.up @ pair.down), dim=1).to(weight.dtype)
    return Term(pair.down, pair.up, scale, pair.bias, pair.magnitude / lengths)


def _content(weights: Weights) -> tuple[Tensors, Mapping[str, str]]:
    path = weights.file.path
    try:
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        # Not by memory map: what is cut off while it is read would end the process.
        with safe_open(path, "pt", backend="pread") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata() or {}
    except OSError as error:
        raise Fault(Kind.FAILED, "a LoRA's file cannot be read; try again", "loras") from error
    except (SafetensorError, ValueError, KeyError) as error:
        message = "a LoRA is no whole safetensors file; give one in that format"
        raise Fault(Kind.UNREADABLE, message, "loras") from error
    if digest != weights.digest:
        raise Fault(Kind.FAILED, "a LoRA's file was changed meanwhile; try again", "loras")
    return tensors, header
