"""Trains pico's transformer and text encoders on a trained autoencoder; resumable, CPU or GPU.

    python -m training.denoiser --autoencoder runs/autoencoder --minutes 90 --out runs/pico

Rectified flow: x = (1 - sigma) picture + sigma noise, the model tells noise - picture. Every few
minutes the averaged weights are written to OUT/pipeline, a folder that
`StableDiffusion3Pipeline.from_pretrained` loads.
"""

import argparse
import math
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, PreTrainedTokenizerFast

from imagemill.pico.autoencoder import PatchAutoencoder
from imagemill.pico.text import MAX_LENGTH, RESERVED, NoTextEncoder, tokenizer
from imagemill.pico.vocabulary import vocabulary
from training import scenes

WIDTH = 192
DROP = 0.1  # captions left empty, for guidance
OBJECT_WEIGHT = 3.0  # of the loss where an object lies
# Pictures at twice and four times the native size teach refining: low noise only, on as many tokens
# a batch.
SCALES = {1: 0.94, 2: 0.045, 4: 0.015}
HIGHEST_SIGMA = {1: 1.0, 2: 0.6, 4: 0.5}
LARGEST = 32  # cells a side: the position embedding's
Kind = tuple[tuple[int, int], int]  # shape in cells, scale


def text_encoder(width: int, layers: int) -> CLIPTextModelWithProjection:
    config = CLIPTextConfig(
        vocab_size=RESERVED, hidden_size=width, intermediate_size=4 * width,
        num_hidden_layers=layers, num_attention_heads=width // 32,
        max_position_embeddings=MAX_LENGTH, projection_dim=width,
        bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    return CLIPTextModelWithProjection(config)


def transformer(layers: int) -> SD3Transformer2DModel:
    return SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=16, out_channels=16, num_layers=layers,
        attention_head_dim=32, num_attention_heads=WIDTH // 32, joint_attention_dim=WIDTH,
        caption_projection_dim=WIDTH, pooled_projection_dim=WIDTH, pos_embed_max_size=LARGEST,
        qk_norm="rms_norm",
    )  # fmt: skip


class Pico(nn.Module):
    """What learns: the transformer and both text encoders."""

    def __init__(self, layers: int = 5) -> None:
        super().__init__()
        self.transformer = transformer(layers)
        self.text_encoder = text_encoder(128, 3)
        self.text_encoder_2 = text_encoder(64, 2)

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        said = [
            encoder(ids, output_hidden_states=True)
            for encoder in (self.text_encoder, self.text_encoder_2)
        ]
        tokens = torch.cat([out.hidden_states[-2] for out in said], dim=-1)
        velocity: torch.Tensor = self.transformer(
            hidden_states=noisy,
            timestep=sigma * 1000,
            encoder_hidden_states=F.pad(tokens, (0, 0, 0, 1)),  # the empty token of NoTextEncoder
            pooled_projections=torch.cat([out.text_embeds for out in said], dim=-1),
            return_dict=False,
        )[0]
        return velocity


@dataclass
class Pool:
    """Encoded pictures of one kind; a batch renews a part and draws the rest: encoding costs."""

    kind: Kind
    size: int
    shown: list[scenes.Scene] = field(default_factory=list)
    latents: list[torch.Tensor] = field(default_factory=list)  # (16, h, w) half
    weights: list[torch.Tensor] = field(default_factory=list)  # (h, w)
    oldest: int = 0

    def add(self, drawn: "Drawn", latents: torch.Tensor) -> None:
        for scene, latent, weight in zip(drawn.shown, latents, drawn.weights, strict=True):
            if len(self.shown) < self.size:
                self.shown.append(scene)
                self.latents.append(latent)
                self.weights.append(weight)
                continue
            self.shown[self.oldest], self.latents[self.oldest], self.weights[self.oldest] = (
                scene,
                latent,
                weight,
            )
            self.oldest = (self.oldest + 1) % self.size


