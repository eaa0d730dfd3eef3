"""Fields by their usual names: how each is taken, and what a Draft has of them.

The pages of fal's applications differ in which of these they have, in their defaults and in their
choices; what a name means, it means on all of them.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from imagemill.dialects.fal.pages.types import LEAST_REPAINTED, RATIOS, SIZES, ImageSize
from imagemill.dialects.hub_models import UNSAID
from imagemill.generation import MAX_SIDE, MIN_SIDE, Draft, Format, Lora
from imagemill.http.input_images import with_images

MULTIPLE = 16  # px; what every family paints without cutting
MEGAPIXEL = 1024  # px, of the side of a square

# By field of a Draft, the names that mean it, of which the first that came counts.
NAMES: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt", "instruction", "text_prompt", "text_input", "edit_prompt"),
    "negative_prompt": ("negative_prompt",),
    "steps": ("num_inference_steps", "steps", "num_steps", "inference_steps"),
    "guidance_scale": ("guidance_scale", "guidance", "cfg_scale", "cfg", "true_cfg_scale"),
    "seed": ("seed",),
    "num_images": ("num_images", "n", "num_outputs", "num_samples"),
    "strength": ("strength", "prompt_strength"),
    "format": ("output_format", "format", "image_format"),
    "acceleration": ("acceleration",),
    "expand": (
        "expand_prompt", "enhance_prompt", "enable_prompt_expansion", "prompt_expansion",
        "prompt_upsampling", "prompt_enhancer", "prompt_enhancement",
    ),
}  # fmt: skip
# The same for what several fields of a Draft are made of.
SIZE_NAMES = ("image_size", "size", "target_size")
RATIO_NAMES = ("aspect_ratio", "resolution_mode")
OF_IMAGE = ("auto", "match_input", "match_input_image")  # as a ratio or a size
IMAGE_NAMES = ("image_url", "image_urls")
MASK_NAMES = ("mask_url", "mask_image_url", "mask_image", "mask")
FORMATS: Mapping[str, Format] = {
    "jpeg": "jpeg", "jpg": "jpeg", "png": "png", "webp": "webp", "svg": "svg",
}  # fmt: skip
SCALES: Mapping[str, float] = {"0.5K": 0.5, "1K": 1.0, "2K": 2.0, "4K": 4.0}  # of a side

Sides = tuple[int, int]
_PAIR = re.compile(r"([1-9]\d{0,3})([x:])([1-9]\d{0,3})", re.ASCII | re.IGNORECASE)


def draft(values: Mapping[str, Any], format: Format = "jpeg") -> Draft:
    """What fields say that are known by the names above; None says nothing. format: of the files,
    where none is said.
    """
    images, mask = _images(values), _first(values, MASK_NAMES)
    image = next(iter(images), None)
    said = {meaning: _first(values, names) for meaning, names in NAMES.items()}
    said["format"] = format_of(said["format"] or format)
    said["prompt"] = said["prompt"] or ""
    if not said["prompt"].strip() and image is not None:
        said["prompt"] = UNSAID
    if image is not None and (kept := values.get("image_prompt_strength")) is not None:
        said["strength"] = said["strength"] or max(round(1 - kept, 6), LEAST_REPAINTED)
    width, height = sides(values) or (values.get("width"), values.get("height"))
    draft = Draft(
        **{name: value for name, value in said.items() if value is not None},
        width=width,
        height=height,
        mask=mask,
        image_sized=image is not None and (width, height) == (None, None),
        loras=tuple(lora for each in values.get("loras") or () if (lora := lora_of(each))),
    )
    return with_images(draft, images)


def _images(values: Mapping[str, Any]) -> list[str]:
    """Of all fields that hold images, those that came."""
    lists = (values.get(name) or () for name in IMAGE_NAMES)
    return [each for one in lists for each in ([one] if isinstance(one, str) else one)]


def format_of(name: str) -> Format | None:
    """A format of files by its name, in whatever case; None where it is none."""
    return FORMATS.get(name.lower())


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The value of the first of `names` that has one; of a list the first member."""
    for name in names:
        value = values.get(name)
        if value not in (None, []):
            return value[0] if isinstance(value, list) else value
    return None


def sides(values: Mapping[str, Any]) -> Sides | None:
    """Width and height in px; None where they are left open, or the image is to decide."""
    if (values.get("width"), values.get("height")) != (None, None):
        return None
    size, ratio = _first(values, SIZE_NAMES), _first(values, RATIO_NAMES)
    if size is not None:
        return size_of(size)
    scale = SCALES.get(str(values.get("resolution")).upper(), 1.0)
    if ratio is not None:
        return ratio_of(ratio, scale)
    imageless = _first(values, IMAGE_NAMES) is None
    return ratio_of("1:1", scale) if scale != 1 and imageless else None


def size_of(size: Any) -> Sides | None:
    """Of a name, a width and a height, `1024x768`, or a ratio; None where it is none of these."""
    if isinstance(size, ImageSize):
        return size.width, size.height
    if size in SIZES:
        return SIZES[size]
    match = _PAIR.fullmatch(str(size))
    if match is None or match[2] == ":":
        return ratio_of(str(size))
    return int(match[1]), int(match[3])


def ratio_of(ratio: str, scale: float = 1.0) -> Sides | None:
    """About a megapixel of this shape, each side times `scale` as far as sides may go."""
    match = _PAIR.fullmatch(ratio)
    if match is None or match[2] != ":":
        return None
    wide, high = RATIOS.get(ratio) or _megapixel(int(match[1]), int(match[3]))
    fitting = min(scale, MAX_SIDE / max(wide, high))
    width, height = (max(MIN_SIDE, _even(side * fitting)) for side in (wide, high))
    return width, height


def _megapixel(wide: int, high: int) -> Sides:
    root = math.sqrt(wide / high)
    return _even(MEGAPIXEL * root), _even(MEGAPIXEL / root)


def _even(side: float) -> int:
    return round(side / MULTIPLE) * MULTIPLE


def lora_of(value: Any) -> Lora | None:
    """A LoRA in the forms that the pages have; None where it is none."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    path = _first(value, ("path", "url", "lora_url")) if isinstance(value, dict) else value
    if not isinstance(path, str) or not path:
        return None
    if not isinstance(value, dict):
        return Lora(path)
    scale, file = _first(value, ("scale", "weight", "strength")), value.get("weight_name")
    usable = isinstance(scale, int | float) and not isinstance(scale, bool)
    return Lora(path, float(scale) if usable else 1.0, file if isinstance(file, str) else None)
