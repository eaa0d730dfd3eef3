"""Guidance in a part of the steps alone, without the pipelines' knowledge."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch.utils._pytree import tree_flatten, tree_map

from imagemill.pipelines.families import DENOISERS, Guidance


class Guiding:
    """Stands before the denoiser of `own`, a pipeline of one call's own, and before its ControlNet.

    Outside the guided steps it computes the prediction for the prompt alone and answers it for both
    sides. The pipeline's own sum, `against + scale * (for - against)`, then gives the former. So no
    pipeline is asked to change its mind in the middle of a call.
    """

    def __init__(
        self, own: DiffusionPipeline, guidance: Guidance, guided: Callable[[], bool]
    ) -> None:
        name = next(each for each in DENOISERS if getattr(own, each, None) is not None)
        self.module, self.guided = getattr(own, name), guided
        self.first: Any = None  # what was predicted for the prompt in this step
        if guidance == "joined":
            for each in (name, "controlnet"):
                if (module := getattr(own, each, None)) is not None:
                    _put(own, each, module, partial(self._joined, module))
        else:
            _put(own, name, self.module, self._apart)

    def stepped(self) -> None:
        self.first = None

    def _joined(self, module: Any, *args: Any, **kwargs: Any) -> Any:
        if self.guided():
            return module(*args, **kwargs)
        leaves = tree_flatten((args, kwargs))[0]
        rows = next(x.shape[0] for x in leaves if torch.is_tensor(x) and x.dim() > 1)
        if rows % 2:  # never guided at all
            return module(*args, **kwargs)
        args, kwargs = tree_map(lambda x: _second_half(x, rows), (args, kwargs))
        return tree_map(lambda x: torch.cat([x, x]), module(*args, **kwargs))

    def _apart(self, *args: Any, **kwargs: Any) -> Any:
        """The call for the prompt comes first in each step."""
        if self.guided():
            return self.module(*args, **kwargs)
        if self.first is None:
            self.first = self.module(*args, **kwargs)
        return self.first


def _put(own: DiffusionPipeline, name: str, module: Any, forward: Callable[..., Any]) -> None:
    sparing = copy.copy(module)  # shares its weights
    object.__setattr__(sparing, "forward", forward)
    object.__setattr__(own, name, sparing)


def _second_half(x: Any, rows: int) -> Any:
    rowed = torch.is_tensor(x) and x.dim() > 0 and x.shape[0] == rows
    return x[rows // 2 :] if rowed else x
