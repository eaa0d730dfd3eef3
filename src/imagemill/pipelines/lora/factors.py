"""LoHa and LoKr: changes of a layer's weight that are products of small matrices.

They stay in their factors and are multiplied out anew at each forward, as PEFT does. Multiplied out
for good, they would take as much memory as the layers that they change, where a file has a
thousandth of that.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch

Roles = Mapping[str, torch.Tensor]

# Of what each kind needs one set, whole; and what it may have besides, where a kernel of a
# convolution is a factor of its own.
_SETS: dict[str, tuple[tuple[str, ...], ...]] = {
    "LoHa": (("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),),
    "LoKr": (
        ("lokr_w1", "lokr_w2"),
        ("lokr_w1_a", "lokr_w1_b", "lokr_w2"),
        ("lokr_w1", "lokr_w2_a", "lokr_w2_b"),
        ("lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"),
    ),
}
_CORES: dict[str, tuple[str, ...]] = {"LoHa": ("hada_t1", "hada_t2"), "LoKr": ("lokr_t2",)}
# By the end of a tensor's name, what it is of its layer's change.
ENDS = {
    f".{role}": role
    for kind, sets in _SETS.items()
    for role in sorted({role for each in sets for role in each} | {*_CORES[kind]})
}


@dataclass(frozen=True, eq=False)
class Change:
    """Of the weight of one layer, at scale 1. name: LoHa or LoKr. shape: of what the factors
    make, of which the layer has the rows from `start` to before `stop`; exchanged: and the second
    half of them before the first. strength: alpha by rank.
    """

    name: str
    factors: Roles
    strength: float
    shape: tuple[int, ...]
    start: int
    stop: int
    exchanged: bool = False

    @property
    def kind(self) -> tuple[object, ...]:
        """What kernels may depend on."""
        shapes = sorted((role, tuple(each.shape)) for role, each in self.factors.items())
        types = sorted({str(each.dtype) for each in self.factors.values()})
        return self.name, *shapes, *types, self.shape, self.start, self.stop

    @property
    def fits(self) -> bool:
        """Whether the factors make a weight of that shape; told without computing it."""
        try:
            made = _PRODUCTS[self.name]({x: each.to("meta") for x, each in self.factors.items()})
        except (RuntimeError, ValueError):  # of torch, where matrices do not go together
            return False
        flat = (self.shape[0], math.prod(self.shape[1:]))
        return tuple(made.shape) in (self.shape, flat)

    def to(self, device: torch.device, precision: torch.dtype) -> "Change":
        moved = {x: each.to(device, precision).contiguous() for x, each in self.factors.items()}
        return replace(self, factors=moved)

    def weight(self) -> torch.Tensor:
        """In the shape of the layer's own."""
        whole = _PRODUCTS[self.name](self.factors).reshape(self.shape)[self.start : self.stop]
        return torch.cat(whole.chunk(2)[::-1]) if self.exchanged else whole


def name_of(roles: Iterable[str]) -> str | None:
    """LoHa or LoKr, where something of it is there."""
    there = set(roles)
    return next((name for name in _SETS if there & _all(name)), None)


def lacking(name: str, roles: Iterable[str]) -> tuple[str, ...]:
    """What would make it whole; of several ways, the one of which least is missing."""
    there = set(roles)
    return min((tuple(x for x in each if x not in there) for each in _SETS[name]), key=len)


def beside(name: str, roles: Iterable[str]) -> tuple[str, ...]:
    """What is there and belongs to no such change."""
    return tuple(sorted(set(roles) - _all(name) - {"alpha"}))


def strength(alpha: float | None, factors: Roles) -> float:
    """As LyCORIS has it: where no factor is of a low rank, alpha means nothing."""
    ranked = (factors.get(role) for role in ("hada_w1_b", "lokr_w2_b", "lokr_w1_b"))
    ranks = [each.shape[0] for each in ranked if each is not None]
    return alpha / ranks[0] if alpha is not None and ranks else 1.0


def _all(name: str) -> set[str]:
    return {role for each in _SETS[name] for role in each} | {*_CORES[name]}


def _hadamard(factors: Roles) -> torch.Tensor:
    first, second = (_low_rank(factors, f"hada_w{number}", f"hada_t{number}") for number in (1, 2))
    return first * second


def _kronecker(factors: Roles) -> torch.Tensor:
    first = factors.get("lokr_w1")
    if first is None:
        first = factors["lokr_w1_a"] @ factors["lokr_w1_b"]
    second = factors.get("lokr_w2")
    if second is None:
        second = _low_rank(factors, "lokr_w2", "lokr_t2")
    return torch.kron(first.reshape(*first.shape, *(1,) * (second.dim() - 2)), second.contiguous())


def _low_rank(factors: Roles, name: str, core: str) -> torch.Tensor:
    """Of a core, the kernel of a convolution, first and second axes are those of the two."""
    one, two = factors[f"{name}_a"], factors[f"{name}_b"]
    if core not in factors:
        return one @ two
    return torch.einsum("ijkl,ip,jr->prkl", factors[core], one, two)


_PRODUCTS: Mapping[str, Callable[[Roles], torch.Tensor]] = {
    "LoHa": _hadamard,
    "LoKr": _kronecker,
}
