"""The peer: the same weights behind FastAPI as it is commonly done, one picture at a time."""

import argparse
import threading
from collections.abc import Sequence
from io import BytesIO

import torch
import uvicorn
from diffusers import StableDiffusion3Pipeline
from fastapi import FastAPI, Response
from PIL.Image import Image
from pydantic import BaseModel

from imagemill.pico import folder, parts

__all__ = ["parts"]  # the pipeline's own classes

PATH = "/models/imagemill/pico"


class Parameters(BaseModel):
    width: int
    height: int
    num_inference_steps: int
    guidance_scale: float
    seed: int


class PaintRequest(BaseModel):
    inputs: str
    parameters: Parameters


class Pipeline:
    """The stock pipeline."""

    def __init__(self, dtype: torch.dtype) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.pipe = StableDiffusion3Pipeline.from_pretrained(folder(), dtype=dtype).to(device)
        self.pipe.set_progress_bar_config(disable=True)

    def paint(self, requests: Sequence[PaintRequest]) -> list[Image]:
        """Requests that differ in prompt and seed alone."""
        parameters = requests[0].parameters.model_dump(exclude={"seed"})
        seeds = [torch.Generator("cpu").manual_seed(each.parameters.seed) for each in requests]
        images: list[Image] = self.pipe(
            [each.inputs for each in requests], generator=seeds, **parameters
        ).images
        return images


def encoded(image: Image) -> Response:
    buffer = BytesIO()
    image.save(buffer, "jpeg")
    return Response(buffer.getvalue(), media_type="image/jpeg")


def serve(dtype: torch.dtype, port: int) -> None:
    pipeline, lock, app = Pipeline(dtype), threading.Lock(), FastAPI()

    @app.post(PATH)
    def text_to_image(request: PaintRequest) -> Response:
        with lock:
            (image,) = pipeline.paint([request])
        return encoded(image)

    uvicorn.run(app, port=port, log_level="warning")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    arguments = parser.parse_args()
    serve(getattr(torch, arguments.dtype), arguments.port)
