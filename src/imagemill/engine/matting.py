"""Mattes: what tells the foreground of an image from its background.

An image with transparency is its own matte. Else it is a network for photographs where the operator
has one (U²-Net in ONNX), and the embedded model's own where not.
"""

import importlib.util
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imagemill.engine.exact_batching import compute_with
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.images.encode import Pixels
from imagemill.images.masks import Floats
from imagemill.pipelines.cutouts import cut_out
from imagemill.pipelines.inputs import DecodedInputs

log = logging.getLogger(__name__)

Alpha = Callable[[Pixels], Floats]  # (h, w, 3) to (h, w), 0 to 1
PACKAGE, FILE = "rembg", "u2netp.onnx"  # what brings U²-Net with its weights
SIDE = 320  # px that it sees
# Of the numbers that it was trained with: means and deviations of ImageNet.
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FAINT, SURE = 0.1, 0.9  # answers up to there are nothing, and from there on all


class Mattes:
    """Loaded when they are first wanted; used from several threads, by one at a time.

    weights: an ONNX file of U²-Net, None for one that is installed, or else the embedded model's.
    """

    def __init__(self, weights: str | None = None) -> None:
        self._weights, self._one = weights, threading.Lock()

    @cached_property
    def _alpha(self) -> Alpha:
        weights = self._weights or installed()
        return embedded() if weights is None else u2net(weights)

    def alpha(self, pixels: Pixels) -> Floats:
        """How far the foreground covers each pixel; raises a Fault where nobody can tell."""
        with self._one:
            try:
                return self._alpha(pixels)
            except Exception:
                log.exception("the foreground of an image could not be found")
                message = "the image's foreground could not be looked for; the server's log tells"
                raise Fault(Kind.FAILED, f"{message} why", "image") from None

    def applied(self, generation: Generation, decoded: DecodedInputs) -> DecodedInputs:
        """With the foreground of the image, where that is to be kept."""
        if not generation.keep_foreground or decoded.picture is None:
            return decoded
        alpha = decoded.opacity
        if alpha is None:
            compute_with(1)  # the processors belong to what is being painted
            alpha = self.alpha(decoded.picture)
        return replace(decoded, foreground=cut_out(decoded.picture, alpha))


INSTALLED = Mattes()


def installed() -> str | None:
    """The weights that an installed package brings; None where there is none. It is not imported:
    it would want other versions of what is here.
    """
    package = importlib.util.find_spec(PACKAGE)
    folders = (package.submodule_search_locations or ()) if package is not None else ()
    files = (Path(folder) / FILE for folder in folders)
    return next((str(file) for file in files if file.is_file()), None)


def embedded() -> Alpha:
    """The matte of the embedded model."""
    import torch

    from imagemill.pico.matte import foreground

    def alpha(pixels: Pixels) -> Floats:
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
        covered: Floats = foreground(image)[0].numpy()
        return covered

    return alpha


def u2net(weights: str) -> Alpha:
    """U²-Net (Qin et al., 2020), small or large: what stands out in a photograph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(
        weights, options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    mean, spread = (np.array(each, np.float32) for each in (MEAN, SPREAD))

    def alpha(pixels: Pixels) -> Floats:
        small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        values = np.asarray(small, np.float32)
        values = (values / max(1.0, float(values.max())) - mean) / spread
        answer = session.run(None, {name: values.transpose(2, 0, 1)[None]})[0][0, 0]
        sure = ((answer - FAINT) / (SURE - FAINT)).clip(0, 1).astype(np.float32)
        size = pixels.shape[1], pixels.shape[0]
        whole = Image.fromarray(sure).resize(size, Image.Resampling.BICUBIC)
        grown: Floats = np.asarray(whole).clip(0, 1)
        return grown

    return alpha
