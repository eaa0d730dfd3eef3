"""The few colours that a picture consists of, and giving it others in their place."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from imagemill.finishing.colour import Lab, to_oklab, to_srgb

_SAMPLES = 256  # per side
_ROUNDS = 12
_FLAT = 12.0  # a step between neighbours, of 255, that counts half as much as none
_NEAR = 0.1  # in Oklab: colours nearer than this begin no cluster of their own
_RARE = 2e-5  # nor do those that, by area and squared distance, matter less
_SIDE = 33  # of the cube of colours: what Pillow looks up in 30 ms for a million pixels


@dataclass(frozen=True)
class Clusters:
    """colours: (k, 3) in Oklab, the most common first. shares: of the area, (k,), together 1."""

    colours: Lab
    shares: NDArray[np.floating]


def clusters(pixels: NDArray[np.uint8], most: int) -> Clusters:
    """At most `most` colours by k-means, begun without chance: each time at what fits worst."""
    sample, weight = _sample(pixels)
    centres = _begin(sample, weight, most)
    for _ in range(_ROUNDS):
        nearest = _distances(sample, centres).argmin(1)
        mass = np.bincount(nearest, weight, len(centres))
        parts = [np.bincount(nearest, weight * axis, len(centres)) for axis in sample.T]
        centres = np.where(
            mass[:, None] > 0, np.stack(parts, 1) / np.maximum(mass, 1e-9)[:, None], centres
        )
    order = np.argsort(-mass, kind="stable")
    return Clusters(
        centres[order].astype(np.float32), (mass[order] / mass.sum()).astype(np.float32)
    )


def _sample(pixels: NDArray[np.uint8]) -> tuple[Lab, NDArray[np.floating]]:
    """Colours and how much each counts: what lies on an edge is a mixture, and counts little."""
    height, width = pixels.shape[:2]
    rows = np.linspace(0, height - 2, min(_SAMPLES, height - 1)).astype(int)
    columns = np.linspace(0, width - 2, min(_SAMPLES, width - 1)).astype(int)
    at = pixels[rows][:, columns].astype(np.int16)
    below, beside = pixels[rows + 1][:, columns], pixels[rows][:, columns + 1]
    step = np.maximum(np.abs(at - below), np.abs(at - beside)).max(2).ravel()
    weight = 1 / (1 + (step / _FLAT) ** 2)
    coded = (at // 8 @ np.array([1024, 32, 1])).ravel()  # colours that differ by less are one
    _, inverse = np.unique(coded, return_inverse=True)
    mass: NDArray[np.float64] = np.bincount(inverse, weight)  # type: ignore[assignment]
    means = [np.bincount(inverse, weight * axis) / mass for axis in at.reshape(-1, 3).T]
    return to_oklab((np.stack(means, 1) / 255).astype(np.float32)), mass


def _begin(sample: Lab, weight: NDArray[np.floating], most: int) -> NDArray[np.floating]:
    centres = sample[[weight.argmax()]].astype(np.float64)
    while len(centres) < most:
        off = _distances(sample, centres).min(1)
        misfit = off * weight * (off > _NEAR**2)
        if misfit.max() <= _RARE * weight.sum():
            break
        centres = np.concatenate([centres, sample[[misfit.argmax()]]])
    return centres


def _distances(colours: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.floating]:
    """Squared, of each to each."""
    squares: NDArray[np.floating] = ((colours[:, None] - others[None]) ** 2).sum(2)
    return squares


def recolour(
    pixels: NDArray[np.uint8], sources: Lab, targets: Lab, sharpness: float = 1.5
) -> NDArray[np.uint8]:
    """Every colour near one of `sources` becomes its target; those between become mixtures.

    The share of each target falls with the distance to its source to the power of twice
    `sharpness`: flat regions become flat, and the smooth edge of a shape stays smooth. It depends
    on the colour alone, so it is worked out for a cube of colours and looked up.
    """
    steps = np.linspace(0, 1, _SIDE, dtype=np.float32)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")  # red runs fastest
    cube = np.stack([red, green, blue], -1).reshape(-1, 3)
    near = 1 / (_distances(to_oklab(cube), sources) + 1e-6) ** sharpness
    mixed = (near / near.sum(1, keepdims=True)) @ targets
    table = ImageFilter.Color3DLUT(_SIDE, to_srgb(mixed.astype(np.float32)).ravel())
    return np.asarray(Image.fromarray(pixels).filter(table))
