"""Schedulers, one for each trajectory, and what can be told from them."""

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline, SchedulerMixin

from imagemill.errors import invalid
from imagemill.pipelines.deriving import parameters
from imagemill.pipelines.families import Family
from imagemill.scheduler_names import SCHEDULERS

# A scheduler that knows no flow sigmas, and the one that takes the same steps along them.
FLOW_TWINS: dict[str, str] = {
    "EulerDiscreteScheduler": "FlowMatchEulerDiscreteScheduler",
    "HeunDiscreteScheduler": "FlowMatchHeunDiscreteScheduler",
    "LCMScheduler": "FlowMatchLCMScheduler",
}
# The same steps by the scales of "Elucidating the design space" (EDM), which Playground is of.
EDM_TWINS: dict[str, str] = {
    "EulerDiscreteScheduler": "EDMEulerScheduler",
    "DPMSolverMultistepScheduler": "EDMDPMSolverMultistepScheduler",
}
# Ends its flow sigmas on the last one twice instead of on 0, and leaves that share of noise in the
# picture (findings/diffusers-deis-keeps-noise-of-flow.sh).
NOISY_FLOW = frozenset({"DEISMultistepScheduler"})
# What the words after a class name set.
OPTIONS: dict[str, dict[str, Any]] = {
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "sde": {"algorithm_type": "sde-dpmsolver++"},
}
SPACINGS = frozenset({"karras", "exponential"})  # options that only schedules of noise have
# What a wished spacing sets, by what the scheduler must have for it.
WISHES: dict[str, tuple[str, dict[str, Any]]] = {
    "karras": ("use_karras_sigmas", {"use_karras_sigmas": True}),
    "exponential": ("use_exponential_sigmas", {"use_exponential_sigmas": True}),
    "sgm_uniform": ("timestep_spacing", {"timestep_spacing": "trailing"}),
}
SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")  # one at most is set
KNOWN_PREDICTIONS = frozenset({"epsilon", "v_prediction", "sample", "flow_prediction"})


@dataclass(frozen=True)
class SchedulerChoice:
    """A scheduler that a caller has named, made for a family."""

    kind: type[SchedulerMixin]
    options: tuple[str, ...] = ()

    @property
    def native(self) -> bool:
        """Whether it is made for flow matching."""
        return self.kind.__name__.startswith("FlowMatch")

    @property
    def accepted(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.kind.__init__).parameters)

    @property
    def by_sigmas(self) -> bool:
        """Whether pipelines of flow models can say which sigmas they want."""
        return "sigmas" in inspect.signature(self.kind.set_timesteps).parameters


def scheduler_for(
    pipe: DiffusionPipeline, name: str | None, family: Family, spacing: str | None = None
) -> SchedulerMixin:
    """A scheduler of one trajectory's own; flow models drive others with the sigmas they were
    trained on. Raises a Fault for one that cannot lead this model to a picture. spacing: a wish, as
    in Generation.
    """
    own = pipe.scheduler
    wished = spacing if spacing is not None and heeds(pipe, name, family, spacing) else None
    if name is None:
        return _spaced(type(own).from_config(own.config), wished)
    choice = _choice(name, own, family)
    reason = _refusal(choice, pipe, family)
    if reason:
        raise invalid("scheduler", f"{name} {reason}; {_instead(pipe, family)}")
    made = _spaced(_flow(choice, own) if family.flow else _noise(choice, own), wished)
    made.set_timesteps = _telling(name, made.set_timesteps)
    return made


def heeds(pipe: DiffusionPipeline, name: str | None, family: Family, spacing: str) -> bool:
    """Whether a spacing that is wished for means anything to the scheduler and to the model."""
    own = pipe.scheduler
    if family.flow or _edm(own):
        return False
    kind = type(own) if name is None else _choice(name, own, family).kind
    return WISHES[spacing][0] in inspect.signature(kind.__init__).parameters


def _spaced(made: SchedulerMixin, spacing: str | None) -> SchedulerMixin:
    if spacing is None:
        return made
    known = inspect.signature(type(made).__init__).parameters
    others = {name: False for name in SIGMAS if name in known}
    return type(made).from_config(made.config, **others | WISHES[spacing][1])


def name_of(scheduler: SchedulerMixin) -> str:
    """As callers would name it: its class, with the words for how it is set."""
    config = scheduler.config
    words = [
        word
        for word, settings in reversed(OPTIONS.items())
        if all(config.get(name) == value for name, value in settings.items())
    ]
    return "+".join([type(scheduler).__name__, *words])


def working(pipe: DiffusionPipeline, family: Family) -> tuple[str, ...]:
    """Those of the schedulers on offer that can lead the model."""
    choices = {name: _choice(name, pipe.scheduler, family) for name in SCHEDULERS}
    return tuple(name for name, each in choices.items() if not _refusal(each, pipe, family))


def _choice(name: str, own: SchedulerMixin, family: Family) -> SchedulerChoice:
    base, *options = name.split("+")
    twins = FLOW_TWINS if family.flow else EDM_TWINS if _edm(own) else {}
    return SchedulerChoice(getattr(diffusers, twins.get(base, base)), tuple(options))


