"""LoRA files in the layouts that people hold, for a pipeline at hand.

All of one family say the same, in other words: `Content` holds the matrices, and a layout names
them. Query, key and value share their first matrix, as where a trainer has them in one layer.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save

from imagemill.generation import LoraFile
from imagemill.pipelines.families import DENOISERS
from imagemill.pipelines.lora.names import TEXTS
from imagemill.pipelines.lora.original import originals

Tensors = dict[str, torch.Tensor]
RANK, ALPHA = 4, 2.0  # unequal, so that forgetting the alpha shows
EVERY = 3  # of a denoiser's layers that could be trained, one in so many is
ENDS = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj",
        "conv1", "time_emb_proj")  # fmt: skip
TEXT_ENDS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


@dataclass(frozen=True)
class Group:
    """Layers with one first matrix. original: what the trainer calls them, where it has another."""

    part: str
    names: tuple[str, ...]
    original: str | None
    down: torch.Tensor
    ups: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Content:
    pipe: Any
    groups: tuple[Group, ...]

    @property
    def part(self) -> str:
        return denoiser(self.pipe)

    @property
    def model(self) -> Any:
        return getattr(self.pipe, self.part)

    def of(self, *parts: str) -> "Content":
        return Content(self.pipe, tuple(each for each in self.groups if each.part in parts))


def denoiser(pipe: Any) -> str:
    return next(part for part in DENOISERS if getattr(pipe, part, None) is not None)


def content(pipe: Any, own: str = "") -> Content:
    """own: begins the original names that are XLabs' alone."""
    noise = torch.Generator().manual_seed(0)
    parts = [denoiser(pipe), *(part for part in TEXTS if getattr(pipe, part, None) is not None)]
    named = [
        each
        for part in parts
        for each in list(_named(pipe, part, own))[:: 1 if part in TEXTS else EVERY]
    ]
    return Content(pipe, tuple(_group(pipe, noise, *each) for each in named))


def _named(pipe: Any, part: str, own: str) -> Iterator[tuple[str, str | None, tuple[str, ...]]]:
    model, ends = getattr(pipe, part), TEXT_ENDS if part in TEXTS else ENDS
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    layers = {n: m for n, m in model.named_modules() if isinstance(m, kinds) and n.endswith(ends)}
    known = {
        targets: original
        for original, targets in originals(model, layers)
        if ("processor" in original) == (own == "xlabs")
    }
    grouped = {target for targets in known for target in targets}
    yield from ((part, original, targets) for targets, original in known.items())
    if own != "xlabs":
        yield from ((part, None, (name,)) for name in layers if name not in grouped)


def _group(
    pipe: Any, noise: torch.Generator, part: str, original: str | None, names: tuple[str, ...]
) -> Group:
    layers = [getattr(pipe, part).get_submodule(name) for name in names]
    first = layers[0]
    conv = isinstance(first, torch.nn.Conv2d)
    into = (first.in_channels, *first.kernel_size) if conv else (first.in_features,)

    def up(layer: Any) -> torch.Tensor:
        shape = (layer.out_channels, RANK, 1, 1) if conv else (layer.out_features, RANK)
        return torch.randn(shape, generator=noise) / 4

    down = torch.randn((RANK, *into), generator=noise) / 2
    return Group(part, names, original, down, tuple(map(up, layers)))


_FOLDER = TemporaryDirectory(prefix="loras")


def kept(made: bytes) -> LoraFile:
    """A file of this content, as a server hands it to its engine."""
    digest = sha256(made).hexdigest()
    path = Path(_FOLDER.name) / f"{digest}.safetensors"
    path.write_bytes(made)
    return LoraFile(path, digest, len(made))


# Names


def peft(held: Content, prefix: str | None = None) -> Tensors:
    """As diffusers saves it and ai-toolkit writes it. prefix: instead of the part's name."""
    return {
        f"{f'{group.part}.' if prefix is None else prefix}{name}.lora_{side}.weight": tensor.clone()
        for group in held.groups
        for name, up in zip(group.names, group.ups, strict=True)
        for side, tensor in (("A", group.down), ("B", up))
    }


