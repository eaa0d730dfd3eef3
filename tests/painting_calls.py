"""One small call for an image at each API, for what is asked of all of them alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SIZE = {"width": 64, "height": 64}
SMALL: dict[str, Any] = {"prompt": "a red cat", **SIZE}
PICTURE = {"num_inference_steps": 1, "seed": 1}


@dataclass(frozen=True)
class PaintingCall:
    """path: where it goes. body: as JSON. credential: what its clients send for the key KEY.
    steps: the field that holds an integer, by its place in the body.
    """

    path: str
    body: dict[str, Any]
    credential: str = "Bearer KEY"
    steps: tuple[str, ...] = ("num_inference_steps",)

    def with_steps(self, value: Any) -> dict[str, Any]:
        """The body with another value in the field that holds an integer."""

        def changed(body: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
            name, *rest = place
            return {**body, name: changed(body[name], tuple(rest)) if rest else value}

        return changed(self.body, self.steps)


CALLS: Mapping[str, PaintingCall] = {
    "hf-inference": PaintingCall(
        "/hf-inference/models/a/b",
        {"inputs": "a red cat", "parameters": SIZE | PICTURE},
        steps=("parameters", "num_inference_steps"),
    ),
    "flat": PaintingCall("/flat/a/b", SMALL | {"inference_steps": 1}, steps=("inference_steps",)),
    "fal": PaintingCall(
        "/fal/run/fal-ai/flux/dev",
        {"prompt": "a red cat", "image_size": SIZE, **PICTURE},
        "Key KEY",
    ),
    "fal-router": PaintingCall(
        "/fal-ai/fal-ai/flux/dev", {"prompt": "a red cat", "image_size": SIZE, **PICTURE}
    ),
    "replicate": PaintingCall(
        "/replicate/v1/models/a/b/predictions",
        {"input": SMALL | PICTURE},
        "Token KEY",
        ("input", "num_inference_steps"),
    ),
    "openai": PaintingCall("/openai/v1/images/generations", SMALL | PICTURE | {"model": "a/b"}),
    "together": PaintingCall(
        "/together/v1/images/generations",
        SMALL | {"model": "a/b", "steps": 1},
        steps=("steps",),
    ),
    "nebius": PaintingCall("/nebius/v1/images/generations", SMALL | PICTURE | {"model": "a/b"}),
    "nebula": PaintingCall(
        "/nebula/api/v1/images/generation",
        SMALL | {"model": "a/b", "num_steps": 1},
        steps=("num_steps",),
    ),
    "sdapi": PaintingCall(
        "/sdapi/v1/txt2img", SMALL | {"steps": 1}, "Basic S0VZOktFWQ==", ("steps",)
    ),
    "shared": PaintingCall("/v1/images/generations", SMALL | PICTURE | {"model": "a/b"}),
}
