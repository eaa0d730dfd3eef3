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
    #: The label of the schedule.
    schedule: str
    #: One of SPACINGS; None for the model's own.
    spacing: str | None
    #: Why a schedule that was named is painted with the model's own; None where it is not.
    unheeded: str | None


_EULER = "EulerDiscreteScheduler"
_2M, _SINGLE = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
SAMPLERS: tuple[Sampler, ...] = (
    Sampler(AUTOMATIC, None, ("Default",)),
    Sampler("Euler", _EULER, ("k_euler", "FlowMatchEulerDiscreteScheduler", _EULER)),
    Sampler(
        "Euler a",
        "EulerAncestralDiscreteScheduler",
        ("k_euler_a", "k_euler_ancestral", "EulerAncestralDiscreteScheduler"),
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
    Sampler("DDIM", "DDIMScheduler", ("DDIMScheduler",), noise=True),
    Sampler("DDPM", "DDPMScheduler", ("DDPMScheduler",), noise=True),
    Sampler("PLMS", "PNDMScheduler", ("PNDM", "PNDMScheduler"), noise=True),
    Sampler("LCM", "LCMScheduler", ("k_lcm", "LCMScheduler"), noise=True),
    Sampler("TCD", "TCDScheduler", ("TCDScheduler",), noise=True),
)
STANDS_IN = "painted with Euler, which takes the same path without fresh noise on the way"

# Each is an even division, as the models' own is.
EVEN = ("uniform", "simple", "normal", "ddim", "turbo")
OWN = ("automatic", "", "none", "use same scheduler")


def _row(name: str, label: str, rho: float = -1.0, *aliases: str) -> dict[str, Any]:
    """A schedule, as A1111 lists it."""
    inner = name == "sgm_uniform"  # as A1111 says
    listed = [*aliases] or None
    return {
        "name": name, "label": label, "aliases": listed, "default_rho": rho,
        "need_inner_model": inner,
    }  # fmt: skip


SCHEDULES: tuple[dict[str, Any], ...] = (
    _row("automatic", AUTOMATIC, -1.0, *OWN[1:]),
    _row("karras", "Karras", 7.0),
    _row("exponential", "Exponential"),
    _row("sgm_uniform", "SGM Uniform", -1.0, "SGMUniform"),
)
# By every name of theirs, those that are other than the model's own.
SPACED: Mapping[str, dict[str, Any]] = {
    name.lower(): row
    for row in SCHEDULES[1:]
    for name in (row["name"], row["label"], *(row["aliases"] or ()))
}


def chosen(sampler: str, schedule: str, embedded: bool) -> SamplerChoice:
    """What is meant by the names, in any case; older clients write the schedule after the sampler.
    A schedule that is not here is painted with the model's own, as A1111 does with unknown ones.

    Raises a Fault for samplers that are none.
    """
    words = sampler.strip().lower()
    after = next((each for each in SPACED if words.endswith(f" {each}")), "")
    each = _named(words.removesuffix(after).strip() if after else words, sampler)
    named = schedule.strip().lower()
    wished = after if named in OWN else named
    row = None if embedded else SPACED.get(wished)
    unheeded = _why_not(wished, embedded) if wished and row is None else None
    spacing, label = (None, AUTOMATIC) if row is None else (row["name"], row["label"])
    if embedded and each.noise:
        return SamplerChoice("Euler", _EULER, True, label, spacing, unheeded)
    return SamplerChoice(each.name, each.scheduler, False, label, spacing, unheeded)


def _why_not(wished: str, embedded: bool) -> str:
    if wished in EVEN:
        return "the model's own, which is even too"
    if embedded and wished in SPACED:
        return f"{wished}: the model's own, as pico is of flow matching"
    return f"{wished:.80}: the model's own, as there is no such schedule here"


def _named(words: str, said: str) -> Sampler:
    for each in SAMPLERS:
        if words in (name.lower() for name in (each.name, *each.aliases)):
            return each
    known = ", ".join(each.name for each in SAMPLERS)
    raise Fault(Kind.NOT_FOUND, f"sampler {said!r:.80} is not here; one of {known}", "sampler_name")
