"""How pico's parts are trained: AdamW, a rate that falls to the end, averaged weights."""

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)
WARMING = 300  # steps
FOLLOWING = 0.998  # of the averaged weights is kept at a step, once there were many
STATE = "state.pt"  # what a run goes on from
SAVED, TOLD = 240, 25  # seconds from one saved state to the next, steps from one line to the next


@dataclass
class Trainer(Generic[M]):
    """What of `model` requires a gradient learns.

    rate: the highest learning rate. minutes: all of the time, of earlier runs as well.
    """

    model: M
    out: Path
    rate: float
    minutes: float

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.average: M = deepcopy(self.model).requires_grad_(False).eval()
        self.learning = [each for each in self.model.parameters() if each.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.learning, lr=self.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.step, self.spent = 0, 0.0
        if (path := self.out / STATE).exists():
            self._resume(torch.load(path, map_location=self.learning[0].device))

    def _resume(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.spent = saved["step"], saved["spent"]

    def train(self, loss_of_next: Callable[[], torch.Tensor], keep: Callable[[M], None]) -> None:
        """keep: gets the averaged weights whenever the state is saved."""
        began, saved = time.monotonic() - self.spent, time.monotonic()
        first, mean = self.step, 0.0
        while (done := (time.monotonic() - began) / (60 * self.minutes)) < 1:
            now = self.rate * min(1, (self.step + 1) / WARMING)
            now *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))
            for group in self.optimizer.param_groups:
                group["lr"] = now
            loss = loss_of_next()
            loss.backward()
            nn.utils.clip_grad_norm_(self.learning, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.step += 1
            self._follow()
            mean += (loss.item() - mean) * max(0.02, 1 / (self.step - first))
            self.spent = time.monotonic() - began
            if self.step % TOLD == 0:
                print(f"{self.spent:.0f} s step {self.step} loss {mean:.4f}", flush=True)
            if time.monotonic() - saved > SAVED:
                self._save(keep)
                saved = time.monotonic()
        self._save(keep)

    @torch.no_grad()
    def _follow(self) -> None:
        weight = 1 - min(FOLLOWING, (1 + self.step) / (20 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), weight)

    def _save(self, keep: Callable[[M], None]) -> None:
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "spent": self.spent,
        }
        torch.save(state, self.out / "state.new")
        (self.out / "state.new").replace(self.out / STATE)
        keep(self.average)
