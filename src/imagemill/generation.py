"""Generation: what was asked, in our own words, checked. Painted: what came of it."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from imagemill.errors import invalid

Format = Literal["png", "jpeg", "webp"]
FORMATS: tuple[Format, ...] = get_args(Format)

MIN_SIDE, MAX_SIDE = 64, 2048  # px
MAX_STEPS = 150
MAX_GUIDANCE = 50.0
MAX_SEED = 2**64 - 1
MAX_IMAGES = 8
MAX_PROMPT = 10_000  # characters

# Classes of diffusers.schedulers that can drive a flow-matching model (`use_flow_sigmas`), so they mean
# something for every family served today.
SCHEDULERS: tuple[str, ...] = (
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "EulerDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "DEISMultistepScheduler",
    "SASolverScheduler",
    "UniPCMultistepScheduler",
)


@dataclass(frozen=True)
class Generation:
    """One request for pictures; raises a Fault of kind INVALID where a value is out of range.

    model: the id the caller named; the catalog decides what serves it.
    width, height: px, 64 to 2048, of the finished picture. steps: 1 to 150. guidance_scale: 0 to 50, 1 and
    below being unguided. seed: 0 to 2**64 - 1; the picture i of several is painted with seed + i, so that the
    first is the same as when asked for alone. scheduler: a class name of diffusers, None for the model's own.
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

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise invalid("prompt", "the prompt is empty; say what to paint")
        for name in ("prompt", "negative_prompt"):
            length = len(getattr(self, name))
            if length > MAX_PROMPT:
                raise invalid(
                    name, f"{name} has {length} characters; at most {MAX_PROMPT} are read"
                )
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise invalid(name, f"{name} {value} is out of range; give {low} to {high}")
        if self.scheduler is not None and self.scheduler not in SCHEDULERS:
            raise invalid(
                "scheduler",
                f"unknown scheduler {self.scheduler!r:.80}; one of {', '.join(SCHEDULERS)}",
            )
        if self.format not in FORMATS:
            raise invalid(
                "format", f"unknown format {self.format!r:.80}; one of {', '.join(FORMATS)}"
            )


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("width", MIN_SIDE, MAX_SIDE),
    ("height", MIN_SIDE, MAX_SIDE),
    ("steps", 1, MAX_STEPS),
    ("guidance_scale", 0, MAX_GUIDANCE),
    ("seed", 0, MAX_SEED),
    ("num_images", 1, MAX_IMAGES),
)


@dataclass(frozen=True)
class Painted:
    """A finished generation: encoded pictures in order, and how it went."""

    pictures: tuple[bytes, ...]
    seconds: float  # of engine time, from first step to encoded
    served_by: str  # the weights that painted: "pico" when standing in
    ignored: tuple[str, ...] = field(default=())  # words of the prompt that the model does not know
