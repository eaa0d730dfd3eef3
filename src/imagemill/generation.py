"""Generation: what was asked, in our own words, checked. Painted: what came of it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from imagemill.errors import invalid

Format = Literal["png", "jpeg", "webp", "svg"]
FORMATS: tuple[Format, ...] = get_args(Format)
Acceleration = Literal["none", "regular", "high"]
ACCELERATIONS: tuple[Acceleration, ...] = get_args(Acceleration)

# A URL with its host. What comes for one is kept, so it is short and plain.
_HOST = re.compile(r"https?://(?:[^/?#]*@)?([a-z0-9._-]{1,255}|\[[0-9a-f:.]{2,45}\])", re.I | re.A)

MIN_SIDE, MAX_SIDE = 64, 2048  # px
MAX_STEPS = 150
MAX_GUIDANCE = 50.0
MAX_SEED = 2**64 - 1
MAX_IMAGES = 8
MAX_PROMPT = 10_000  # characters
MAX_LORAS = 8
MAX_SWATCHES = 32
LONGEST_URL = 8192  # characters
LONGEST_PICTURE = 2**27  # characters of one that comes within the request; bodies are shorter
LONGEST_NAME = 512  # characters of an id of a model, or of what has a name

LORA_FILE = "pytorch_lora_weights.safetensors"  # of a Hub id, as diffusers writes it
DATA = "data:"  # begins the address of what came within the request

# Classes of diffusers.schedulers, each also with the words that may follow it: how the noise is
# spaced over the steps ("karras", "exponential"), or that some is drawn in every step ("sde").
# Each leads one family or another; the model says which it can be led by.
_SPACED = ("", "+karras", "+exponential")
_SOLVER = (*_SPACED, *(f"+sde{spacing}" for spacing in _SPACED))
_SCHEDULERS: dict[str, tuple[str, ...]] = {
    "FlowMatchEulerDiscreteScheduler": ("",),
    "FlowMatchHeunDiscreteScheduler": ("",),
    "FlowMatchLCMScheduler": ("",),
    "EulerDiscreteScheduler": _SPACED,
    "EulerAncestralDiscreteScheduler": ("",),
    "HeunDiscreteScheduler": _SPACED,
    "KDPM2DiscreteScheduler": _SPACED,
    "KDPM2AncestralDiscreteScheduler": _SPACED,
    "DPMSolverMultistepScheduler": _SOLVER,
    "DPMSolverSinglestepScheduler": _SOLVER,
    "DEISMultistepScheduler": _SPACED,
    "UniPCMultistepScheduler": _SPACED,
    "PNDMScheduler": ("",),
    "DDIMScheduler": ("",),
    "DDPMScheduler": ("",),
    "LCMScheduler": ("",),
    "TCDScheduler": ("",),
}
SCHEDULERS: tuple[str, ...] = tuple(
    f"{name}{words}" for name, endings in _SCHEDULERS.items() for words in endings
)


@dataclass(frozen=True)
class Lora:
    """path: of a file that was given, a URL or a Hub id. weight_name: the file in a Hub id, usually
    LORA_FILE.
    """

    path: str
    scale: float = 1.0
    weight_name: str | None = None


@dataclass(frozen=True)
class LoraFile:
    """A LoRA's file on this machine. digest: of what is in it, SHA-256 in hexadecimal. size: in
    bytes. Whoever holds this keeps the file from being cleared away.
    """

    path: Path
    digest: str
    size: int


Input = bytes | LoraFile  # what a reference stands for


@dataclass(frozen=True)
class Swatch:
    """A colour that a picture shall have, 0 to 255 each, and its share against others, 0 to 1."""

    red: int
    green: int
    blue: int
    weight: float = 0.5


@dataclass(frozen=True)
class Generation:
    """One request for pictures; raises a Fault of kind INVALID where a value is out of range.

    model: the id the caller named; the catalog decides what serves it.
    width, height: px, 64 to 2048, of the finished picture. steps: 1 to 150. guidance_scale: 0 to
    50, 1 and below being unguided. seed: 0 to 2**64 - 1; the picture i of several is painted with
    seed + i, so that the first is the same as when asked for alone. scheduler: one of SCHEDULERS,
    None for the model's own.

    guidance_range: shares of the steps between which guidance is applied. image: a URL or a stored
    file that is painted over; mask: another, white where. strength: how much of the image is
    repainted, 0 to 1. outpaint: the image lies in the middle of a larger picture, whose rest is
    painted. image_sized: width and height are to be the image's. style: the name of a preset.
    palette: colours to come close to. expand: the prompt is to be enriched before it is painted.
    acceleration: how much of the computation may be saved at the price of other pixels; "none"
    paints exactly.
    """

    prompt: str
    model: str
    width: int
    height: int
    steps: int
    guidance_scale: float
    seed: int
    negative_prompt: str = ""
    num_images: int = 1
    scheduler: str | None = None
    format: Format = "png"
    guidance_range: tuple[float, float] = (0.0, 1.0)
    image: str | None = None
    mask: str | None = None
    strength: float = 0.8
    outpaint: bool = False
    image_sized: bool = False
    loras: tuple[Lora, ...] = ()
    style: str | None = None
    palette: tuple[Swatch, ...] = ()
    expand: bool = False
    acceleration: Acceleration = "none"

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise invalid("prompt", "the prompt is empty; say what to paint")
        _check_text("prompt", self.prompt)
        _check_text("negative_prompt", self.negative_prompt)
        for name, low, high in _RANGES:
            _check_range(name, getattr(self, name), low, high)
        if self.scheduler is not None:
            _check_choice("scheduler", self.scheduler, SCHEDULERS)
        _check_choice("format", self.format, FORMATS)
        _check_choice("acceleration", self.acceleration, ACCELERATIONS)
        _check_range("guidance_range", self.guidance_range[0], 0, 1)
        _check_range("guidance_range", self.guidance_range[1], self.guidance_range[0], 1)
        self._check_lengths()
        for name in ("mask", "outpaint", "image_sized"):
            if getattr(self, name) and self.image is None:
                raise invalid(name, f"{name} needs an image that it belongs to; give both")
        for lora in self.loras:
            _check_range("loras", lora.scale, -4, 4)
        for swatch in self.palette:
            for part in (swatch.red, swatch.green, swatch.blue):
                _check_range("palette", part, 0, 255)
            _check_range("palette", swatch.weight, 0, 1)

    @property
    def needs_inputs(self) -> bool:
        """Whether something is to be fetched, decoded or written before it can be painted."""
        return self.image is not None or bool(self.loras) or self.expand

    @property
    def host(self) -> str:
        """Of the first input that comes by HTTP, at most 255 characters; empty where none does."""
        references = (self.image, self.mask, *(lora.path for lora in self.loras))
        return next(filter(None, map(host_of, references)), "")

    def _check_lengths(self) -> None:
        """Of what is kept with the job. What came within the request becomes a file before that."""
        for name in ("image", "mask"):
            url = getattr(self, name) or ""
            if url[: len(DATA)].lower() != DATA:
                check_length(name, url, LONGEST_URL)
        for name in ("model", "style"):
            check_length(name, getattr(self, name) or "", LONGEST_NAME)
        for lora in self.loras:
            check_length("loras", lora.path, LONGEST_URL)
            check_length("loras", lora.weight_name or "", LONGEST_NAME)

    def seed_of(self, index: int) -> int:
        """The seed of the picture `index`; after the largest comes 0."""
        return (self.seed + index) % (MAX_SEED + 1)


_RANGES: tuple[tuple[str, int, float], ...] = (
    ("width", MIN_SIDE, MAX_SIDE),
    ("height", MIN_SIDE, MAX_SIDE),
    ("steps", 1, MAX_STEPS),
    ("guidance_scale", 0, MAX_GUIDANCE),
    ("seed", 0, MAX_SEED),
    ("num_images", 1, MAX_IMAGES),
    ("strength", 0, 1),
)


def check_length(name: str, text: str, limit: int) -> None:
    """Raises a Fault where a text has more than `limit` characters."""
    if len(text) > limit:
        raise invalid(name, f"{name} has {len(text)} characters; at most {limit} are read")


def _check_text(name: str, text: str) -> None:
    check_length(name, text, MAX_PROMPT)
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can bring what no file and no tokenizer can hold
        raise invalid(name, f"{name} has half of a surrogate pair; send whole ones") from None


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if low <= value <= high:  # never true of NaN
        return
    # Python refuses to write out an integer of thousands of digits, which JSON can bring.
    if isinstance(value, int) and value.bit_length() > 100:
        shown = f"of {value.bit_length()} bits"
    else:
        shown = str(value)
    raise invalid(name, f"{name} {shown} is out of range; give {low} to {high}")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise invalid(name, f"unknown {name} {value!r:.80}; one of {', '.join(choices)}")


def host_of(reference: str | None) -> str:
    """Of a URL, at most 255 characters; empty where there is none, or it is no URL."""
    found = _HOST.match(reference or "")
    return found[1].lower() if found else ""


@dataclass(frozen=True)
class Painted:
    """A finished generation: encoded pictures in order, and how it went."""

    pictures: tuple[bytes, ...]
    seconds: float  # of engine time, from first step to encoded
    served_by: str  # the weights that painted: "pico" when standing in
    # Words that the model does not know, that lie beyond what it reads, or that it draws as
    # something near ("corgi: drawn as dog").
    ignored: tuple[str, ...] = ()
