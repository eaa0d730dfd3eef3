"""Scheduler names: what leads from noise to an image, as diffusers and this server call it."""

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

# Ways to space the noise over the steps that may be wished for.
SPACINGS: tuple[str, ...] = ("karras", "exponential", "sgm_uniform")
UNHEEDED = "schedule {}: the model's own"  # told as ignored, of a spacing that means nothing