def dora(held: Content) -> Tensors:
    linear = Content(held.pipe, tuple(each for each in held.groups if each.down.dim() == 2))
    lengths = {
        f"{group.part}.{name}.lora_magnitude_vector": weight.float().norm(dim=1) * 1.2
        for group in linear.groups
        for name in group.names
        for weight in [getattr(held.pipe, group.part).get_submodule(name).weight]
    }
    return peft(linear) | lengths


def described(held: Content, alpha: float) -> bytes:
    """With PEFT's configuration in the header, as `save_lora_weights` writes it."""
    config: dict[str, Any] = {}
    for part in {group.part for group in held.groups}:
        names = [name for group in held.of(part).groups for name in group.names]
        options = {"r": RANK, "lora_alpha": alpha, "target_modules": names}
        config |= {f"{part}.{name}": value for name, value in options.items()}
    return save(peft(held), {"lora_adapter_metadata": json.dumps(config)})


def kohya(held: Content, prefix: str = "lora_unet", by_original: bool = True) -> Tensors:
    out: Tensors = {}
    for group in held.groups:
        for stem, up in _stems(group, by_original):
            key = f"{_flat_prefix(group.part, prefix)}_{_bare(stem).replace('.', '_')}"
            out[f"{key}.lora_down.weight"], out[f"{key}.lora_up.weight"] = group.down, up
            out[f"{key}.alpha"] = torch.tensor(ALPHA)
    return out


def _stems(group: Group, by_original: bool) -> Iterator[tuple[str, torch.Tensor]]:
    if by_original and group.part not in TEXTS:
        if group.original is not None:
            yield group.original, torch.cat(group.ups)
    else:
        yield from zip(group.names, group.ups, strict=True)


def _bare(stem: str) -> str:
    """Without what some of CLIP's classes have before each name, and others not."""
    return stem.removeprefix("text_model.")


def _flat_prefix(part: str, prefix: str) -> str:
    number = TEXTS.index(part) + 1 if part in TEXTS else 0
    return f"lora_te{number}_text_model" if number else prefix


def original(held: Content, prefix: str) -> Tensors:
    """The authors' names of layers, PEFT's of matrices."""
    return {
        f"{prefix}{group.original}.lora_{side}.weight": tensor
        for group in held.groups
        if group.original is not None
        for side, tensor in (("A", group.down), ("B", torch.cat(group.ups)))
    }


def xlabs(held: Content) -> Tensors:
    return {
        f"{group.original}.{side}.weight": tensor
        for group in held.groups
        for side, tensor in (("down", group.down), ("up", torch.cat(group.ups)))
    }


def before_peft(held: Content) -> Tensors:
    return {
        f"{group.part}.{name.removesuffix('.0').replace('.to_', '.processor.to_')}_lora"
        f".{side}.weight": tensor
        for group in held.groups
        for name, up in zip(group.names, group.ups, strict=True)
        if ".attn" in name
        for side, tensor in (("down", group.down), ("up", up))
    }


def without_out_proj(held: Content) -> Content:
    groups = (each for each in held.groups if not each.names[0].endswith("out_proj"))
    return Content(held.pipe, tuple(groups))


Shapes = dict[str, tuple[int, ...]]
Factors = Callable[[int, tuple[int, ...], torch.Generator], Tensors]


def lycoris(held: Content, factors: Factors) -> Tensors:
    """factors: of the number of a layer, and the shape of its weight."""
    noise, out = torch.Generator().manual_seed(1), Tensors()
    for number, (name, layer) in enumerate(layers(held)):
        made = factors(number, tuple(layer.weight.shape), noise)
        out |= {f"lycoris_{name.replace('.', '_')}.{role}": each for role, each in made.items()}
        out[f"lycoris_{name.replace('.', '_')}.alpha"] = torch.tensor(ALPHA)
    return out


def layers(held: Content) -> list[tuple[str, Any]]:
    """Of the denoiser, by name."""
    names = [name for group in held.of(held.part).groups for name in group.names]
    return [(name, held.model.get_submodule(name)) for name in names]


