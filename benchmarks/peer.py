"""The peer: the same weights behind FastAPI as it is commonly done, one picture at a time."""

import argparse
import threading
from io import BytesIO

import torch
import uvicorn
from diffusers import StableDiffusion3Pipeline
from fastapi import FastAPI, Response
from pydantic import BaseModel

from imagemill.pico import autoencoder, folder, text  # the pipeline's own classes

__all__ = ["autoencoder", "text"]


class Parameters(BaseModel):
    width: int
    height: int
    num_inference_steps: int
    guidance_scale: float
    seed: int


class Asked(BaseModel):
    inputs: str
    parameters: Parameters


def make_app(dtype: torch.dtype) -> FastAPI:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipe = StableDiffusion3Pipeline.from_pretrained(folder(), dtype=dtype).to(device)
    pipe.set_progress_bar_config(disable=True)
    lock, app = threading.Lock(), FastAPI()

    @app.post("/models/{owner}/{name}")
    def text_to_image(owner: str, name: str, asked: Asked) -> Response:
        given = asked.parameters.model_dump()
        generator = torch.Generator("cpu").manual_seed(given.pop("seed"))
        with lock:
            image = pipe(asked.inputs, generator=generator, **given).images[0]
        buffer = BytesIO()
        image.save(buffer, "jpeg")
        return Response(buffer.getvalue(), media_type="image/jpeg")

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    arguments = parser.parse_args()
    uvicorn.run(make_app(getattr(torch, arguments.dtype)), port=arguments.port, log_level="warning")
