"""From finished pixels to finished files, with what made them written inside."""

from imagemill import finishing
from imagemill.engine.runner import Painting
from imagemill.generation import GeneratedImages
from imagemill.images.encode import encode as encode_image
from imagemill.images.encode import encode_svg
from imagemill.images.provenance import provenance
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.inputs import Picture


def encode(painting: Painting, now: float) -> GeneratedImages:
    """now: on the runner's clock."""
    return GeneratedImages(
        pictures=tuple(
            _file(painting, index, picture) for index, picture in sorted(painting.pictures.items())
        ),
        seconds=now - painting.began,
        served_by=_served_by(painting),
        ignored=painting.loaded.unknown(painting.generation.prompt),
    )


def _served_by(painting: Painting) -> str:
    embedded = painting.loaded.embedded
    return EMBEDDED if embedded else painting.generation.model


def _file(painting: Painting, index: int, picture: Picture) -> bytes:
    asked, filters = painting.generation, painting.loaded.family.filters
    pixels = finishing.finish(picture, asked.style, asked.palette, filters)
    facts = provenance(asked, asked.seed_of(index), _served_by(painting))
    if asked.format == "svg":
        return encode_svg(finishing.trace(pixels), facts)
    return encode_image(pixels, asked.format, facts)
