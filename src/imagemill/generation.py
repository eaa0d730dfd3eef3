"""Draft: what a caller said; Generation: the whole of it, checked; GeneratedImages: what came."""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from imagemill.conditions import (
    USUAL_SAFETY,
    Control,
    ImagePrompt,
    SafetyCheck,
    StyleVector,
    Swatch,
    check_style,
)
from imagemill.errors import invalid
from imagemill.references import host_of, is_inline
from imagemill.scheduler_names import SCHEDULERS, SPACINGS
from imagemill.value_checks import (
    LONGEST_NAME,
    LONGEST_URL,
    check_choice,
    check_length,
    check_range,
    check_text,
)

Format = Literal["png", "jpeg", "webp", "svg"]
FORMATS: tuple[Format, ...] = get_args(Format)
Acceleration = Literal["none", "regular", "high"]
ACCELERATIONS: tuple[Acceleration, ...] = get_args(Acceleration)

MIN_SIDE, MAX_SIDE = 64, 2048  # px
MAX_STEPS = 150
MAX_GUIDANCE = 50.0
MAX_SEED = 2**64 - 1
MAX_IMAGES = 10
MAX_LORAS = 8
MAX_REFERENCES = 10  # images that an edit reads, or whose style is taken on
MAX_SWATCHES = 32
LONGEST_PICTURE = 2**27  # characters of one that comes within the request; bodies are shorter
LORA_FILE = "pytorch_lora_weights.safetensors"  # of a Hub id, as diffusers writes it


@dataclass(frozen=True)
class Lora:
    """path: of a file, a URL or a Hub id. weight_name: the file in a Hub id, usually LORA_FILE."""

    path: str
    scale: float = 1.0
    weight_name: str | None = None


@dataclass(frozen=True)
class LoraFile:
    """A file of a LoRA, or of a ControlNet, on this machine. digest: of what is in it, SHA-256 in
    hexadecimal. size: in bytes. Whoever holds this keeps the file from being cleared away.
    """

    path: Path
    digest: str
    size: int


Input = bytes | LoraFile  # what a reference stands for


