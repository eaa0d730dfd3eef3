"""AUTOMATIC1111's words: of errors, samplers, schedules and states."""

from dataclasses import dataclass
from typing import Any

from imagemill.dialects import wire
from imagemill.errors import Fault, Kind
from imagemill.job import Status

DOOR = "sdapi"

STATUSES = {**wire.STATUSES, Kind.INVALID: 422}

# What a person is shown of a job that is not painted yet; A1111 has a text for waiting alone.
TEXTINFO: dict[Status, str | None] = {
    Status.QUEUED: "Waiting...",
    Status.RUNNING: None,
    Status.SUCCEEDED: None,
    Status.FAILED: None,
    Status.CANCELLED: None,
}

# Canonical names that A1111 calls otherwise.
NAMES: dict[str, str] = {
    "guidance_scale": "cfg_scale",
    "num_images": "batch_size",
    "strength": "denoising_strength",
    "image": "init_images",
    "scheduler": "sampler_name",
    "style": "styles",
    "loras": "prompt",
    "format": "samples_format",
    "model": "sd_model_checkpoint",
    "schedule": "scheduler",
    "png": "image",
}

# A1111's own sentences, by the field of what was not found; our message stands beside them.
NOT_FOUND: dict[str, str] = {
    "sampler_name": "Sampler not found",
    "sd_model_checkpoint": "Model not found",
    "init_images": "Init image not found",
}
UNKNOWN = "Invalid authentication credentials"

AUTOMATIC = "Automatic"  # the model's own, whether sampler or schedule


@dataclass(frozen=True)
class Sampler:
    """scheduler: a class of diffusers, None for the model's own. aliases: exactly the same.

    stands_for: names that something else was meant by, and why this is painted instead.
    """

    name: str
    scheduler: str | None
    aliases: tuple[str, ...] = ()
    stands_for: tuple[str, ...] = ()


SAMPLERS: tuple[Sampler, ...] = (
    Sampler(AUTOMATIC, None, ("Default",)),
    Sampler(
        "Euler",
        "EulerDiscreteScheduler",
        ("k_euler", "FlowMatchEulerDiscreteScheduler", "EulerDiscreteScheduler"),
        ("Euler a", "k_euler_a", "k_euler_ancestral", "DDIM"),
    ),
    Sampler("Heun", "FlowMatchHeunDiscreteScheduler", ("k_heun", "FlowMatchHeunDiscreteScheduler")),
    Sampler(
        "DPM++ 2M", "DPMSolverMultistepScheduler", ("k_dpmpp_2m", "DPMSolverMultistepScheduler")
    ),
    Sampler("DPM++ 2S", "DPMSolverSinglestepScheduler", ("DPMSolverSinglestepScheduler",)),
    Sampler("UniPC", "UniPCMultistepScheduler", ("unipc", "UniPCMultistepScheduler")),
    Sampler("DEIS", "DEISMultistepScheduler", ("deis", "DEISMultistepScheduler")),
)
STANDS_IN = "painted with Euler, which takes the same path without fresh noise on the way"

SCHEDULE: dict[str, Any] = {
    "name": "automatic",
    "label": AUTOMATIC,
    "aliases": ["", "none", "use same scheduler"],
    "default_rho": -1.0,
    "need_inner_model": False,
}
# Clients begin with one of these; each is an even division, as the models' own is.
EVEN = ("uniform", "simple", "normal", "sgm_uniform", "sgm uniform")


def sampler(name: str) -> tuple[Sampler, bool]:
    """What is meant by a name in any case, and whether it only stands in for that."""
    wanted = name.strip().lower()
    for each in SAMPLERS:
        if wanted in (other.lower() for other in (each.name, *each.aliases)):
            return each, False
        if wanted in (other.lower() for other in each.stands_for):
            return each, True
    known = ", ".join(each.name for each in SAMPLERS)
    told = f"sampler {name!r:.80} is not here; one of {known}"
    raise Fault(Kind.NOT_FOUND, told, "sampler_name")


def schedule(name: str) -> bool:
    """Whether a schedule is one that only stands for the model's own."""
    wanted = name.strip().lower()
    if wanted in (SCHEDULE["name"], *SCHEDULE["aliases"]):
        return False
    if wanted in EVEN:
        return True
    told = f"schedule {name!r:.80} is not here; give automatic, which is the model's own"
    raise Fault(Kind.INVALID, told, "schedule")


class Wrong(Fault):
    """A body with everything that is wrong with it, in FastAPI's form."""

    def __init__(self, details: list[dict[str, Any]]) -> None:
        super().__init__(Kind.INVALID, "; ".join(str(each["msg"]) for each in details))
        self.details = details


def detail(name: str | None, message: str, type: str) -> dict[str, Any]:
    own = NAMES.get(name or "", name)
    loc = ["body"] if own in (None, "body") else ["body", own]
    return {"type": type, "loc": loc, "msg": message}


def error_body(fault: Fault) -> dict[str, Any]:
    """As FastAPI tells of wrong input, and as A1111 tells of all else."""
    if isinstance(fault, Wrong):
        return {"detail": fault.details}
    if STATUSES[fault.kind] == 422:
        return {"detail": [detail(fault.field, fault.message, f"{fault.kind}_error")]}
    own = {Kind.NOT_FOUND: NOT_FOUND.get(fault.field or ""), Kind.DENIED: UNKNOWN}.get(fault.kind)
    told = own or fault.message
    return {"error": "HTTPException", "detail": told, "body": "", "errors": fault.message}
