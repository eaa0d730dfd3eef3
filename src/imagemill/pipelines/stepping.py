"""What is done around every step of a trajectory's own scheduler."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from diffusers import SchedulerMixin

from imagemill.errors import Fault, Kind

Stepped = Callable[[torch.Tensor, torch.Tensor], None]  # latents before and after


def follow(scheduler: SchedulerMixin, generator: torch.Generator, stepped: Stepped) -> None:
    """Tells `stepped` of each step, and lets the scheduler draw from `generator` where the pipeline
    passes none: many do not, and the process's own would give other pictures in other company.
    """
    stock = scheduler.step
    draws = "generator" in inspect.signature(stock).parameters

    @wraps(stock)
    def step(model_output: Any, timestep: Any, sample: Any, *args: Any, **kwargs: Any) -> Any:
        # What a pipeline leaves open it passes as None to some, who do not expect that.
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        if draws and not args:
            kwargs.setdefault("generator", generator)
        result = stock(model_output, timestep, sample, *args, **kwargs)
        after = result[0] if isinstance(result, tuple) else result.prev_sample
        stepped(sample, after)
        return result

    scheduler.step = step


class Steps:
    """Counts steps by calls of the scheduler.

    Some schedulers ask the model twice in each step but the last, others once too often in the
    beginning; diffusers' own progress bar counts so.
    """

    def __init__(self, needed: int, order: int) -> None:
        self.needed, self.order = needed, order
        self.calls = self.done = 0

    def ends(self, calls: int) -> bool:
        """Whether this call ends a step, of so many calls in all."""
        self.calls += 1
        late = self.calls > calls - self.needed * self.order
        ended = self.calls == calls or (late and self.calls % self.order == 0)
        self.done += ended and self.done < self.needed
        return ended


def check_finite(tensor: torch.Tensor) -> None:
    """Raises a Fault where a picture would be black, or worse."""
    if not bool(tensor.isfinite().all()):
        message = (
            "the model's numbers are not finite, so there is no picture; ask for another seed, or "
            "have the model loaded in bfloat16 or float32"
        )
        raise Fault(Kind.FAILED, message)