@dataclass(frozen=True)
class Drawn:
    kind: Kind
    shown: list[scenes.Scene]
    pictures: torch.Tensor  # (n, 3, h, w), -1..1
    weights: list[torch.Tensor]


def draw(kind: Kind, count: int, objects: list[str], rng: random.Random) -> Drawn:
    shape, scale = kind
    chosen = [scenes.sample(rng, objects, shape) for _ in range(count)]
    pictures = torch.from_numpy(np.stack([scenes.draw(scene, scale) for scene in chosen]))
    weights = [
        1 + (OBJECT_WEIGHT - 1) * torch.from_numpy(scenes.coverage(scene, scale)).float()
        for scene in chosen
    ]
    return Drawn(kind, chosen, pictures.permute(0, 3, 1, 2).float() / 127.5 - 1, weights)


@dataclass(frozen=True)
class Batch:
    latents: torch.Tensor  # (n, 16, h, w)
    weights: torch.Tensor  # (n, 1, h, w)
    ids: torch.Tensor  # (n, MAX_LENGTH)
    highest: float


class Pictures:
    """Endless batches; drawing goes on in a thread of its own."""

    def __init__(
        self, autoencoder: PatchAutoencoder, words: PreTrainedTokenizerFast, size: int, seed: int
    ) -> None:
        self.autoencoder, self.words, self.size = autoencoder, words, size
        self.rng = random.Random(seed)
        self.objects = vocabulary().words["objects"]
        self.pools: dict[Kind, Pool] = {}

    def __iter__(self) -> Iterator[Batch]:
        with ThreadPoolExecutor(1) as drawer:
            ahead = [self._ask(drawer) for _ in range(3)]
            while True:
                ahead.append(self._ask(drawer))
                yield self._batch(ahead.pop(0).result())

    def _ask(self, drawer: ThreadPoolExecutor) -> "Future[Drawn]":
        shape = self.rng.choices(list(scenes.SHAPES), list(scenes.SHAPES.values()))[0]
        scale = self.rng.choices(list(SCALES), list(SCALES.values()))[0]
        while max(shape) * scale > LARGEST:
            scale //= 2
        kind = (shape, scale)
        fresh = max(1, self._rows(kind) // 8)
        return drawer.submit(draw, kind, fresh, self.objects, random.Random(self.rng.random()))

    def _rows(self, kind: Kind) -> int:
        return max(1, self.size // kind[1] ** 2)

    @torch.no_grad()
    def _batch(self, drawn: Drawn) -> Batch:
        rows = self._rows(drawn.kind)
        pool = self.pools.setdefault(drawn.kind, Pool(drawn.kind, size=300 * rows))
        config, device = self.autoencoder.config, self.autoencoder.device
        mean = self.autoencoder.encoder(drawn.pictures.to(device, torch.bfloat16)).float()
        pool.add(drawn, ((mean - config.shift_factor) * config.scaling_factor).half().cpu())
        chosen = [self.rng.randrange(len(pool.shown)) for _ in range(rows)]
        captions = [
            "" if self.rng.random() < DROP else scenes.caption(pool.shown[i], self.rng)
            for i in chosen
        ]
        ids = self.words(
            captions,
            padding="max_length",
            max_length=MAX_LENGTH,
            truncation=True,
            return_tensors="pt",
        )
        return Batch(
            torch.stack([pool.latents[i] for i in chosen]).float().to(device),
            torch.stack([pool.weights[i] for i in chosen])[:, None].to(device),
            ids.input_ids.to(device),
            HIGHEST_SIGMA[drawn.kind[1]],
        )


def loss_of(model: Callable[..., torch.Tensor], batch: Batch) -> torch.Tensor:
    sigma = (
        torch.sigmoid(torch.randn(batch.latents.shape[0], device=batch.latents.device))
        * batch.highest
    )
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
        if (self.out / "state.pt").exists():
            self._resume(torch.load(self.out / "state.pt", map_location=self.autoencoder.device))

    def _resume(self, saved: dict[str, object]) -> None:
        """Goes on where a run stopped; words keep their embeddings when the vocabulary grows."""
        before: list[str] = saved["words"]  # type: ignore[assignment]
        now = [self.words.convert_ids_to_tokens(i) for i in range(len(self.words))]
        rows = torch.arange(RESERVED)
        for old, word in enumerate(before):
            rows[now.index(word)] = old
        for model, key in ((self.model, "model"), (self.average, "average")):
            model.load_state_dict(saved[key])  # type: ignore[arg-type]
            for encoder in (model.text_encoder, model.text_encoder_2):
                table = encoder.get_input_embeddings().weight.data
                table[: len(now)] = table[rows[: len(now)]].clone()
        if before == now:
            for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):  # type: ignore[call-overload]
                optimizer.load_state_dict(state)
        self.step, self.spent = saved["step"], saved["spent"]  # type: ignore[assignment]

    def train(self) -> None:
        # On a CPU, flash attention's backward takes twice the time of plain matrix products.
        self.on_cpu = self.autoencoder.device.type == "cpu"
        # All arithmetic in bfloat16, the weights kept in float32: autocast's conversions cost a CPU
        # three quarters of a step.
        working = deepcopy(self.model).to(torch.bfloat16)
        run = torch.compile(working, dynamic=False) if self.compiled else working
        pictures = iter(Pictures(self.autoencoder, self.words, self.size, seed=self.step))
        began, saved = time.monotonic() - self.spent, time.monotonic()
        mean, seen = 0.0, 0
        while (done := (time.monotonic() - began) / (60 * self.minutes)) < 1:
            warm = min(1, (self.step + 1) / 200)
            now = self.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
            for group in (group for each in self.optimizers for group in each.param_groups):
                group["lr"] = now
            with sdpa_kernel(SDPBackend.MATH) if self.on_cpu else nullcontext():
                loss = loss_of(run, next(pictures))
                loss.backward()
            self._learn(working)
            self.step += 1
            self._follow()
            seen += 1
            mean += (loss.item() - mean) * max(0.01, 1 / seen)
            self.spent = time.monotonic() - began
            if self.step % 100 == 0:
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
        words = [self.words.convert_ids_to_tokens(i) for i in range(len(self.words))]
        state: dict[str, object] = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "words": words,
        }
        state |= {
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "spent": self.spent,
        }
        torch.save(state, self.out / "state.new")
        (self.out / "state.new").replace(self.out / "state.pt")
        assemble(self.average, self.autoencoder, self.words).save_pretrained(self.out / "pipeline")


def assemble(
    model: Pico, autoencoder: PatchAutoencoder, words: PreTrainedTokenizerFast
) -> StableDiffusion3Pipeline:
    """The pipeline in bfloat16, as it is shipped."""
    copy = deepcopy(model).to("cpu", torch.bfloat16)
    return StableDiffusion3Pipeline(
        transformer=copy.transformer, scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=deepcopy(autoencoder).to("cpu", torch.bfloat16),
        text_encoder=copy.text_encoder, tokenizer=words,
        text_encoder_2=copy.text_encoder_2, tokenizer_2=words,
        text_encoder_3=NoTextEncoder(WIDTH).to(torch.bfloat16), tokenizer_3=words,
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/pico"))
    parser.add_argument("--autoencoder", type=Path, default=Path("runs/autoencoder"))
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--size", type=int, default=64, help="rows of a batch at the native size")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(2)
    args.out.mkdir(parents=True, exist_ok=True)
    encoder = (
        PatchAutoencoder.from_pretrained(args.autoencoder).to(args.device, torch.bfloat16).eval()
    )
    model = Pico().to(args.device)
    Trainer(args.out, encoder, model, args.rate, args.minutes, args.size, args.compile).train()
