"""Trains pico's autoencoder; resumable, on a CPU or a GPU.

    python -m training.autoencoder --minutes 25 --out runs/autoencoder

Measured on two shared cores in LOG.md.
"""

import argparse
import math
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from imagemill.pico.autoencoder import PatchAutoencoder
from training import icons, scenes, styles
from training.grounds import CELL, COLOURS, LATTICE

CROP = 128
BATCH = 64


def batch(rng: random.Random) -> torch.Tensor:  # (BATCH, 3, CROP, CROP), -1..1
    crops: list[scenes.Picture] = []
    while len(crops) < BATCH:
        if rng.random() < 0.5:
            picture = loose(rng)
        else:
            shape = rng.choices(list(scenes.SHAPES), list(scenes.SHAPES.values()))[0]
            picture = scenes.draw(scenes.sample(rng, list(icons.atlas()), shape))
        height, width = picture.shape[:2]
        for _ in range(2):
            y = rng.randrange(0, height - CROP + 1, LATTICE)
            x = rng.randrange(0, width - CROP + 1, LATTICE)
            crops.append(picture[y : y + CROP, x : x + CROP])
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1


def loose(rng: random.Random) -> scenes.Picture:
    """Off the lattice, any colours, sizes and grounds: what the autoencoder must also bear."""
    shape = rng.choices(list(scenes.SHAPES), list(scenes.SHAPES.values()))[0]
    width, height = (n * CELL for n in shape)
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    top, bottom = (np.asarray(_colour(rng), np.float32) for _ in range(2))
    picture = np.broadcast_to(
        top + (bottom - top) * ramp * (rng.random() < 0.4), (height, width, 3)
    ).copy()
    for _ in range(rng.randint(1, 5)):
        side = rng.randint(24, 192)
        mask = styles.mask(rng.choice(list(icons.atlas())), side)
        mask = mask[:, ::-1] if rng.random() < 0.5 else mask
        x, y = rng.randint(0, max(0, width - side)), rng.randint(0, max(0, height - side))
        scenes.paste(picture, mask, _colour(rng), x, y)
    return picture.round().astype(np.uint8)


def _colour(rng: random.Random) -> tuple[int, int, int]:
    if rng.random() < 0.5:
        return rng.choice(list(COLOURS.values()))
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)


def edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def loss_of(model: PatchAutoencoder, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean = model.encoder(x)
    y = model.decoder(mean + model.config.latent_std * torch.randn_like(mean)).float()
    sharp = sum(F.l1_loss(a, b) for a, b in zip(edges(y), edges(x), strict=True))
    loss = F.l1_loss(y, x) + 0.5 * sharp + 5e-4 * mean.float().square().mean()
    return loss, F.mse_loss(y.detach(), x)


def train(out: Path, minutes: float, rate: float, device: str, compiled: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    model = PatchAutoencoder().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.01)
    state, step, spent = out / "state.pt", 0, 0.0
    if state.exists():
        saved = torch.load(state, map_location=device)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step, spent = saved["step"], saved["spent"]
    run = torch.compile(loss_of, dynamic=False) if compiled else loss_of
    rng = random.Random(step)
    began, squared = time.monotonic() - spent, 0.0
    with ThreadPoolExecutor(1) as drawer:
        following = drawer.submit(batch, rng)
        while (done := (time.monotonic() - began) / (60 * minutes)) < 1:
            x, following = following.result().to(device), drawer.submit(batch, rng)
            now = (
                rate
                * min(1, (step + 1) / 100)
                * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
            )
            for group in optimizer.param_groups:
                group["lr"] = now
            with torch.autocast(device, torch.bfloat16):
                loss, error = run(model, x.contiguous(memory_format=torch.channels_last))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            squared += 0.02 * (error.item() - squared)
            if step % 50 == 0:
                told = f"loss {loss.item():.4f} mse {squared:.4f}"
                print(f"{time.monotonic() - began:.0f} s step {step} {told}", flush=True)
            if step % 400 == 0:
                save(out, model, optimizer, step, time.monotonic() - began)
        following.cancel()
    save(out, model, optimizer, step, time.monotonic() - began)


def save(
    out: Path, model: PatchAutoencoder, optimizer: torch.optim.Optimizer, step: int, spent: float
) -> None:
    torch.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
            "spent": spent,
        },
        out / "state.pt",
    )
    standardise(model).save_pretrained(out)


@torch.no_grad()
def standardise(model: PatchAutoencoder) -> PatchAutoencoder:
    """Measures the latents' mean and deviation, which the pipelines read from the config."""
    model.eval()
    mean = torch.cat(
        [model.encoder(batch(random.Random(i)).to(model.device)).float() for i in range(4)]
    )
    model.register_to_config(scaling_factor=1 / mean.std().item(), shift_factor=mean.mean().item())
    model.train()
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/autoencoder"))
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(2)
    train(args.out, args.minutes, args.rate, args.device, args.compile)
