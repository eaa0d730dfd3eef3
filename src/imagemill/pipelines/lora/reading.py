"""From the tensors of a LoRA's file to what is added to each layer; what has no place, or is not
whole, is an error that counts and names it.
"""

import json
import logging
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline
from peft.utils.other import get_pattern_key

from imagemill.errors import Fault, Kind
from imagemill.pipelines.lora import factors
from imagemill.pipelines.lora.factors import Change
from imagemill.pipelines.lora.names import LayerPlaces, Place

log = logging.getLogger(__name__)

Tensors = Mapping[str, torch.Tensor]
Roles = dict[str, torch.Tensor]
# What a tensor is of its layer's LoRA, by the end of its name; the longest that fits counts.
ENDS = {
    ".lora_A.weight": "down", ".lora_A.default.weight": "down", ".lora_down.weight": "down",
    ".lora.down.weight": "down", ".lora_linear_layer.down.weight": "down", ".down.weight": "down",
    ".lora_B.weight": "up", ".lora_B.default.weight": "up", ".lora_up.weight": "up",
    ".lora.up.weight": "up", ".lora_linear_layer.up.weight": "up", ".up.weight": "up",
    ".lora_B.bias": "bias", ".alpha": "alpha", ".lora_linear_layer.alpha": "alpha",
    ".lora.alpha": "alpha", ".down.weight.alpha": "alpha", ".lora.down.weight.alpha": "alpha",
    ".lora_magnitude_vector": "magnitude", ".lora_magnitude_vector.weight": "magnitude",
    ".lora_magnitude_vector.default.weight": "magnitude", ".dora_scale": "magnitude",
} | factors.ENDS  # fmt: skip
_ENDS = sorted(ENDS, key=len, reverse=True)
# Adapters of other kinds, by what their tensors are called.
_OTHERS = {
    r"\.lora_mid": "LoCon with a core",
    r"\.b?oft_": "OFT", r"\.vera_": "VeRA", r"\.ia3_": "IA3", r"\.diff(_b)?$": "weights in full",
    r"_norm\.scale$": "a control LoRA, which widens the model itself",
}  # fmt: skip
_HEADER = "lora_adapter_metadata"  # diffusers' name for PEFT's configuration


