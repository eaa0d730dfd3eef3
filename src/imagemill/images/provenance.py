"""Provenance: how an image was made, in the words in which files tell it."""

import json
from collections.abc import Mapping

from PIL import ExifTags, Image

from imagemill import __version__, infotext
from imagemill.generation import Generation

Provenance = Mapping[str, str | int | float]

SOFTWARE = f"imagemill {__version__}"
KEY = "imagemill"  # of the PNG chunk that holds the provenance as JSON
PARAMETERS = "parameters"  # of the PNG chunk that holds it as image tools know it

COMMENT = b"UNICODE\x00"  # the character code of an EXIF UserComment: UTF-16, big end first
_EXIF_ROOM = 60_000  # bytes; a JPEG segment holds 65,533, headers and Pillow's own tags included
_LONGEST = 3_000  # characters: at most 10 bytes each in both places, and there are two texts

# The last line of the text that image tools know as "parameters": their label for each of our keys.
_LABELS: tuple[tuple[str, str], ...] = (
    ("steps", "Steps"),
    ("scheduler", "Sampler"),
    ("spacing", "Schedule type"),
    ("guidance_scale", "CFG scale"),
    ("seed", "Seed"),
    ("size", "Size"),
    ("model", "Model"),
    ("software", "Version"),
)


def provenance(generation: Generation, seed: int, served_by: str) -> Provenance:
    """What is written into one image, painted from `seed` by the weights `served_by`."""
    facts: dict[str, str | int | float | None] = {
        "prompt": generation.prompt,
        "negative_prompt": generation.negative_prompt or None,
        "seed": seed,
        "steps": generation.steps,
        "guidance_scale": generation.guidance_scale,
        "scheduler": generation.scheduler,
        "spacing": generation.spacing,
        "size": f"{generation.width}x{generation.height}",
        "model": served_by,
        "software": SOFTWARE,
    }
    return {key: value for key, value in facts.items() if value is not None}


def as_json(facts: Provenance) -> str:
    """The facts as our own key holds them."""
    return _holdable(json.dumps(dict(facts), ensure_ascii=False))


def as_parameters(facts: Provenance) -> str:
    """The facts in the lines that image tools know as "parameters"."""
    prompt, negative = (str(facts.get(name, "")) for name in ("prompt", "negative_prompt"))
    pairs = ((label, facts[key]) for key, label in _LABELS if key in facts)
    return _holdable(infotext.write(prompt, negative, pairs))


def as_exif(facts: Provenance) -> Image.Exif:
    """The facts as EXIF, of any length."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = as_json(facts).encode()  # str would be Latin-1
    exif[ExifTags.Base.Software] = str(facts.get("software", SOFTWARE))
    comment = COMMENT + as_parameters(facts).encode("utf-16-be")
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return exif


def fitting_jpeg(facts: Provenance) -> Provenance:
    """`facts` with long texts cut, and marked as cut, where a JPEG could not hold them."""
    if len(as_exif(facts).tobytes()) <= _EXIF_ROOM:
        return facts
    return {
        key: value[:_LONGEST] + " [...]"
        if isinstance(value, str) and len(value) > _LONGEST
        else value
        for key, value in facts.items()
    }


def _holdable(text: str) -> str:
    """What the files can hold: no lone surrogates, and no NUL, which ends a text."""
    return text.encode("utf-8", "replace").decode().replace("\0", " ")