def loha(_number: int, shape: tuple[int, ...], noise: torch.Generator) -> Tensors:
    outputs, inputs = shape[0], prod(shape[1:])
    sides = {"a": (outputs, RANK), "b": (RANK, inputs)}
    return {
        f"hada_w{which}_{side}": torch.randn(sides[side], generator=noise) / 2
        for which in (1, 2)
        for side in sides
    }


def lokr(number: int, shape: tuple[int, ...], noise: torch.Generator) -> Tensors:
    """In all the ways that it may be written, from layer to layer."""
    outputs, inputs = shape[0] // 2, shape[1] // 2
    small: Shapes = {"_a": (2, RANK), "_b": (RANK, 2)} if number % 2 else {"": (2, 2)}
    large: Shapes = {"": (outputs, inputs, *shape[2:])}
    if number % 3:
        large = {"_a": (outputs, RANK), "_b": (RANK, inputs * prod(shape[2:]))}
    named = {f"lokr_w1{end}": each for end, each in small.items()}
    named |= {f"lokr_w2{end}": each for end, each in large.items()}
    return {role: torch.randn(each, generator=noise) / 3 for role, each in named.items()}


def control(held: Content) -> Tensors:
    norms = {"double_blocks.0.img_attn.norm.query_norm.scale": torch.ones(16)}
    return original(held, "") | norms


def _whole(held: Content) -> Content:
    return held.of(held.part)


Layout = Callable[[Content], Tensors | bytes]
COMMON: dict[str, Layout] = {
    "PEFT (diffusers, ai-toolkit)": lambda held: peft(_whole(held)),
    "PEFT, alpha in the header": lambda held: described(_whole(held), 4 * RANK),
    "PEFT, DoRA": lambda held: dora(_whole(held)),
    "PEFT, with text encoders": lambda held: peft(held.of(held.part, "text_encoder")),
    "PEFT, no prefix": lambda held: peft(_whole(held), ""),
    "ComfyUI (diffusion_model.)": lambda held: peft(_whole(held), "diffusion_model."),
    "OneTrainer": lambda held: kohya(_whole(held), "lora_transformer", by_original=False),
    "kohya": lambda held: kohya(_whole(held)),
    "kohya, with text encoders": lambda held: kohya(held.of(held.part, "text_encoder")),
    "kohya, text encoder without out_proj": lambda held: kohya(
        without_out_proj(held.of("text_encoder"))
    ),
    "LyCORIS LoHa": partial(lycoris, factors=loha),
    "LyCORIS LoKr": partial(lycoris, factors=lokr),
}
OF_UNET: dict[str, Layout] = COMMON | {
    "OneTrainer": lambda held: kohya(_whole(held), by_original=False),
    "diffusers before PEFT": lambda held: before_peft(_whole(held)),
}
OF_FLUX: dict[str, Layout] = COMMON | {
    "XLabs": lambda held: xlabs(_whole(content(held.pipe, "xlabs"))),
    "authors' names (fal)": lambda held: original(_whole(held), "base_model.model."),
    "authors' names (ComfyUI)": lambda held: original(_whole(held), "diffusion_model."),
    "Black Forest Labs' control": lambda held: control(_whole(held)),
}
# kohya trains on diffusers' own UNet here.
OF_SD15: dict[str, Layout] = OF_UNET | {
    "kohya": OF_UNET["OneTrainer"],
    "kohya, with text encoders": lambda held: kohya(
        held.of(held.part, "text_encoder"), by_original=False
    ),
}
LAYOUTS: dict[str, dict[str, Layout]] = {
    "sd15": OF_SD15, "sdxl": OF_UNET, "sd3": COMMON, "flux-dev": OF_FLUX,
}  # fmt: skip


def file(family: str, layout: str, pipe: Any) -> bytes:
    made = LAYOUTS[family][layout](content(pipe))
    if isinstance(made, bytes):
        return made
    return save({name: each.clone().contiguous() for name, each in made.items()})
