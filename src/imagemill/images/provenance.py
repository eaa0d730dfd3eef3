"""Provenance: how an image was made, in the words in which files tell it."""

import json
from collections.abc import Mapping

from PIL import ExifTags, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from imagemill import __version__, infotext
from imagemill.conditions import style_code
from imagemill.generation import Generation

Provenance = Mapping[str, str | int | float]

SOFTWARE = f"imagemill {__version__}"
KEY = "imagemill"  # of the PNG chunk that holds the provenance as JSON
PARAMETERS = "parameters"  # of the PNG chunk that holds it as image tools know it

_EXIF = b"Exif\0\0"  # begins EXIF in a JPEG
_HEAD = b"MM\0*\0\0\0\x08"  # begins its directories: big end first, the first of them follows
COMMENT = b"UNICODE\x00"  # the character code of an EXIF UserComment: UTF-16, big end first
_EXIF_ROOM = 60_000  # bytes; a JPEG segment holds 65,533, headers and Pillow's own tags included
_LONGEST = 3_000  # characters: at most 10 bytes each in both places, and there are two texts

# The last line of the text that image tools know as "parameters": their label for each of our keys.
_LABELS: tuple[tuple[str, str], ...] = (
    ("steps", "Steps"),
    ("sampler", "Sampler"),
    ("schedule", "Schedule type"),
    ("guidance_scale", "CFG scale"),
    ("seed", "Seed"),
    ("size", "Size"),
    ("model", "Model"),
    ("strength", "Denoising strength"),
    ("style_code", "Style code"),
    ("software", "Version"),
)


def provenance(
    generation: Generation, seed: int, served_by: str, scheduler: str | None = None
) -> Provenance:
    """What is written into one image, painted from `seed` by the weights `served_by`.

    scheduler: what leads them where the caller named none, as in SCHEDULERS.
    """
    vector = generation.style_vector
    facts: dict[str, str | int | float | None] = {
        "prompt": generation.prompt,
        "negative_prompt": generation.negative_prompt or None,
        "seed": seed,
        "steps": generation.steps,
        "guidance_scale": generation.guidance_scale,
        "scheduler": generation.scheduler or scheduler,
        "spacing": generation.spacing,
        "size": f"{generation.width}x{generation.height}",
        "model": served_by,
        "strength": None if generation.image is None else generation.strength,
        "style_code": None if vector is None else style_code(vector),
        "software": SOFTWARE,
    }
    return {key: value for key, value in facts.items() if value is not None}


def as_json(facts: Provenance) -> str:
    """The facts as our own key holds them."""
    return _holdable(json.dumps(dict(facts), ensure_ascii=False))


def as_parameters(facts: Provenance) -> str:
    """The facts in the lines that image tools know as "parameters"."""
    prompt, negative = (str(facts.get(name, "")) for name in ("prompt", "negative_prompt"))
    known = {**facts, **_sampler(facts)}
    pairs = ((label, known[key]) for key, label in _LABELS if key in known)
    return _holdable(infotext.write(prompt, negative, pairs))


def _sampler(facts: Provenance) -> Provenance:
    """In A1111's words, what led the steps and how they were spaced."""
    if "scheduler" not in facts:
        return {}
    sampler, schedule = infotext.sampler(str(facts["scheduler"]))
    if (wish := facts.get("spacing")) is not None:
        schedule = infotext.SCHEDULES[str(wish)]
    return {"sampler": sampler, "schedule": schedule}


def as_exif(facts: Provenance) -> bytes:
    """The facts as EXIF, of any length."""
    inner = ImageFileDirectory_v2(_HEAD, group=ExifTags.IFD.Exif)
    # Pillow's table lacks this tag, so that by itself it would be of bytes, which readers of
    # comments do not take for one: they go by the type of the standard.
    inner.tagtype[ExifTags.Base.UserComment] = TiffTags.UNDEFINED
    inner[ExifTags.Base.UserComment] = COMMENT + as_parameters(facts).encode("utf-16-be")
    outer = ImageFileDirectory_v2(_HEAD)
    outer[ExifTags.Base.ImageDescription] = as_json(facts).encode()  # str would be Latin-1
    outer[ExifTags.Base.Software] = str(facts.get("software", SOFTWARE))
    outer.tagtype[ExifTags.IFD.Exif] = TiffTags.LONG
    outer[ExifTags.IFD.Exif] = 0  # as long as what will stand in its place
    place = len(_HEAD) + len(outer.tobytes(len(_HEAD)))
    outer[ExifTags.IFD.Exif] = place
    return _EXIF + _HEAD + outer.tobytes(len(_HEAD)) + inner.tobytes(place)


def fitting_jpeg(facts: Provenance) -> Provenance:
    """`facts` with long texts cut, and marked as cut, where a JPEG could not hold them."""
    if len(as_exif(facts)) <= _EXIF_ROOM:
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
