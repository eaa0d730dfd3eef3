"""The engine as a library: programs paint with it, and no server runs. No torch until it paints."""

from imagemill.errors import Fault as ImagemillError
from imagemill.errors import Kind as ErrorKind
from imagemill.generation import Lora
from imagemill.library.async_engine import AsyncEngine
from imagemill.library.engine import Engine
from imagemill.library.failures import (
    GenerationCancelledError,
    GenerationFailedError,
    InvalidInputError,
    ModelNotFoundError,
    UnsupportedError,
)
from imagemill.library.ip_adapter import IPAdapter
from imagemill.library.params import Params
from imagemill.library.results import GeneratedImage, GenerationProgress, GenerationResult
from imagemill.library.task import Task
from imagemill.model_spec import ModelSpec

__all__ = [
    "AsyncEngine",
    "Engine",
    "ErrorKind",
    "GeneratedImage",
    "GenerationCancelledError",
    "GenerationFailedError",
    "GenerationProgress",
    "GenerationResult",
    "IPAdapter",
    "ImagemillError",
    "InvalidInputError",
    "Lora",
    "ModelNotFoundError",
    "ModelSpec",
    "Params",
    "Task",
    "UnsupportedError",
]
