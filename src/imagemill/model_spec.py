"""What an operator says of a model: where its weights lie, and how they are to be held.

A model goes through catalog, job and engine as one string, its address: the source alone where
nothing else was said, and else everything that the engine has to know, as JSON. So two ids whose
options differ are two models, two that agree are one, and a job that waits keeps what it was
accepted with though the configuration changes. A model with a ControlNet or an
IP-Adapter beside it has an address of its own, which names both.
"""

import json
import re
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

from imagemill.generation import MAX_GUIDANCE, MAX_SIDE, MAX_STEPS, MIN_SIDE
from imagemill.upstream_spec import check_remote, remote_model

Dtype = Literal["auto", "bfloat16", "float16", "float32"]
Offload = Literal["none", "model", "group", "sequential"]
Quantize = Literal["none", "8bit", "4bit"]
Attention = Literal[
    "auto", "native", "_native_cudnn", "_native_efficient", "_native_flash", "_native_math",
    "flash", "_flash_3", "flex", "sage", "xformers",
]  # fmt: skip

LARGEST_SCALE = 10.0  # of a LoRA, either way
QUANTIZERS = ("torchao", "bitsandbytes")  # packages, in the order in which they are preferred

_DEVICE = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d+)?")
# What a pipeline can have of its own kind, beside what the source brings.
PARTS = (
    "transformer", "unet", "vae", "text_encoder", "text_encoder_2", "text_encoder_3",
    "text_encoder_4", "tokenizer", "tokenizer_2", "tokenizer_3", "tokenizer_4", "scheduler",
)  # fmt: skip
# Parts whose weights are worth quantizing: most of a model lies in them.
LARGE = ("transformer", "unet", "text_encoder_2", "text_encoder_3", "text_encoder_4")
# Fields that the engine need not know: they change no picture and no memory.
_OUTSIDE = frozenset({"aliases", "defaults"})
# In an address, where a ControlNet and an IP-Adapter lie that are beside the model.
_CONTROL, _IP_ADAPTER = "controlnet", "ip_adapter"
_STRICT = {"extra": "forbid"}  # for pydantic, which reads these classes in the settings


