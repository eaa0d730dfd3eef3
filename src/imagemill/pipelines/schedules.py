"""Schedulers, one for each trajectory, and what can be told from them."""

from functools import partial

import diffusers
import torch
from diffusers import DiffusionPipeline, SchedulerMixin

from imagemill.errors import invalid
from imagemill.pipelines.families import FLOW_TWINS


def scheduler_for(pipe: DiffusionPipeline, name: str | None, flow: bool) -> SchedulerMixin:
    """A scheduler of one trajectory's own; `flow` models drive others with the sigmas they were
    trained on.
    """
    own = pipe.scheduler
    if flow and name is not None:
        name = FLOW_TWINS.get(name, name)
    kind = type(own) if name is None else getattr(diffusers, name)
    native = kind.__name__.startswith("FlowMatch")
    if native and not flow:
        raise invalid("scheduler", f"{kind.__name__} is for flow-matching models; this one is not")
    if native or not flow:
        return kind.from_config(own.config)
    made = kind.from_config(
        own.config,
        use_flow_sigmas=True,
        prediction_type="flow_prediction",
        flow_shift=own.config.shift,
    )
    # What pipelines of flow models ask for where they paint over a picture.
    made.scale_noise = partial(_scale_noise, made)
    return made


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
