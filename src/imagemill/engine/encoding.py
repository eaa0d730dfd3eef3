"""From finished pixels to finished files, with what made them written inside."""

from dataclasses import replace

from imagemill import finishing
from imagemill.engine.runner import ActiveGeneration
from imagemill.engine.safety import INSTALLED, Safety, black
from imagemill.generation import GeneratedImages
from imagemill.images.encode import Pixels, encode_svg
from imagemill.images.encode import encode as encode_image
from imagemill.images.provenance import provenance
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.inputs import kept
from imagemill.pipelines.schedules import name_of

OWN_CONTROLNET = "controlnet: the embedded model's own"
OWN_IP_ADAPTER = "ip_adapter: the embedded model's own"


def encode(active: ActiveGeneration, now: float, safety: Safety = INSTALLED) -> GeneratedImages:
    """now: on the runner's clock. Raises a Fault where images were to be checked and cannot be."""
    loaded, generation = active.loaded, active.generation
    pictures, flagged = list[bytes](), list[bool]()
    for index in sorted(active.pictures):
        pixels = _finished(active, index)
        unsafe = _flagged(active, index, pixels, safety)
        pictures.append(_file(active, index, black(pixels) if unsafe else pixels))
        flagged.append(unsafe)
    return GeneratedImages(
        pictures=tuple(pictures),
        seconds=now - active.began,
        served_by=_served_by(active),
        ignored=(
            *loaded.unknown(generation.prompt, edits=bool(generation.references)),
            *loaded.unheeded(generation.scheduler, generation.spacing),
            *_stood_in(active),
            *dict.fromkeys(active.remarks),
        ),
        flagged=tuple(flagged) if active.checked else (),
    )


def _finished(active: ActiveGeneration, index: int) -> Pixels:
    generation, filters = active.generation, active.loaded.family.filters
    picture = active.pictures[index]
    wished = generation.style, generation.palette, generation.style_vector
    done = finishing.finish(picture, *wished, filters=filters)
    untouched = done is picture and active.decoded.foreground is None
    return picture if untouched else kept(active.decoded, done)


def _flagged(active: ActiveGeneration, index: int, pixels: Pixels, safety: Safety) -> bool:
    """By the checker that comes with the model's weights where there is one, else by `safety`."""
    if not active.checked or active.loaded.checks_itself:
        return index in active.flagged
    return safety.flags(pixels, active.generation.safety)


def _stood_in(active: ActiveGeneration) -> tuple[str, ...]:
    """The remarks on what was named and is the embedded model's own instead."""
    if not active.loaded.embedded:
        return ()
    named = (
        (active.generation.control, OWN_CONTROLNET),
        (active.generation.ip_adapter, OWN_IP_ADAPTER),
    )
    return tuple(remark for said, remark in named if said is not None and said.acts)


def _served_by(active: ActiveGeneration) -> str:
    embedded = active.loaded.embedded
    return EMBEDDED if embedded else active.generation.model


def _file(active: ActiveGeneration, index: int, pixels: Pixels) -> bytes:
    generation = active.generation
    if active.loaded.unheeded(generation.scheduler, generation.spacing):
        generation = replace(generation, spacing=None)  # which is what it was painted with
    own = name_of(active.loaded.pipe.scheduler)
    facts = provenance(generation, generation.seed_of(index), _served_by(active), own)
    if generation.format == "svg":
        return encode_svg(finishing.trace(pixels), facts)
    return encode_image(pixels, generation.format, facts)
