"""LoRAs at work: what they add to a layer is computed beside it, for the rows that want it.

The weights themselves are never touched, so rows without LoRAs get the very bytes of the plain
model. One forward may carry rows with other LoRAs, other scales, several at once, or none. Each
call's rows are computed apart from the others', in matrices whose shape depends on that call alone:
who else is in the batch changes no bit.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional

ALIGNED = 64  # bytes; kernels may take another way through rows that begin elsewhere


@dataclass(frozen=True, eq=False)
class Term:
    """What a LoRA adds to one layer: `scale * (up(down(x)) + bias)`.

    factor: of a DoRA, what the layer's outputs and these are multiplied with, an output each.
    """

    down: torch.Tensor  # (rank, in), of a convolution (rank, in, h, w)
    up: torch.Tensor  # (out, rank), of a convolution (out, rank, 1, 1)
    scale: float
    bias: torch.Tensor | None = None
    factor: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class DenseTerm:
    """What a change of a layer's weight adds, that is no pair: `scale * weight() x`. weight:
    multiplies it out, in the shape of the layer's own.
    """

    weight: Callable[[], torch.Tensor]
    scale: float
    factor: None = None


Terms = Mapping[torch.nn.Module, tuple[Term | DenseTerm, ...]]


@dataclass(frozen=True, eq=False)
class Added:
    """What is added for the rows of a call. kind: equal for what takes the same kernels. owners:
    what is not to be forgotten as long as this is there. images: what an IP-Adapter adds, by the
    attention that it joins (`ip_attention`).
    """

    terms: Terms
    kind: str
    owners: tuple[object, ...] = ()
    images: Mapping[torch.nn.Module, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Segment:
    """The rows from `start` to before `stop`."""

    added: Added
    start: int
    stop: int


@dataclass
class _Active(threading.local):
    """What the forward that the thread computes carries. rows: None where nobody knows. lone: all
    of them are one call's.
    """

    segments: tuple[Segment, ...] = ()
    rows: int | None = None
    lone: bool = True


_ACTIVE = _Active()
_HOOKED = "_imagemill_adds"  # set on a layer that looks for what is to be added
_HOOKING = threading.Lock()


@contextmanager
def adding(each: Sequence[tuple[Added | None, int]], rows: int | None) -> Iterator[None]:
    """For the forward within, of calls with so many rows each, one after the other, and more rows
    of which nobody looks at the outputs, `rows` in all.
    """
    _ACTIVE.segments, _ACTIVE.rows, _ACTIVE.lone = tuple(_segments(each)), rows, len(each) == 1
    try:
        yield
    finally:
        _ACTIVE.segments, _ACTIVE.rows, _ACTIVE.lone = (), None, True


def _segments(each: Sequence[tuple[Added | None, int]]) -> Iterator[Segment]:
    start = 0
    for added, count in each:
        if added is not None:
            yield Segment(added, start, start + count)
        start += count


def segments() -> tuple[Segment, ...]:
    """Of the forward that the thread computes."""
    return _ACTIVE.segments


def hook(layer: torch.nn.Module) -> None:
    """From now on the layer looks for what is to be added; forwards may run meanwhile."""
    with _HOOKING:
        if not hasattr(layer, _HOOKED):
            layer.register_forward_hook(_add, with_kwargs=True)
            setattr(layer, _HOOKED, True)


def _add(
    layer: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: torch.Tensor
) -> None:
    segments = [each for each in _ACTIVE.segments if layer in each.added.terms]
    if not segments:
        return
    x = args[0] if args else next(iter(kwargs.values()))
    for segment in segments:
        own = span(layer, segment, x, output)
        _add_terms(layer, segment.added.terms[layer], x[own], output[own])


def span(layer: torch.nn.Module, segment: Segment, x: torch.Tensor, output: torch.Tensor) -> slice:
    """Where a segment lies in a layer's tensors, which may have several rows for each."""
    rows, places = _ACTIVE.rows, x.shape[0] if x.dim() > 1 else 0
    # Rows that lie one after the other in a matrix need not be of one length.
    whole = rows is not None and (places % rows == 0 if x.dim() > 2 else places == rows)
    if rows is not None and whole and places and output.shape[0] == places:
        each = places // rows
        return slice(segment.start * each, segment.stop * each)
    if _ACTIVE.lone:
        return slice(None)
    raise ValueError(f"{type(layer).__name__} does not tell which of its rows are whose")


def _add_terms(
    layer: torch.nn.Module,
    terms: tuple[Term | DenseTerm, ...],
    x: torch.Tensor,
    output: torch.Tensor,
) -> None:
    plain = output.clone() if any(term.factor is not None for term in terms) else output
    x = aligned(x)
    for term in terms:
        delta = _delta(layer, term, x) * term.scale
        if term.factor is not None:
            delta = _decomposed(layer, term.factor, plain, delta)
        output += delta


def aligned(x: torch.Tensor) -> torch.Tensor:
    """The same numbers, where kernels begin as they do in a tensor of its own."""
    return x if x.data_ptr() % ALIGNED == 0 else x.clone()


def _delta(layer: torch.nn.Module, term: Term | DenseTerm, x: torch.Tensor) -> torch.Tensor:
    if isinstance(term, DenseTerm):
        return _through(layer, term.weight(), x)
    inner = _through(layer, term.down, x)
    if isinstance(layer, torch.nn.Conv2d):
        return functional.conv2d(inner, term.up, term.bias)
    return functional.linear(inner, term.up, term.bias)


def _through(layer: torch.nn.Module, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """As the layer would take it with this weight, and without its bias."""
    x = x.to(weight)
    if not isinstance(layer, torch.nn.Conv2d):
        return functional.linear(x, weight)
    padding = layer.padding if isinstance(layer.padding, str) else tuple(layer.padding)
    return functional.conv2d(x, weight, None, layer.stride, padding, layer.dilation, layer.groups)


def _decomposed(
    layer: torch.nn.Module, factor: torch.Tensor, plain: torch.Tensor, delta: torch.Tensor
) -> torch.Tensor:
    """Of a DoRA: the outputs of weights that have the LoRA's direction and a length of their own,
    less the plain ones.
    """
    bias: torch.Tensor | None = getattr(layer, "bias", None)
    unbiased = plain if bias is None else plain - bias
    return (factor - 1) * unbiased + factor * delta
