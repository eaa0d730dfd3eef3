"""From finished pixels to finished files, with what made them written inside."""

from dataclasses import replace

from imagemill import finishing
from imagemill.engine.runner import ActiveGeneration
from imagemill.generation import GeneratedImages
from imagemill.images.encode import encode as encode_image
from imagemill.images.encode import encode_svg
from imagemill.images.provenance import provenance
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.inputs import Picture
from imagemill.pipelines.schedules import name_of


def encode(active: ActiveGeneration, now: float) -> GeneratedImages:
    """now: on the runner's clock."""
    loaded, generation = active.loaded, active.generation
    return GeneratedImages(
        pictures=tuple(
            _file(active, index, picture) for index, picture in sorted(active.pictures.items())
        ),
        seconds=now - active.began,
        served_by=_served_by(active),
        ignored=(
            *loaded.unknown(generation.prompt),
            *loaded.unheeded(generation.scheduler, generation.spacing),
        ),
    )


def _served_by(active: ActiveGeneration) -> str:
    embedded = active.loaded.embedded
    return EMBEDDED if embedded else active.generation.model


def _file(active: ActiveGeneration, index: int, picture: Picture) -> bytes:
    generation, filters = active.generation, active.loaded.family.filters
    pixels = finishing.finish(picture, generation.style, generation.palette, filters)
    if active.loaded.unheeded(generation.scheduler, generation.spacing):
        generation = replace(generation, spacing=None)  # which is what it was painted with
    own = name_of(active.loaded.pipe.scheduler)
    facts = provenance(generation, generation.seed_of(index), _served_by(active), own)
    if generation.format == "svg":
        return encode_svg(finishing.trace(pixels), facts)
    return encode_image(pixels, generation.format, facts)
