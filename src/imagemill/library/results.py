"""What a program gets: the progress on the way, and in the end the images, as files in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from imagemill.engine.events import Finished
from imagemill.errors import Kind
from imagemill.generation import Format, Generation
from imagemill.images.decode import provenance_of, size_of
from imagemill.images.encode import MEDIA_TYPES
from imagemill.library.failures import InvalidInputError, UnsupportedError

if TYPE_CHECKING:
    from PIL import Image as Pillow

SUFFIXES: Mapping[str, Format] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".svg": "svg",
}


@dataclass(frozen=True)
class GenerationProgress:
    """How far a generation is."""

    #: Steps done, over all of its images; 1 to `steps`.
    step: int
    #: Steps in all.
    steps: int
    #: Which of the prompts it is in `generate_many`, from 0 on.
    index: int = 0


@dataclass(frozen=True)
class GeneratedImage:
    """One image as a file in memory. Notebooks show it."""

    #: The file, with prompt, seed and settings written inside.
    data: bytes = field(repr=False)
    #: What kind of file it is.
    format: Format
    #: What paints it again, 0 to 2**64 - 1.
    seed: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return size_of(self.data)

    @property
    def provenance(self) -> dict[str, str | int | float]:
        """What is written inside: prompt, seed, steps, size, model."""
        return provenance_of(self.data)

    def save(self, path: str | Path) -> Path:
        """Writes the file as it is; the name must not end as that of another format does."""
        path = Path(path)
        suffix = SUFFIXES.get(path.suffix.lower(), self.format)
        if suffix != self.format:
            message = f"{path.name} is no name for {self.format}; ask for format={suffix!r}"
            raise InvalidInputError(Kind.INVALID, message, "path")
        path.write_bytes(self.data)
        return path

    def to_pil(self) -> "Pillow.Image":
        """The pixels, decoded by Pillow; an SVG has none."""
        if self.format == "svg":
            message = "an SVG has no pixels; ask for format='png'"
            raise UnsupportedError(Kind.UNSUPPORTED, message, "format")
        from PIL import Image as Pillow

        image = Pillow.open(BytesIO(self.data))
        image.load()
        return image

    def _repr_mimebundle_(self, **_: object) -> dict[str, bytes | str]:
        shown = self.data.decode() if self.format == "svg" else self.data
        return {MEDIA_TYPES[self.format]: shown}


@dataclass(frozen=True)
class GenerationResult:
    """A finished generation."""

    #: In order; the image i was painted from the seed of the generation + i.
    images: tuple[GeneratedImage, ...]
    #: What was painted, checked, with all that was left open filled in.
    generation: Generation = field(repr=False)
    #: From the first step to the encoded images.
    seconds: float
    #: The model that painted: "pico", or the name it was given.
    served_by: str
    #: Words that the model does not know, or draws as something near ("corgi: drawn as dog").
    ignored: tuple[str, ...] = ()
    #: For each image, whether a safety checker that comes with the model's weights flagged it; it
    #: is black then. Empty where there is none.
    flagged: tuple[bool, ...] = ()


def result_of(generation: Generation, finished: Finished) -> GenerationResult:
    """What a program gets of a generation that has finished."""
    painted = finished.painted
    images = tuple(
        GeneratedImage(data, generation.format, generation.seed_of(index))
        for index, data in enumerate(painted.pictures)
    )
    return GenerationResult(
        images, generation, painted.seconds, painted.served_by, painted.ignored, painted.flagged
    )
