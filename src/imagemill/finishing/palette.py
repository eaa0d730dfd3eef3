"""Brings a picture close to the colours of a palette, and keeps its shapes.

The picture's own few colours are found, each is given one of the palette, and the whole picture is
recoloured. Which one is given weighs three wishes: colours move little, areas follow the palette's
weights, and what was lighter than another stays so, by about as much. Where several colours share
one of the palette, they become its tints, so that nothing vanishes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imagemill.conditions import Swatch
from imagemill.finishing.clusters import Clusters, clusters, recolour
from imagemill.finishing.colour import Lab, to_oklab

_CLUSTERS = 12
_MOVE, _AREA = 0.5, 2.0  # how much the wishes count, against that of keeping relations
_UPSIDE_DOWN = 0.25  # in lightness: however far light and dark are swapped, no more is counted
_NEIGHBOURS = 0.12  # in Oklab: what lies nearer belongs together
_BEAM = 48  # assignments that are followed at a time
_SPREAD = 0.28  # in lightness, between the darkest and the lightest tint of a colour
_FEW = 0.15  # of the area that shares a colour: less may be darker instead of lighter
_KEPT = 0.35  # of the distance to the palette colour, at most, on average, that tints may keep

Numbers = NDArray[np.floating]


@dataclass(frozen=True)
class _Palette:
    colours: Lab  # (n, 3)
    weights: Numbers  # (n,), together 1


def bring_closer(pixels: NDArray[np.uint8], swatches: tuple[Swatch, ...]) -> NDArray[np.uint8]:
    """The same shapes in the colours of `swatches`; their weights are shares of the area."""
    palette = _read(swatches)
    own = clusters(pixels, _CLUSTERS)
    picks = _assign(own, palette)
    return recolour(pixels, own.colours, _tints(own, palette.colours, picks))


def _read(swatches: tuple[Swatch, ...]) -> _Palette:
    weights = np.array([each.weight for each in swatches], np.float32)
    if weights.sum() <= 0:  # none is wanted more than another
        weights = np.ones_like(weights)
    colours = np.array([(each.red, each.green, each.blue) for each in swatches], np.float32)
    return _Palette(to_oklab(colours / 255), weights / weights.sum())


def _assign(own: Clusters, palette: _Palette) -> NDArray[np.intp]:
    """Which palette colour each cluster gets: a beam search, the largest clusters first."""
    move, between = _costs(own.colours, palette.colours)
    number = len(palette.colours)
    chosen = np.zeros((1, 0), np.intp)  # (beam, clusters so far)
    areas, costs = np.zeros((1, number), np.float32), np.zeros(1, np.float32)
    for place, share in enumerate(own.shares):
        step = np.repeat(_MOVE * share * move[place][None], len(chosen), 0)  # (beam, number)
        for earlier in range(place):
            pair = np.sqrt(share * own.shares[earlier])
            step += pair * between[place, earlier][:, chosen[:, earlier]].T
        grown = areas[:, None] + share * np.eye(number, dtype=np.float32)  # (beam, number, number)
        over = (np.clip(grown - palette.weights, 0, None) ** 2).sum(2)
        total = costs[:, None] + step + _AREA * over
        best = np.argsort(total, axis=None, kind="stable")[:_BEAM]
        rows, picks = np.unravel_index(best, total.shape)
        chosen = np.concatenate([chosen[rows], picks[:, None]], 1)
        areas, costs = grown[rows, picks], (costs[:, None] + step)[rows, picks]
    cheapest: NDArray[np.intp] = chosen[0]
    return cheapest


def _costs(own: Lab, wanted: Lab) -> tuple[Numbers, Numbers]:
    """move: (k, n), of each cluster to each colour. between: (k, k, n, n), how far what lies
    between two clusters differs from what lies between the colours they would get."""

    def gaps(colours: Lab) -> tuple[Numbers, Numbers]:
        apart = colours[:, None] - colours[None]
        return apart[..., 0], np.sqrt((apart**2).sum(2))

    (lighter, far), (lighter_wanted, far_wanted) = gaps(own), gaps(wanted)
    direction = np.sign(lighter)[:, :, None, None] * lighter_wanted
    lost_order = np.abs(lighter)[:, :, None, None] - np.clip(direction, -_UPSIDE_DOWN, None)
    change = far_wanted - far[:, :, None, None]
    torn = np.exp(-((far / _NEIGHBOURS) ** 2))[:, :, None, None] * np.clip(change, 0, None)
    lost = np.clip(lost_order, 0, None) ** 2 + 2 * np.clip(-change, 0, None) ** 2
    move = ((own[:, None] - wanted[None]) ** 2).sum(2)
    return move, lost + 4 * torn**2


def _tints(own: Clusters, colours: Lab, picks: NDArray[np.intp]) -> Lab:
    """The colour that each cluster gets, lighter and darker where several get the same."""
    targets = colours[picks].copy()
    for colour in np.unique(picks):
        members = np.flatnonzero(picks == colour)
        if len(members) > 1:
            targets[members, 0] = _lightnesses(
                own.colours[members], own.shares[members], colours[colour]
            )
    return targets


def _lightnesses(own: Lab, shares: Numbers, colour: Lab) -> Numbers:
    """As the members differ from one another, in lightness first, about that of `colour`."""
    share = shares / shares.sum()
    apart = own - share @ own
    axis = np.linalg.eigh((apart * share[:, None]).T @ apart)[1][:, -1]
    along = apart @ (axis if axis[0] > 0 else -axis)
    moved = np.sqrt(((own - colour) ** 2).sum(1)) @ share
    scale = min(
        1.0,
        _SPREAD / max(float(np.ptp(along)), 1e-6),
        _KEPT * float(moved) / max(float(np.abs(along) @ share), 1e-6),
    )
    tints = colour[0] + along * scale
    # Beyond black and white there are no tints: a few turn round, for many the whole row moves.
    beyond = (tints < 0) | (tints > 1)
    if share[beyond].sum() < _FEW:
        tints[beyond] = colour[0] - along[beyond] * scale
    low, high = min(0.0, float(tints.min())), max(1.0, float(tints.max()))
    moved_in: Numbers = np.clip(tints - low - (high - 1), 0, 1).astype(np.float32)
    return moved_in