def _within(name: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise ValueError(f"{name} {value} is not between {least} and {most:g}")


@dataclass(frozen=True)
class FixedLora:
    """A LoRA that is always on. path: of a safetensors file, or a Hub id. weight_name: the file in
    a Hub id."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    path: str
    scale: float = 1.0
    weight_name: str | None = None

    def __post_init__(self) -> None:
        if abs(self.scale) > LARGEST_SCALE:
            raise ValueError(f"scale {self.scale} is beyond {LARGEST_SCALE}; 1 is the usual one")


@dataclass(frozen=True)
class ModelDefaults:
    """What is painted where the caller leaves it open; None: as the weights like it."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    width: int | None = None  # px
    height: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None

    def __post_init__(self) -> None:
        _within("width", self.width, MIN_SIDE, MAX_SIDE)
        _within("height", self.height, MIN_SIDE, MAX_SIDE)
        _within("steps", self.steps, 1, MAX_STEPS)
        _within("guidance_scale", self.guidance_scale, 0, MAX_GUIDANCE)


@dataclass(frozen=True)
class ModelSpec:
    """One table `[models."owner/name"]`.

    source: "pico", a folder, a file, a Hub id, or the model of an upstream. The parts by their
    names in diffusers are folders or files that take the place of what the source brings, or fail
    to bring. config: a folder or Hub id whose JSON and tokenizer files describe a single file.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    source: str
    variant: str | None = None
    revision: str | None = None
    dtype: Dtype = "auto"
    device: str = "auto"
    offload: Offload = "none"
    quantize: Quantize = "none"
    attention: Attention = "auto"
    compile: bool = False
    transformer: str | None = None
    unet: str | None = None
    vae: str | None = None
    text_encoder: str | None = None
    text_encoder_2: str | None = None
    text_encoder_3: str | None = None
    text_encoder_4: str | None = None
    tokenizer: str | None = None
    tokenizer_2: str | None = None
    tokenizer_3: str | None = None
    tokenizer_4: str | None = None
    scheduler: str | None = None
    loras: tuple[FixedLora, ...] = ()
    textual_inversions: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    defaults: ModelDefaults = ModelDefaults()
    keep: bool = False
    pickles: bool = False
    config: str | None = None

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise ValueError("source is empty; give a folder, a file or a Hub id")
        check_remote(self.source)
        if not _DEVICE.fullmatch(self.device):
            raise ValueError(
                f"device {self.device!r:.80} is none; one of auto, cpu, mps, cuda, cuda:0, xpu"
            )
        for refusal in self._contradictions():
            raise ValueError(refusal)

    def _contradictions(self) -> list[str]:
        quantized, offloaded = self.quantize != "none", self.offload != "none"
        held = sorted(name for name, value in self._said().items() if name not in _OUTSIDE)
        reasons = {
            f"an upstream paints this; leave out {', '.join(held)}": bool(held)
            and remote_model(self.source) is not None,
            "offload moves weights between a GPU and memory; leave it out on the cpu": offloaded
            and self.device == "cpu",
            "weights that are quantized cannot be moved one by one; offload by model or group": (
                quantized and self.offload == "sequential"
            ),
            "a compiled model cannot be moved; leave out compile or offload": self.compile
            and offloaded,
            "a .gguf file is quantized as it is; leave out quantize": quantized
            and self.source.endswith(".gguf"),
            f"quantize needs the package {' or '.join(QUANTIZERS)}; install one, or leave it "
            "out": quantized and not any(find_spec(name) for name in QUANTIZERS),
        }
        return [reason for reason, wrong in reasons.items() if wrong]

    @property
    def parts(self) -> dict[str, str]:
        """Where the parts lie that are named apart, by name."""
        named = {name: getattr(self, name) for name in PARTS}
        return {name: place for name, place in named.items() if place is not None}

    def _said(self) -> dict[str, Any]:
        """What was said of the model beside its source."""
        usual = {each.name: each.default for each in fields(self)} | {"source": self.source}
        whole = asdict(self)
        return {name: whole[name] for name in whole if getattr(self, name) != usual[name]}

    @cached_property  # asked of every call
    def address(self) -> str:
        said = {name: value for name, value in self._said().items() if name not in _OUTSIDE}
        plain = not said and not self.source.startswith("{")
        said["source"] = self.source
        return self.source if plain else json.dumps(said, sort_keys=True, ensure_ascii=False)

    @classmethod
    def at(cls, address: str) -> "ModelSpec":
        """What `address` was made of, without what the engine need not know, and without what lies
        beside it."""
        if not address.startswith("{"):
            return cls(address)
        said: dict[str, Any] = json.loads(address)
        for beside in (_CONTROL, _IP_ADAPTER):
            said.pop(beside, None)
        return cls(
            **said
            | {
                "loras": tuple(FixedLora(**each) for each in said.get("loras", ())),
                "textual_inversions": tuple(said.get("textual_inversions", ())),
            }
        )


@dataclass(frozen=True)
class AdapterPlace:
    """Where an IP-Adapter lies. path: its file. encoder: the image encoder, a folder or a file."""

    path: str
    encoder: str


def controlled(address: str, control: str) -> str:
    """The address of the same model with a ControlNet beside it. control: a folder, a file or a Hub
    id.
    """
    return _beside(address, {_CONTROL: control})


def control_of(address: str) -> str | None:
    """Where the ControlNet lies that is beside the model at `address`; None where there is none."""
    place: str | None = _said(address).get(_CONTROL)
    return place


def image_prompted(address: str, adapter: AdapterPlace) -> str:
    """The address of the same model with an IP-Adapter beside it."""
    return _beside(address, {_IP_ADAPTER: asdict(adapter)})


def ip_adapter_of(address: str) -> AdapterPlace | None:
    """The IP-Adapter that is beside the model at `address`; None where there is none."""
    place: dict[str, str] | None = _said(address).get(_IP_ADAPTER)
    return None if place is None else AdapterPlace(**place)


def _said(address: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(address) if address.startswith("{") else {"source": address}
    return said


def _beside(address: str, what: dict[str, Any]) -> str:
    return json.dumps(_said(address) | what, sort_keys=True, ensure_ascii=False)