@dataclass(frozen=True)
class Generation:
    """What is to be painted; raises a Fault of kind INVALID where a value is out of range."""

    #: 1 to 10,000 characters, not of spaces alone.
    prompt: str
    #: The id that the caller named; the catalog decides what serves it.
    model: str
    #: Of the finished image; px, 64 to 2048.
    width: int
    height: int
    #: 1 to 150.
    steps: int
    #: 0 to 50; 1 and below are unguided.
    guidance_scale: float
    #: 0 to 2**64 - 1, of the first image; the image i of several has seed + i, so that each is the
    #: same as when asked for alone.
    seed: int
    #: What is not to be seen, at most 10,000 characters; empty for nothing.
    negative_prompt: str = ""
    #: 1 to 10.
    num_images: int = 1
    #: One of SCHEDULERS; None for the model's own.
    scheduler: str | None = None
    #: One of SPACINGS: a wish, told as ignored where the scheduler has no choice; None for its own.
    spacing: str | None = None
    format: Format = "png"
    #: Shares of the steps, 0 to 1, between which guidance is applied.
    guidance_range: tuple[float, float] = (0.0, 1.0)
    #: What is painted over: a URL, or a stored file.
    image: str | None = None
    #: Another in the same size; white is painted over.
    mask: str | None = None
    #: How much of the image is repainted, 0 to 1.
    strength: float = 0.8
    #: The image lies in the middle of a larger one, whose rest is painted.
    outpaint: bool = False
    #: Width and height are to be those of the image, else of the first reference, else of the
    #: control's.
    image_sized: bool = False
    #: What steers the composition.
    control: Control | None = None
    #: An image whose look is taken on.
    ip_adapter: ImagePrompt | None = None
    #: Images that an edit reads, at most 10, in the order in which the prompt counts them.
    references: tuple[str, ...] = ()
    #: How near an edit stays to its images, 0 to 50; None for the model's own.
    image_guidance_scale: float | None = None
    #: Images whose style is taken on, at most 10, instead of the vector.
    style_images: tuple[str, ...] = ()
    #: A style: eight levels, 0 to 15, as `finishing.style_vectors` has them.
    style_vector: StyleVector | None = None
    #: The id of a style that the caller made, instead of the vector.
    style_id: str | None = None
    #: The foreground of the image is kept, and what lies behind it is painted.
    keep_foreground: bool = False
    #: At most 8, each with a scale from -4 to 4.
    loras: tuple[Lora, ...] = ()
    #: The name of a preset.
    style: str | None = None
    #: Colours to come close to.
    palette: tuple[Swatch, ...] = ()
    #: The prompt is to be enriched before it is painted.
    expand: bool = False
    #: How much of the computation may be saved at the price of other pixels; "none" paints exactly.
    acceleration: Acceleration = "none"
    #: Whether the finished images are looked at before they are given out.
    safety: SafetyCheck = USUAL_SAFETY

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise invalid("prompt", "the prompt is empty; say what to paint")
        check_text("prompt", self.prompt)
        check_text("negative_prompt", self.negative_prompt)
        for name, low, high in _RANGES:
            check_range(name, getattr(self, name), low, high)
        if self.scheduler is not None:
            check_choice("scheduler", self.scheduler, SCHEDULERS)
        if self.spacing is not None:
            check_choice("spacing", self.spacing, SPACINGS)
        check_choice("format", self.format, FORMATS)
        check_choice("acceleration", self.acceleration, ACCELERATIONS)
        check_range("guidance_range", self.guidance_range[0], 0, 1)
        check_range("guidance_range", self.guidance_range[1], self.guidance_range[0], 1)
        self._check_lengths()
        if self.image_guidance_scale is not None:
            check_range("image_guidance_scale", self.image_guidance_scale, 0, MAX_GUIDANCE)
        self._check_images()
        check_style("style_vector", self.style_vector)
        check_range("safety", self.safety.tolerance, 0, 1)
        for lora in self.loras:
            check_range("loras", lora.scale, -4, 4)
            check_length("loras", lora.path, LONGEST_URL)
            check_length("loras", lora.weight_name or "", LONGEST_NAME)
        for swatch in self.palette:
            for part in (swatch.red, swatch.green, swatch.blue):
                check_range("palette", part, 0, 255)
            check_range("palette", swatch.weight, 0, 1)

    @property
    def needs_inputs(self) -> bool:
        """Whether something is to be fetched, found, decoded or written before it is painted."""
        return bool(self.images or self.loras or self.style_id) or self.expand

    @property
    def images(self) -> dict[str, str]:
        """The references to images, by name: a field, `control_image` and the like, or one of a
        list (`references.0`).
        """
        named = {name: self._at(path) for name, path in IMAGES.items()}
        named |= {
            f"{name}.{number}": reference
            for name in IMAGE_LISTS
            for number, reference in enumerate(getattr(self, name))
        }
        return {name: reference for name, reference in named.items() if reference is not None}

    def with_images(self, images: Mapping[str, str]) -> "Generation":
        """The same, with other references to images, by name."""
        changed: dict[str, Any] = {}
        for name, (*within, field) in IMAGES.items():
            if name not in images:
                continue
            if not within:
                changed[field] = images[name]
            else:
                condition = changed.get(within[0], getattr(self, within[0]))
                changed[within[0]] = replace(condition, **{field: images[name]})
        for name in IMAGE_LISTS:
            own = getattr(self, name)
            changed[name] = tuple(images.get(f"{name}.{i}", each) for i, each in enumerate(own))
        return replace(self, **changed)

    def _at(self, path: tuple[str, ...]) -> str | None:
        *within, field = path
        holder = getattr(self, within[0]) if within else self
        reference: str | None = getattr(holder, field, None)
        return reference

    @property
    def sized_by(self) -> str | None:
        """The name of the image whose size an image-sized generation has; None without one."""
        return next((name for name in SIZING if name in self.images), None)

    @property
    def host(self) -> str:
        """Of the first input that comes by HTTP, at most 255 characters; empty where none does."""
        paths = [each.path for each in (self.control, self.ip_adapter) if each is not None]
        references = (*self.images.values(), *paths, *(lora.path for lora in self.loras))
        return next(filter(None, map(host_of, references)), "")

    def _check_images(self) -> None:
        """That what belongs to an image has one, and that there are not too many."""
        for name in IMAGE_LISTS:
            if (count := len(getattr(self, name))) > MAX_REFERENCES:
                raise invalid(name, f"{count} images are too many; give at most {MAX_REFERENCES}")
        for name in ("mask", "outpaint", "keep_foreground"):
            if getattr(self, name) and not self.image:
                raise invalid(name, f"{name} needs an image that it belongs to; give both")
        if self.image_sized and self.sized_by is None:
            raise invalid("image_sized", "image_sized needs an image that it belongs to; give both")

    def _check_lengths(self) -> None:
        """Of what is kept with the job. What came within the request becomes a file before that."""
        for name, url in self.images.items():
            if not is_inline(url):
                check_length(name, url, LONGEST_URL, "image" if "." in name else name)
        for name in ("model", "style", "style_id"):
            check_length(name, getattr(self, name) or "", LONGEST_NAME)

    def seed_of(self, index: int) -> int:
        """The seed of the picture `index`; after the largest comes 0."""
        return (self.seed + index) % (MAX_SEED + 1)