def _edm(scheduler: SchedulerMixin) -> bool:
    return type(scheduler).__name__.startswith("EDM")


def _instead(pipe: DiffusionPipeline, family: Family) -> str:
    names = [name for name in working(pipe, family) if "+" not in name]
    return f"try {', '.join(names)}" if names else "leave scheduler out"


def _refusal(choice: SchedulerChoice, pipe: DiffusionPipeline, family: Family) -> str | None:
    return next(_refusals(choice, pipe, family), None)


def _refusals(choice: SchedulerChoice, pipe: DiffusionPipeline, family: Family) -> Iterator[str]:
    """Why the model cannot be led by it."""
    own, name, accepted = pipe.scheduler, choice.kind.__name__, choice.accepted
    spaced = SPACINGS & set(choice.options)
    if own.config.get("prediction_type", "epsilon") not in KNOWN_PREDICTIONS:
        yield "leads no model that predicts as this one does"
    if choice.native and not family.flow:
        yield "is for flow-matching models; this one is not"
    if family.flow and not choice.native and "use_flow_sigmas" not in accepted:
        yield "is for models that take noise away; this one is a flow-matching model"
    if family.flow and name in NOISY_FLOW:
        yield "leaves noise in the pictures of flow-matching models, as this is one"
    if family.flow and spaced:
        yield "spaces the steps of models that take noise away; this one is a flow-matching model"
    if _edm(own) and (not name.startswith("EDM") or spaced):
        yield "does not know the scales that this model was trained with"
    if own.config.get("invert_sigmas") and "invert_sigmas" not in accepted:
        yield "goes from noise to picture, and this model counts the other way"
    few = "original_inference_steps"
    if (
        few in parameters(type(pipe))
        and few not in inspect.signature(choice.kind.set_timesteps).parameters
    ):
        yield "knows no latent consistency, which this model is made for"


def _noise(choice: SchedulerChoice, own: SchedulerMixin) -> SchedulerMixin:
    options: dict[str, Any] = {}
    if SPACINGS & set(choice.options):
        options = {f"use_{spacing}_sigmas": False for spacing in (*SPACINGS, "beta")}
    for option in choice.options:
        options |= OPTIONS[option]
    if "skip_prk_steps" in choice.accepted:  # four calls of the model for each of the first steps
        options["skip_prk_steps"] = True
    return choice.kind.from_config(own.config, **options)


def _flow(choice: SchedulerChoice, own: SchedulerMixin) -> SchedulerMixin:
    shift = own.config.get("shift") or own.config.get("flow_shift") or 1.0
    if choice.native:
        made = choice.kind.from_config(own.config, shift=shift)
    else:
        options = [OPTIONS[option] for option in choice.options]
        made = choice.kind.from_config(
            own.config,
            use_flow_sigmas=True,
            prediction_type="flow_prediction",
            flow_shift=shift,
            use_dynamic_shifting=False,
            **{name: value for each in options for name, value in each.items()},
        )
        # What pipelines of flow models ask for where they paint over a picture.
        made.scale_noise = partial(_scale_noise, made)
    if not (choice.native and choice.by_sigmas):
        made.set_timesteps = _by_number(made, "shift" if choice.native else "flow_shift", own)
    return made


def _by_number(scheduler: SchedulerMixin, shift: str, own: SchedulerMixin) -> Callable[..., None]:
    """Its `set_timesteps` for pipelines that say which sigmas they want, and by how much they are
    shifted: the schedule is its own, of as many steps, and shifted as much. shift: what it is
    called in the scheduler's configuration.
    """
    stock = scheduler.set_timesteps
    exponential = own.config.get("time_shift_type", "exponential") == "exponential"

    def set_timesteps(
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Any = None,
        mu: float | None = None,
        timesteps: Any = None,
    ) -> None:
        wanted = sigmas if sigmas is not None else timesteps
        if mu is not None and own.config.get("use_dynamic_shifting"):
            scheduler.register_to_config(**{shift: math.exp(mu) if exponential else mu})
        stock(len(wanted) if num_inference_steps is None else num_inference_steps, device=device)

    return set_timesteps


def _telling(name: str, stock: Callable[..., None]) -> Callable[..., None]:
    """Says what a scheduler has against a number of steps, instead of failing."""

    @wraps(stock)
    def set_timesteps(*args: Any, **kwargs: Any) -> None:
        try:
            stock(*args, **kwargs)
        except (ValueError, IndexError, AssertionError, NotImplementedError) as error:
            message = f"{name} has no schedule of so many steps for this model; ask for others, or "
            raise invalid("scheduler", f"{message}leave scheduler out") from error

    return set_timesteps


def clean(
    scheduler: SchedulerMixin, flow: bool, before: torch.Tensor, after: torch.Tensor
) -> torch.Tensor:
    """The latents towards which the last step went, `after` itself where that cannot be told.

    Euler's step goes along a straight line that ends there, where no noise is left; the steps of
    other schedulers for flow models nearly do.
    """
    straight = flow or type(scheduler).__name__ == "EulerDiscreteScheduler"
    index = getattr(scheduler, "step_index", None)
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
