"""Another peer: the same weights behind LitServe, which hands over what came together.

What is alike but for prompt and seed goes into one call of the stock pipeline; what differs in
size, steps or guidance cannot, and is painted one call after the other.
"""

import argparse
import os
from collections import defaultdict
from typing import Any

import litserve
import torch
from fastapi import Response
from PIL.Image import Image

from benchmarks.peer import PATH, PaintRequest, Pipeline, encoded

BATCH = 16  # requests that are handed over at a time
BATCH_SECONDS = 0.05  # that are waited for more of them


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        torch.set_num_threads(len(os.sched_getaffinity(0)))  # it leaves the worker with one
        self.pipeline = Pipeline(getattr(torch, os.environ["PEER_DTYPE"]))

    def decode_request(self, request: PaintRequest) -> PaintRequest:
        return request

    def batch(self, inputs: list[PaintRequest]) -> list[PaintRequest]:
        return inputs

    def predict(self, x: list[PaintRequest]) -> list[Image]:
        alike = defaultdict[Any, list[int]](list)
        for index, each in enumerate(x):
            alike[tuple(each.parameters.model_dump(exclude={"seed"}).items())].append(index)
        images = dict[int, Image]()
        for group in alike.values():
            painted = self.pipeline.paint([x[index] for index in group])
            images |= dict(zip(group, painted, strict=True))
        return [images[index] for index in range(len(x))]

    def unbatch(self, output: list[Image]) -> list[Image]:
        return output

    def encode_response(self, output: Image) -> Response:
        return encoded(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    arguments = parser.parse_args()
    os.environ["PEER_DTYPE"] = arguments.dtype
    api = Api(max_batch_size=BATCH, batch_timeout=BATCH_SECONDS, api_path=PATH)
    server = litserve.LitServer(api, timeout=False)
    server.run(
        port=arguments.port, host="127.0.0.1", generate_client_file=False, log_level="warning"
    )