# The references to single images, by name: the way to each within a generation.
IMAGES: dict[str, tuple[str, ...]] = {
    "image": ("image",),
    "mask": ("mask",),
    "control_image": ("control", "image"),
    "ip_adapter_image": ("ip_adapter", "image"),
    "ip_adapter_mask": ("ip_adapter", "mask"),
}
IMAGE_LISTS = ("references", "style_images")
MASKS = frozenset({"mask", "ip_adapter_mask"})
SIZING = ("image", "references.0", "control_image")  # the first that is there tells the size
_RANGES: tuple[tuple[str, int, float], ...] = (
    ("width", MIN_SIDE, MAX_SIDE),
    ("height", MIN_SIDE, MAX_SIDE),
    ("steps", 1, MAX_STEPS),
    ("guidance_scale", 0, MAX_GUIDANCE),
    ("seed", 0, MAX_SEED),
    ("num_images", 1, MAX_IMAGES),
    ("strength", 0, 1),
)


@dataclass(frozen=True)
class Defaults:
    """What an endpoint paints with where its caller leaves something open."""

    #: px, 64 to 2048.
    width: int
    height: int
    #: 1 to 150.
    steps: int
    #: 0 to 50.
    guidance_scale: float


@dataclass(frozen=True)
class Draft:
    """What a caller said of a generation, unchecked; None is left open.

    The fields are those of a Generation, which says more of each.
    """

    #: What to paint.
    prompt: str
    #: What is not to be seen; empty for nothing.
    negative_prompt: str = ""
    #: px; None for the endpoint's default, or where the image decides.
    width: int | None = None
    height: int | None = None
    #: None for the endpoint's default.
    steps: int | None = None
    #: None for the endpoint's default.
    guidance_scale: float | None = None
    #: Of the first image; None draws one of 32 bits.
    seed: int | None = None
    #: How many are painted.
    num_images: int = 1
    #: None for the model's own.
    scheduler: str | None = None
    #: None for the scheduler's own; a wish, which means nothing where there is no choice.
    spacing: str | None = None
    #: Of the files that come out.
    format: Format = "png"
    #: Shares of the steps between which guidance is applied.
    guidance_range: tuple[float, float] = (0.0, 1.0)
    #: What is painted over: a URL, a data URI or a stored file.
    image: str | None = None
    #: Another in the same size; white is painted over.
    mask: str | None = None
    #: How much of the image is repainted, 0 to 1; None for the usual 0.8.
    strength: float | None = None
    #: The image lies in the middle of a larger one, whose rest is painted.
    outpaint: bool = False
    #: Width and height are to be those of the image, else of the first reference, else of the
    #: control's.
    image_sized: bool = False
    #: What steers the composition.
    control: Control | None = None
    #: An image whose look is taken on.
    ip_adapter: ImagePrompt | None = None
    #: Images that an edit reads, in the order in which the prompt counts them.
    references: tuple[str, ...] = ()
    #: How near an edit stays to its images; None for the model's own.
    image_guidance_scale: float | None = None
    #: Images whose style is taken on.
    style_images: tuple[str, ...] = ()
    #: A style: eight levels, 0 to 15; or the id of one that the caller made.
    style_vector: StyleVector | None = None
    style_id: str | None = None
    #: The foreground of the image is kept, and what lies behind it is painted.
    keep_foreground: bool = False
    #: Adapters of the model, in the order in which they are applied.
    loras: tuple[Lora, ...] = ()
    #: The name of a preset.
    style: str | None = None
    #: Colours to come close to.
    palette: tuple[Swatch, ...] = ()
    #: The prompt is to be enriched before it is painted.
    expand: bool = False
    #: How much of the computation may be saved at the price of other pixels.
    acceleration: Acceleration = "none"
    #: Whether the finished images are looked at before they are given out.
    safety: SafetyCheck = USUAL_SAFETY

    def complete(self, model: str, defaults: Defaults) -> Generation:
        """What `model` is to paint; raises a Fault where a value is out of range."""
        usual = asdict(defaults) | {"seed": secrets.randbelow(2**32)}
        names = (each.name for each in fields(self))
        said = {name: value for name in names if (value := getattr(self, name)) is not None}
        return Generation(model=model, **usual | said)


@dataclass(frozen=True)
class Progress:
    """How far a generation has come."""

    #: Steps done, over all images and stages.
    step: int
    #: Steps in all.
    steps: int


@dataclass(frozen=True)
class GeneratedImages:
    """A finished generation: its images, and how it went."""

    #: Encoded, in order.
    pictures: tuple[bytes, ...]
    #: Of engine time, from first step to encoded.
    seconds: float
    #: The weights that painted: "pico" when standing in.
    served_by: str
    #: Words that the model does not know, that lie beyond what it reads, or that it draws as
    #: something near ("corgi: drawn as dog").
    ignored: tuple[str, ...] = ()
    #: For each image that was painted, whether the safety checker flagged it; empty where none
    #: looked.
    flagged: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a caller gets who waits for images."""

    #: The images, and how it went.
    painted: GeneratedImages
    #: Of the first image: drawn, where none was asked for.
    seed: int
    #: They are earlier ones, from the cache.
    hit: bool = False
    #: What was paid, in micro-credits.
    cost: int = 0
