"""Hugging Face Inference: `inputs` and `parameters` go in, raw bytes of a picture come out.

What `inputs` is decides the task: a text is painted, a picture is painted over.
"""

from imagemill.dialects.hf_inference.accept import accepted
from imagemill.dialects.hf_inference.read import IMPATIENT, InferenceBody, Parameters, read
from imagemill.dialects.hf_inference.routes import routes
from imagemill.dialects.hf_inference.write import STATUSES, refuse, write

__all__ = [
    "IMPATIENT",
    "STATUSES",
    "InferenceBody",
    "Parameters",
    "accepted",
    "read",
    "refuse",
    "routes",
    "write",
]
