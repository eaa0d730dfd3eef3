"""Oklab: a space in which distances look as large as they are.

Björn Ottosson, "A perceptual color space for image processing", 2020,
https://bottosson.github.io/posts/oklab/; the matrices are the revised ones of January 2021.
"""

import numpy as np
from numpy.typing import NDArray

Lab = NDArray[np.floating]  # (..., 3): lightness 0 to 1, green to red, blue to yellow

_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OPPONENTS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_FROM_CONES, _FROM_OPPONENTS = np.linalg.inv(_CONES), np.linalg.inv(_OPPONENTS)


def to_oklab(srgb: NDArray[np.floating]) -> Lab:
    """From sRGB of 0 to 1."""
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    lab: Lab = (np.cbrt(linear @ _CONES.T) @ _OPPONENTS.T).astype(np.float32)
    return lab


def to_srgb(lab: Lab) -> NDArray[np.floating]:
    """To sRGB of 0 to 1; colours that it does not have are cut."""
    linear = np.clip((lab @ _FROM_OPPONENTS.T) ** 3 @ _FROM_CONES.T, 0, 1)
    curved = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return curved.astype(np.float32)
