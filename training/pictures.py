"""Endless batches of encoded pictures with captions, for the denoiser."""

import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from imagemill.pico.autoencoder import PatchAutoencoder
from imagemill.pico.text import MAX_LENGTH
from imagemill.pico.vocabulary import vocabulary
from training import captions, scenes
from training.model import LARGEST

DROP = 0.1  # captions left empty, for guidance
# Pictures at twice and four times the native size teach refining: low noise only, on as many tokens
# a batch.
SCALES = {1: 0.94, 2: 0.045, 4: 0.015}
HIGHEST_SIGMA = {1: 1.0, 2: 0.6, 4: 0.5}
Kind = tuple[tuple[int, int], int]  # shape in cells, scale


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
    weights = [torch.from_numpy(scenes.weights(scene, scale)) for scene in chosen]
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
        said = [
            "" if self.rng.random() < DROP else captions.caption(pool.shown[i], self.rng)
            for i in chosen
        ]
        ids = self.words(
            said,
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