@dataclass(frozen=True, eq=False)
class Pair:
    """A LoRA of one layer, in the layer's precision and shapes, as it is at scale 1.

    strength: of the pair, alpha by rank. magnitude: of a DoRA, the lengths of its weights' rows.
    """

    down: torch.Tensor
    up: torch.Tensor
    strength: float
    bias: torch.Tensor | None
    magnitude: torch.Tensor | None

    @property
    def kind(self) -> tuple[object, ...]:
        """What kernels may depend on."""
        extras = self.bias is not None, self.magnitude is not None
        return tuple(self.down.shape), str(self.down.dtype), *extras

    def to(self, device: torch.device, precision: torch.dtype) -> "Pair":
        def move(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(device, precision).contiguous()

        bias = None if self.bias is None else move(self.bias)
        magnitude = None if self.magnitude is None else move(self.magnitude)
        return Pair(move(self.down), move(self.up), self.strength, bias, magnitude)


def pairs(
    pipe: DiffusionPipeline, places: LayerPlaces, tensors: Tensors, header: Mapping[str, str]
) -> dict[Place, Pair | Change]:
    """Of every layer that the file has weights for; raises a Fault where that is not so of all."""
    try:
        return _read(pipe, places, tensors, header)
    except (ValueError, LookupError, ArithmeticError, AttributeError, re.error) as error:
        message = f"a LoRA's numbers make no sense ({type(error).__name__}: {error!s:.80})"
        raise Fault(Kind.UNREADABLE, f"{message}; give a whole file", "loras") from None


def _read(
    pipe: DiffusionPipeline, places: LayerPlaces, tensors: Tensors, header: Mapping[str, str]
) -> dict[Place, Pair | Change]:
    _check(tensors)
    stems, strangers = _grouped(places, tensors)
    if strangers:
        stems |= _by_diffusers(pipe, places, strangers)
    config = _config(header)
    changes: dict[Place, Pair | Change] = {}
    for stem, roles in stems.items():
        read = _changes if factors.name_of(roles) else _pairs
        for place, each in read(places, stem, roles, config):
            if place in changes:
                raise _unfitting([stem], "twice")
            if not math.isfinite(each.strength):
                raise ValueError(f"the strength of {stem:.60} is {each.strength}")
            changes[place] = each
    return changes


def _pairs(
    places: LayerPlaces, stem: str, roles: Roles, config: Mapping[str, Any]
) -> Iterator[tuple[Place, Pair]]:
    _check_whole(stem, roles)
    for place, part in _split(places, stem, roles):
        yield place, _pair(places, place, part, stem, config)


def _changes(
    places: LayerPlaces, stem: str, roles: Roles, config: Mapping[str, Any]
) -> Iterator[tuple[Place, Change]]:
    """The rows of each layer, where several of diffusers' are one in the file."""
    name = factors.name_of(roles) or ""
    _check_factors(name, stem, roles)
    own = {role: each for role, each in roles.items() if role != "alpha"}
    targets = places.of(stem)
    layers = [places.layers[target] for target in targets]
    sizes = [_outputs(layer) for layer in layers]
    shape = (sum(sizes), *_inputs(layers[0]))
    start = 0
    for target, size in zip(targets, sizes, strict=True):
        strength = _change_strength(roles.get("alpha"), own, target, config)
        change = Change(name, own, strength, shape, start, start + size, stem in places.exchanged)
        if not change.fits:
            raise _ill_made(name, stem, own, shape)
        yield target, change
        start += size


def _check_factors(name: str, stem: str, roles: Roles) -> None:
    if strange := factors.beside(name, roles):
        message = f"a LoRA has {', '.join(strange)} beside the {name} of {stem:.80}"
        raise Fault(Kind.UNREADABLE, f"{message}, which is not served; give one without", "loras")
    if missing := factors.lacking(name, roles):
        message = f"a {name} lacks {', '.join(missing)} of {stem:.80}"
        raise Fault(Kind.UNREADABLE, f"{message}; give a whole file", "loras")


def _change_strength(
    alpha: torch.Tensor | None, own: Roles, place: Place, config: Mapping[str, Any]
) -> float:
    if alpha is not None or not config:
        return factors.strength(None if alpha is None else float(alpha.flatten()[0]), own)
    said = _said(place, config)
    names = [_patterned(said, kind, place) for kind in ("alpha", "rank")]
    wanted, rank = names[0] or said.get("alpha"), names[1] or said.get("r")
    return float(wanted) / float(rank) if wanted and rank else 1.0


def _check(tensors: Tensors) -> None:
    if not tensors:
        raise _unfitting([])
    for mark, kind in _OTHERS.items():
        if names := [name for name in tensors if re.search(mark, name)]:
            message = f"a LoRA is {kind}, by {len(names)} of its tensors ({names[0]:.80} for one)"
            message += ", which is not served; give a plain LoRA"
            raise Fault(Kind.UNREADABLE, message, "loras")
    bad = [name for name, each in tensors.items() if not torch.isfinite(each.float()).all()]
    if bad:
        message = f"a LoRA has {len(bad)} tensors that are not finite ({bad[0]:.80} for one)"
        raise Fault(Kind.UNREADABLE, f"{message}; its training has failed", "loras")


def _grouped(
    places: LayerPlaces, tensors: Tensors
) -> tuple[dict[str, Roles], dict[str, torch.Tensor]]:
    """By stem, what has a place; and what has none."""
    stems: dict[str, Roles] = defaultdict(dict)
    strangers: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        end = next((end for end in _ENDS if name.endswith(end)), None)
        stem = "" if end is None else name.removesuffix(end)
        if end is None or not places.of(stem):
            strangers[name] = tensor
        else:
            stems[stem][ENDS[end]] = tensor
    return dict(stems), strangers


def _by_diffusers(
    pipe: DiffusionPipeline, places: LayerPlaces, strangers: dict[str, torch.Tensor]
) -> dict[str, Roles]:
    """As the pipeline itself renames what only its own converter knows."""
    if not hasattr(pipe, "lora_state_dict") or any(map(_is_factor, strangers)):
        raise _unfitting(strangers)
    options: dict[str, Any] = {"unet_config": pipe.unet.config} if hasattr(pipe, "unet") else {}
    try:
        state = pipe.lora_state_dict(dict(strangers), **options)
    except Exception as error:  # of many kinds, by what in the file is unexpected
        log.info("a LoRA's names mean nothing to %s", type(pipe).__name__, exc_info=error)
        raise _unfitting(strangers) from error
    renamed, alphas = (*state, None)[:2] if isinstance(state, tuple) else (state, None)
    numbers = {name: torch.as_tensor(alpha) for name, alpha in (alphas or {}).items()}
    stems, still = _grouped(places, {**renamed, **numbers})
    if still or len(_downs(stems.values())) < len(_downs(_grouped_loosely(strangers))):
        raise _unfitting(still or strangers)
    return stems


def _is_factor(name: str) -> bool:
    """Of what converters may drop without a word."""
    return name.endswith(tuple(factors.ENDS))


def _grouped_loosely(tensors: Tensors) -> list[Roles]:
    return [
        {ENDS[end]: tensor}
        for name, tensor in tensors.items()
        for end in [next((end for end in _ENDS if name.endswith(end)), None)]
        if end is not None
    ]


def _downs(stems: Iterable[Roles]) -> set[tuple[float, ...]]:
    """What tells the first matrices apart, whatever they were scaled by: converters may drop some
    without a word, but rename, split and scale the others.
    """
    fingerprints = set()
    for roles in stems:
        if "down" in roles:
            flat = roles["down"].flatten()[:16].float()
            fingerprints.add(
                tuple((flat / flat.abs().max().clamp_min(1e-12)).round(decimals=2).tolist())
            )
    return fingerprints


def _config(header: Mapping[str, str]) -> dict[str, Any]:
    try:
        config = json.loads(header.get(_HEADER, "{}"))
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise Fault(Kind.UNREADABLE, "a LoRA's header cannot be read; save the file anew", "loras")
    return config


def _check_whole(stem: str, roles: Roles) -> None:
    missing = [role for role in ("down", "up") if role not in roles]
    if missing:
        have = "first" if "down" in roles else "second"
        message = f"a LoRA has but the {have} half of the pair {stem:.80}"
        raise Fault(Kind.UNREADABLE, f"{message}; give a whole file", "loras")


def _split(places: LayerPlaces, stem: str, roles: Roles) -> list[tuple[Place, Roles]]:
    """The part of each layer, where several of diffusers' are one in the file."""
    targets = places.of(stem)
    if len(targets) == 1:
        return [(targets[0], roles)]
    sizes = [_outputs(places.layers[target]) for target in targets]
    if sum(sizes) != roles["up"].shape[0]:
        raise _misshapen(stem, roles, sizes=sum(sizes))
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [
        (target, {role: _rows(role, each, start, size) for role, each in roles.items()})
        for target, start, size in zip(targets, starts, sizes, strict=True)
    ]


def _rows(role: str, tensor: torch.Tensor, start: int, size: int) -> torch.Tensor:
    return tensor[start : start + size] if role in ("up", "bias", "magnitude") else tensor


def _inputs(layer: torch.nn.Module) -> tuple[int, ...]:
    if isinstance(layer, torch.nn.Conv2d):
        return layer.in_channels, *layer.kernel_size
    return (int(layer.in_features),)  # type: ignore[arg-type]


def _outputs(layer: torch.nn.Module) -> int:
    outputs = layer.out_features if isinstance(layer, torch.nn.Linear) else layer.out_channels
    return int(outputs)  # type: ignore[arg-type]


def _pair(
    places: LayerPlaces, place: Place, roles: Roles, stem: str, config: Mapping[str, Any]
) -> Pair:
    layer = places.layers[place]
    down, up = _shaped(layer, roles, stem)
    rank = down.shape[0]
    magnitude = roles.get("magnitude")
    if magnitude is not None:
        magnitude = _lengths(layer, magnitude, stem)
    bias = roles.get("bias")
    if stem in places.exchanged:
        up, bias = _exchanged(up), None if bias is None else _exchanged(bias)
    strength = _strength(roles.get("alpha"), rank, place, config)
    return Pair(down, up, strength, bias, magnitude)


def _shaped(layer: torch.nn.Module, roles: Roles, stem: str) -> tuple[torch.Tensor, torch.Tensor]:
    """With the axes of the layer: convolutions of one pixel are written with and without theirs."""
    down, up = roles["down"], roles["up"]
    into = _inputs(layer)
    if isinstance(layer, torch.nn.Conv2d):
        down, up = (each if each.dim() == 4 else each[..., None, None] for each in (down, up))
        out: tuple[int, ...] = (1, 1)
    else:
        out = ()
        down, up = (_flat(each) for each in (down, up))
    fits = tuple(down.shape[1:]) == into and tuple(up.shape) == (
        _outputs(layer), down.shape[0], *out
    )  # fmt: skip
    if not fits:
        raise _misshapen(stem, roles, math.prod(into), _outputs(layer))
    return down, up


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.flatten(1) if tensor.dim() == 4 and tensor.shape[2:] == (1, 1) else tensor


def _lengths(layer: torch.nn.Module, magnitude: torch.Tensor, stem: str) -> torch.Tensor:
    weight = getattr(layer, "weight", None)
    plain = isinstance(weight, torch.Tensor) and weight.dtype.is_floating_point
    outputs = _outputs(layer)
    if not isinstance(layer, torch.nn.Linear) or not plain or magnitude.shape[0] != outputs:
        message = f"a DoRA of the kind at {stem:.80} is not served; give a LoRA, or one of the rows"
        raise Fault(Kind.UNREADABLE, f"{message} of linear layers", "loras")
    if magnitude.numel() != outputs:
        raise _unfitting([stem])
    return magnitude.reshape(outputs)


def _exchanged(tensor: torch.Tensor) -> torch.Tensor:
    shift, scale = tensor.chunk(2)
    return torch.cat([scale, shift])


def _strength(
    alpha: torch.Tensor | None, rank: int, place: Place, config: Mapping[str, Any]
) -> float:
    if alpha is not None:
        return float(alpha.flatten()[0]) / rank
    own = _said(place, config)
    wanted = _patterned(own, "alpha", place, own.get("lora_alpha"))
    if wanted is None:
        return 1.0
    return float(wanted) / (math.sqrt(rank) if own.get("use_rslora") else rank)


def _said(place: Place, config: Mapping[str, Any]) -> dict[str, Any]:
    """PEFT's configuration of a part of the pipeline."""
    part = place[0]
    return {key.removeprefix(f"{part}."): x for key, x in config.items() if key.startswith(part)}


def _patterned(own: Mapping[str, Any], kind: str, place: Place, usual: Any = None) -> Any:
    """What it says of this layer by a pattern."""
    pattern = own.get(f"{kind}_pattern") or {}
    return pattern.get(get_pattern_key(list(pattern), place[1]), usual)


def _misshapen(stem: str, roles: Roles, into: int | None = None, sizes: int = 0) -> Fault:
    shapes = " and ".join(str(list(roles[each].shape)) for each in ("down", "up"))
    wanted = f"{sizes} outputs" if into is None else f"{into} inputs and {sizes} outputs"
    message = f"a LoRA has {shapes} for {stem:.80}, where this model has {wanted}"
    return Fault(Kind.UNREADABLE, f"{message}; give one made for it", "loras")


def _ill_made(name: str, stem: str, roles: Roles, shape: tuple[int, ...]) -> Fault:
    shapes = ", ".join(f"{role} {list(each.shape)}" for role, each in sorted(roles.items()))
    message = f"a {name} has {shapes} for {stem:.80}, which makes no weight of {list(shape)}"
    return Fault(Kind.UNREADABLE, f"{message}; give one made for this model", "loras")


def _unfitting(names: Sequence[str] | Mapping[str, Any], how: str = "") -> Fault:
    example = f" ({next(iter(names)):.80} for one)" if names else ""
    count = f"{len(names)} weights" if names else "no weights at all, or none"
    return Fault(
        Kind.UNREADABLE,
        f"a LoRA has {count} that this model has no place for{example}; give one made for it",
        "loras",
    )
