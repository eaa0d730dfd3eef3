"""A self-hosted image-generation server, and the models it paints with.

`from imagemill import Engine` paints in a program, without a server (see docs/python.md). What is
named here is imported when it is first used, so that `import imagemill` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imagemill.library import (
        AsyncEngine,
        Engine,
        ErrorKind,
        GeneratedImage,
        GenerationCancelledError,
        GenerationFailedError,
        GenerationProgress,
        GenerationResult,
        ImagemillError,
        InvalidInputError,
        IPAdapter,
        Lora,
        ModelNotFoundError,
        ModelSpec,
        Params,
        Task,
        UnsupportedError,
    )

__version__ = "0.1.0"

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
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'imagemill' has no attribute {name!r}")
    from imagemill import library

    return getattr(library, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
