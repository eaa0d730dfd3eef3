"""Stock pipelines painting side by side, without what decides how a picture is asked for."""

import copy
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from greenlet import getcurrent, greenlet

from imagemill.engine.exact_batching import Exact
from imagemill.engine.module_call import ModuleCall

Asked = dict[str, Any]  # arguments of a pipeline's call


@dataclass
class Company:
    """exact: what is known of the modules' batches. forwards: calls that ran together, by the class
    and method of their module; at each, their number.
    """

    pipe: Any
    exact: Exact = field(default_factory=lambda: Exact(enough=1))
    forwards: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def paint(self, wishes: Sequence[Asked]) -> list[torch.Tensor]:
        """The pictures, or latents, of each call."""
        bodies = [greenlet(self._body(wish), parent=getcurrent()) for wish in wishes]
        parked = {i: body.switch() for i, body in enumerate(bodies)}
        pictures: dict[int, torch.Tensor] = {}
        while parked:
            for i in [i for i in parked if bodies[i].dead]:
                pictures[i] = parked.pop(i)
            for group in self._groups(parked):
                calls = [parked[i] for i in group]
                outputs = self.exact.run(calls)
                self._count(calls)
                for i, output in zip(group, outputs, strict=True):
                    parked[i] = bodies[i].switch(output)
        return [pictures[i] for i in range(len(wishes))]

    def _body(self, wish: Asked) -> Callable[[], Any]:
        own = copy.copy(self.pipe)
        own.set_progress_bar_config(disable=True)
        object.__setattr__(own, "scheduler", copy.deepcopy(self.pipe.scheduler))
        return lambda: own(**wish).images

    def _groups(self, parked: dict[int, ModuleCall]) -> list[list[int]]:
        groups: dict[Hashable, list[int]] = {}
        for i, call in parked.items():
            groups.setdefault(call.group if self.exact.shares(call) else i, []).append(i)
        # One at a time, the largest: who is alone may be joined by others meanwhile.
        return sorted(groups.values(), key=len)[-1:]

    def _count(self, calls: Sequence[ModuleCall]) -> None:
        kind = type(calls[0].module).__name__, calls[0].method
        self.forwards.setdefault(kind, []).append(len(calls))

    def shared(self) -> Counter[str]:
        """The most calls that shared a forward, by class of module."""
        return Counter({name: max(numbers) for (name, _), numbers in self.forwards.items()})
