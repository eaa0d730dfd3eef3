"""Schedulers, one for each trajectory, and what can be told from them."""

import inspect
from functools import partial, wraps
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline, SchedulerMixin

from imagemill.errors import invalid
from imagemill.pipelines.families import FLOW_TWINS, NOISY_FLOW, Family


def scheduler_for(pipe: DiffusionPipeline, name: str | None, family: Family) -> SchedulerMixin:
    """A scheduler of one trajectory's own; flow models drive others with the sigmas they were
    trained on. Raises a Fault for one that cannot lead this model to a picture.
    """
    own = pipe.scheduler
    if family.flow and name is not None:
        name = FLOW_TWINS.get(name, name)
    kind = type(own) if name is None else getattr(diffusers, name)
    native = kind.__name__.startswith("FlowMatch")
    _check(kind, native, family)
    if native or not family.flow:
        return kind.from_config(own.config)
    made = kind.from_config(
        own.config,
        use_flow_sigmas=True,
        prediction_type="flow_prediction",
        flow_shift=own.config.shift,
    )
    # What pipelines of flow models ask for where they paint over a picture.
    made.scale_noise = partial(_scale_noise, made)
    if not own.config.get("use_dynamic_shifting"):
        made.set_timesteps = _unshifted(made)
    return made


def _check(kind: type[SchedulerMixin], native: bool, family: Family) -> None:
    if native and not family.flow:
        raise invalid("scheduler", f"{kind.__name__} is for flow-matching models; this one is not")
    if family.flow and kind.__name__ in NOISY_FLOW:
        why = "leaves noise in the pictures of flow-matching models, as this is one"
        raise invalid("scheduler", f"{kind.__name__} {why}; try DPMSolverMultistepScheduler")
    accepted = inspect.signature(kind.set_timesteps).parameters
    if native and family.own_sigmas and "sigmas" not in accepted:
        why = "takes no sigmas, and this model brings its own"
        raise invalid("scheduler", f"{kind.__name__} {why}; try FlowMatchEulerDiscreteScheduler")


def _unshifted(scheduler: SchedulerMixin) -> Any:
    """Its `set_timesteps` without `mu`: FLUX's pipelines tell it also where nothing is shifted by
    size, and some schedulers fail then (findings/diffusers-flux-asserts-a-shift-it-has-not.sh).
    """
    stock = scheduler.set_timesteps

    @wraps(stock)
    def set_timesteps(*args: Any, mu: float | None = None, **kwargs: Any) -> None:
        stock(*args, **kwargs)

    return set_timesteps


def clean(
    scheduler: SchedulerMixin, flow: bool, before: torch.Tensor, after: torch.Tensor
) -> torch.Tensor:
    """The latents towards which the last step went, `after` itself where that cannot be told.

    Euler's step goes along a straight line that ends there, where no noise is left; the steps of
    other schedulers for flow models nearly do.
    """
    straight = flow or type(scheduler).__name__ == "EulerDiscreteScheduler"
    index = scheduler.step_index
    if not straight or not index:
        return after
    sigma: float = scheduler.sigmas[index - 1].item()
    following: float = scheduler.sigmas[index].item()
    if sigma == following:  # half of one of Heun's steps
        return after
    return after - following * (after - before) / (following - sigma)


def _scale_noise(
    scheduler: SchedulerMixin, sample: torch.Tensor, _timestep: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """`sample` with as much noise as there is at the present step."""
    index = scheduler.step_index if scheduler.step_index is not None else scheduler.begin_index or 0
    sigma: torch.Tensor = scheduler.sigmas[index].to(sample.device, sample.dtype)
    return sigma * noise + (1 - sigma) * sample
