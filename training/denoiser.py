"""Trains pico's transformer and text encoders on a trained autoencoder; resumable, CPU or GPU.

    python -m training.denoiser --autoencoder runs/autoencoder --minutes 90 --out runs/pico

On a CPU, a process a core learns faster than one process with as many threads: put
`torch.distributed.run --standalone --nproc-per-node 2 -m` between `-m` and the module.

Rectified flow: x = (1 - sigma) picture + sigma noise, the model tells noise - picture. Every few
minutes the averaged weights are written to OUT/pipeline, a folder that
`StableDiffusion3Pipeline.from_pretrained` loads.
"""

import argparse
import math
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from imagemill.pico.autoencoder import PatchAutoencoder
from imagemill.pico.text import tokenizer
from imagemill.pico.vocabulary import vocabulary
from training.model import Pico, assemble, know, listed, shipped
from training.pictures import Batch, Pictures

# Logit-normal. A caption tells the whole picture, and only where there is much noise must the model
# look the shape up in the caption instead of the picture: most of learning is spent there.
SIGMA_MEAN, SIGMA_SPREAD = 0.8, 1.2


def loss_of(model: Callable[..., torch.Tensor], batch: Batch) -> torch.Tensor:
    drawn = torch.randn(batch.latents.shape[0], device=batch.latents.device)
    sigma = torch.sigmoid(SIGMA_MEAN + SIGMA_SPREAD * drawn) * batch.highest
    noise, at = torch.randn_like(batch.latents), sigma[:, None, None, None]
    noisy = (1 - at) * batch.latents + at * noise
    velocity = model(noisy.to(torch.bfloat16), sigma, batch.ids)
    error = (velocity.float() - (noise - batch.latents)).square() * batch.weights
    loss: torch.Tensor = error.mean() / batch.weights.mean()
    return loss


def optimizers(model: Pico, rate: float) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices inside, AdamW for embeddings, biases and both ends."""
    ends = ("embed", "proj_out", "norm_out", "text_projection")
    inside: list[nn.Parameter] = []
    other: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        outer = weight.dim() != 2 or any(end in name for end in ends)
        (other if outer else inside).append(weight)
    return (
        torch.optim.Muon(
            inside, lr=rate, weight_decay=0.01, ns_steps=4, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(other, lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
    )


def processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def leads() -> bool:
    return not dist.is_initialized() or dist.get_rank() == 0


def agreed(seconds: float) -> float:
    """The first process's time, so that all stop after the same step."""
    told = torch.tensor([seconds], dtype=torch.float64)
    if dist.is_initialized():
        dist.broadcast(told, 0)
    return told.item()


def average(gradients: list[torch.Tensor]) -> None:
    """Over all processes."""
    if not dist.is_initialized():
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= processes()
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


@dataclass
class Trainer:
    out: Path
    autoencoder: PatchAutoencoder
    model: Pico
    rate: float
    minutes: float
    size: int
    compiled: bool

    def __post_init__(self) -> None:
        self.words = tokenizer(vocabulary())
        self.optimizers = optimizers(self.model, self.rate)
        self.average = deepcopy(self.model).requires_grad_(False)
        self.step, self.spent = 0, 0.0
        # On a CPU, flash attention's backward takes twice the time of plain matrix products.
        self.plain_attention = self.autoencoder.device.type == "cpu"
        if (self.out / "state.pt").exists():
            self._resume(torch.load(self.out / "state.pt", map_location=self.autoencoder.device))

    def _resume(self, saved: dict[str, Any]) -> None:
        """Goes on where a run stopped, also with more words."""
        for model, key in ((self.model, "model"), (self.average, "average")):
            model.load_state_dict(saved[key])
            know(model, saved["words"], self.words)
        if saved["words"] == listed(self.words):
            for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(state)
        self.step, self.spent = saved["step"], saved["spent"]

    def train(self) -> None:
        # All arithmetic in bfloat16, the weights kept in float32: autocast's conversions cost a CPU
        # three quarters of a step.
        working = deepcopy(self.model).to(torch.bfloat16)
        run = torch.compile(working, dynamic=False) if self.compiled else working
        seed = self.step * processes() + (dist.get_rank() if dist.is_initialized() else 0)
        torch.manual_seed(seed)
        pictures = iter(Pictures(self.autoencoder, self.words, self.size // processes(), seed))
        began, saved = time.monotonic() - self.spent, time.monotonic()
        mean, seen = 0.0, 0
        while (done := agreed(time.monotonic() - began) / (60 * self.minutes)) < 1:
            warm = min(1, (self.step + 1) / 200)
            now = self.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
            for group in (group for each in self.optimizers for group in each.param_groups):
                group["lr"] = now
            with sdpa_kernel(SDPBackend.MATH) if self.plain_attention else nullcontext():
                loss = loss_of(run, next(pictures))
                loss.backward()
            self._learn(working)
            self.step += 1
            self._follow()
            seen += 1
            mean += (loss.item() - mean) * max(0.01, 1 / seen)
            self.spent = time.monotonic() - began
            if leads() and self.step % 100 == 0:
                print(f"{self.spent:.0f} s step {self.step} loss {mean:.4f}", flush=True)
            if time.monotonic() - saved > 300:
                self.save()
                saved = time.monotonic()
        self.save()

    @torch.no_grad()
    def _learn(self, working: Pico) -> None:
        """Takes the gradients of the working copy, steps, and gives it the new weights."""
        ours: list[torch.Tensor] = list(self.model.parameters())
        theirs: list[torch.Tensor] = list(working.parameters())
        for mine, its in zip(ours, theirs, strict=True):
            mine.grad = None if its.grad is None else its.grad.float()
        average([mine.grad for mine in ours if mine.grad is not None])
        nn.utils.clip_grad_norm_(ours, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        torch._foreach_copy_(theirs, ours)
        working.zero_grad()

    @torch.no_grad()
    def _follow(self) -> None:
        weight = 1 - min(0.9995, (1 + self.step) / (20 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), weight)

    def save(self) -> None:
        if not leads():
            return
        state: dict[str, object] = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "words": listed(self.words),
        }
        state |= {
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "spent": self.spent,
        }
        torch.save(state, self.out / "state.new")
        (self.out / "state.new").replace(self.out / "state.pt")
        assemble(self.average, self.autoencoder, self.words).save_pretrained(self.out / "pipeline")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/pico"))
    parser.add_argument("--autoencoder", type=Path, default=Path("runs/autoencoder"))
    parser.add_argument("--weights", type=Path, help="a pipeline to go on from, if OUT is new")
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--size", type=int, default=64, help="rows of a batch at the native size")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes()))
    args.out.mkdir(parents=True, exist_ok=True)
    encoder = (
        PatchAutoencoder.from_pretrained(args.autoencoder).to(args.device, torch.bfloat16).eval()
    )
    model = (shipped(args.weights) if args.weights else Pico()).to(args.device)
    Trainer(args.out, encoder, model, args.rate, args.minutes, args.size, args.compile).train()
