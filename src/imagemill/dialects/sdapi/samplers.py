"""A1111's samplers and schedules, and the schedulers of diffusers that they are here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagemill.errors import Fault, Kind

AUTOMATIC = "Automatic"  # the model's own, whether sampler or schedule


@dataclass(frozen=True)
class Sampler:
    """A way from noise to an image, as A1111 knows it."""

    #: A1111's own.
    name: str
    #: A class of diffusers; None for the model's own.
    scheduler: str | None
    #: Names of exactly the same.
    aliases: tuple[str, ...] = ()
    #: Its steps can be spaced otherwise.
    spaced: bool = True
    #: It leads models alone that take noise away, as Stable Diffusion's to SDXL; the embedded one
    #: is none, and paints with Euler.
    noise: bool = False


@dataclass(frozen=True)
class SamplerChoice:
    """What a call is painted with."""

    #: Of the sampler.
    name: str
    #: One of SCHEDULERS; None for the model's own.
    scheduler: str | None
    #: For a sampler that cannot lead the model.
    stands_in: bool
    #: Its label.
    schedule: str
    #: A schedule was named that only stands for the model's own.
    even: bool


_EULER = "EulerDiscreteScheduler"
_2M, _SINGLE = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
SAMPLERS: tuple[Sampler, ...] = (
    Sampler(AUTOMATIC, None, ("Default",), spaced=False),
    Sampler("Euler", _EULER, ("k_euler", "FlowMatchEulerDiscreteScheduler", _EULER)),
    Sampler(
        "Euler a",
        "EulerAncestralDiscreteScheduler",
        ("k_euler_a", "k_euler_ancestral", "EulerAncestralDiscreteScheduler"),
        spaced=False,
        noise=True,
    ),
    Sampler(
        "Heun",
        "HeunDiscreteScheduler",
        ("k_heun", "FlowMatchHeunDiscreteScheduler", "HeunDiscreteScheduler"),
    ),
    Sampler("DPM2", "KDPM2DiscreteScheduler", ("k_dpm_2", "KDPM2DiscreteScheduler"), noise=True),
    Sampler(
        "DPM2 a",
        "KDPM2AncestralDiscreteScheduler",
        ("k_dpm_2_a", "k_dpm_2_ancestral", "KDPM2AncestralDiscreteScheduler"),
        noise=True,
    ),
    Sampler("DPM++ 2M", _2M, ("k_dpmpp_2m", _2M)),
    Sampler("DPM++ 2S", _SINGLE, (_SINGLE,)),
    Sampler("DPM++ SDE", f"{_SINGLE}+sde", ("k_dpmpp_sde",)),
    Sampler("DPM++ 2M SDE", f"{_2M}+sde", ("k_dpmpp_2m_sde",)),
    Sampler("UniPC", "UniPCMultistepScheduler", ("unipc", "UniPCMultistepScheduler")),
    Sampler("DEIS", "DEISMultistepScheduler", ("deis", "DEISMultistepScheduler")),
    Sampler("DDIM", "DDIMScheduler", ("DDIMScheduler",), spaced=False, noise=True),
    Sampler("DDPM", "DDPMScheduler", ("DDPMScheduler",), spaced=False, noise=True),
    Sampler("PLMS", "PNDMScheduler", ("PNDM", "PNDMScheduler"), spaced=False, noise=True),
    Sampler("LCM", "LCMScheduler", ("k_lcm", "LCMScheduler"), spaced=False, noise=True),
    Sampler("TCD", "TCDScheduler", ("TCDScheduler",), spaced=False, noise=True),
)
STANDS_IN = "painted with Euler, which takes the same path without fresh noise on the way"

# Clients begin with one of these; each is an even division, as the models' own is.
EVEN = ("uniform", "simple", "normal", "sgm_uniform", "sgm uniform")
SPACINGS: Mapping[str, str] = {"karras": "Karras", "exponential": "Exponential"}
_OWN = ("automatic", "", "none", "use same scheduler")
SCHEDULES: tuple[dict[str, Any], ...] = (
    {
        "name": "automatic",
        "label": AUTOMATIC,
        "aliases": [*_OWN[1:]],
        "default_rho": -1.0,
        "need_inner_model": False,
    },
    *(
        {
            "name": name,
            "label": label,
            "aliases": None,
            "default_rho": 7.0 if name == "karras" else -1.0,
            "need_inner_model": False,
        }
        for name, label in SPACINGS.items()
    ),
)


def chosen(sampler: str, schedule: str, embedded: bool) -> SamplerChoice:
    """What is meant by the names, in any case; older clients write the schedule after the sampler.

    Raises a Fault for names of nothing, and for schedules that the embedded model does not have.
    """
    words = sampler.strip().lower()
    spacing = next((each for each in SPACINGS if words.endswith(f" {each}")), "")
    each = _named(words.removesuffix(spacing).strip() if spacing else words, sampler)
    spacing, even = _schedule(schedule, spacing, embedded or not each.spaced)
    if embedded and each.noise:
        return SamplerChoice("Euler", _EULER, True, AUTOMATIC, even)
    label = SPACINGS.get(spacing, AUTOMATIC)
    scheduler = f"{each.scheduler}+{spacing}" if spacing else each.scheduler
    return SamplerChoice(each.name, scheduler, False, label, even)


def _named(words: str, said: str) -> Sampler:
    for each in SAMPLERS:
        if words in (name.lower() for name in (each.name, *each.aliases)):
            return each
    known = ", ".join(each.name for each in SAMPLERS)
    raise Fault(Kind.NOT_FOUND, f"sampler {said!r:.80} is not here; one of {known}", "sampler_name")


def _schedule(name: str, spacing: str, fixed: bool) -> tuple[str, bool]:
    """How steps are spaced, "" as the model's own, and whether that only stands for an even one."""
    words = name.strip().lower()
    even = words in EVEN
    if words not in _OWN and not even:
        spacing = words
    if not spacing or (spacing in SPACINGS and not fixed):
        return spacing, even
    message = f"schedule {spacing!r:.80} is not here; give automatic, which is the model's own"
    raise Fault(Kind.INVALID, message, "schedule")
