"""From the arguments of a call to a checked generation, with the files that it names."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

from imagemill.catalog import EMBEDDED, OWN_ID, Catalog, Endpoint
from imagemill.errors import invalid
from imagemill.generation import (
    Acceleration,
    Draft,
    Format,
    Generation,
    Input,
    Lora,
)
from imagemill.images.decode import size_of
from imagemill.images.geometry import paintable_scale
from imagemill.images.masks import check_size
from imagemill.library.failures import public_errors
from imagemill.library.files import content_of, lora_file
from imagemill.library.ip_adapter import IPAdapter
from imagemill.library.results import GeneratedImage

if TYPE_CHECKING:
    from PIL import Image as Pillow

Value = TypeVar("Value")

IMAGE, MASK = "image", "mask"  # what the generation calls the files that it was given


class Params(TypedDict, total=False):
    """What may be said of a generation beside its prompt; all of it can be left out."""

    #: A name of the engine's `models`, "pico" or "imagemill/pico-fast"; the first if absent.
    model: str | None
    #: Pixels, 64 to 2048; the image's own, or the model's usual ones, if absent.
    width: int | None
    #: Pixels, 64 to 2048.
    height: int | None
    #: Denoising steps, 1 to 150.
    steps: int | None
    #: How closely to follow the prompt, 0 to 50.
    guidance_scale: float | None
    #: What to leave out.
    negative_prompt: str
    #: 0 to 2**64 - 1; the same seed gives the same bytes. Drawn if absent.
    seed: int | None
    #: 1 to 10.
    num_images: int
    #: One of `imagemill.scheduler_names.SCHEDULERS`; the model's own if absent.
    scheduler: str | None
    #: "png", "jpeg", "webp" or "svg".
    format: Format
    #: What is painted over: an GeneratedImage, one of Pillow, a file's bytes or its path.
    image: "GeneratedImage | Pillow.Image | bytes | str | Path | None"
    #: White where the image is repainted; of the image's size.
    mask: "GeneratedImage | Pillow.Image | bytes | str | Path | None"
    #: How much of the image is repainted, 0 to 1.
    strength: float
    #: Safetensors files, or ids of the Hub; a Lora says the scale, too.
    loras: Sequence[Lora | str | Path]
    #: The name of a preset.
    style: str | None
    #: How much may be saved at the price of other pixels: "none", "regular" or "high".
    acceleration: Acceleration
    #: A reference image that is taken up, and what reads it.
    ip_adapter: IPAdapter | None


@dataclass(frozen=True)
class Request:
    """A generation that was checked, and can be started."""

    generation: Generation
    #: The address of what serves it (see `model_spec`).
    source: str
    #: What the generation's references stand for.
    inputs: dict[str, Input]


def request_of(
    catalog: Catalog,
    prompt: str,
    *,
    model: str | None = None,
    width: int | None = None,
    height: int | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    negative_prompt: str = "",
    seed: int | None = None,
    num_images: int = 1,
    scheduler: str | None = None,
    format: Format = "png",
    image: "GeneratedImage | Pillow.Image | bytes | str | Path | None" = None,
    mask: "GeneratedImage | Pillow.Image | bytes | str | Path | None" = None,
    strength: float = 0.8,
    loras: Sequence[Lora | str | Path] = (),
    style: str | None = None,
    acceleration: Acceleration = "none",
    ip_adapter: IPAdapter | None = None,
) -> Request:
    """Checks everything before anything is loaded; raises what `failures` lists."""
    with public_errors():
        endpoint = _endpoint(catalog, model)
        contents = {
            name: content_of(each, name)
            for name, each in ((IMAGE, image), (MASK, mask))
            if each is not None
        }
        named = [each if isinstance(each, Lora) else Lora(str(each)) for each in loras]
        if image is not None and width is None and height is None:
            width, height = _size_of_image(contents[IMAGE])
        draft = Draft(
            prompt=_text("prompt", prompt),
            width=_unless_open(_whole, "width", width),
            height=_unless_open(_whole, "height", height),
            steps=_unless_open(_whole, "steps", steps),
            guidance_scale=_unless_open(_number, "guidance_scale", guidance_scale),
            seed=_unless_open(_whole, "seed", seed),
            negative_prompt=_text("negative_prompt", negative_prompt),
            num_images=_whole("num_images", num_images),
            scheduler=scheduler,
            format=format,
            image=None if image is None else IMAGE,
            mask=None if mask is None else MASK,
            strength=_number("strength", strength),
            loras=tuple(named),
            style=_style(style),
            acceleration=acceleration,
            ip_adapter=None if ip_adapter is None else ip_adapter.prompt(),
        )
        generation = endpoint.generation(draft)
        if mask is not None:
            check_size(contents[IMAGE], contents[MASK])
        files: dict[str, Input] = {lora.path: lora_file(lora) for lora in named}
        source = endpoint.source
        if ip_adapter is not None:
            source, files = ip_adapter.source(source), files | ip_adapter.contents()
        return Request(generation, source, {**files, **contents})


def _endpoint(catalog: Catalog, model: str | None) -> Endpoint:
    id = catalog.default if model is None else _text("model", model)
    return catalog.find(OWN_ID if id == EMBEDDED and not catalog.serves(id) else id)


def _size_of_image(content: bytes) -> tuple[int, int]:
    """Scaled to lie within what is painted."""
    width, height = size_of(content)
    scale = paintable_scale((width, height))
    return round(width * scale), round(height * scale)


def _style(name: str | None) -> str | None:
    if name is not None:
        from imagemill.finishing import styles

        styles.find(name)
    return name


def _text(field: str, value: str) -> str:
    if not isinstance(value, str):
        raise invalid(field, f"{field} is {type(value).__name__}; give a string")
    return value


def _unless_open(
    check: Callable[[str, Value], Value], field: str, value: Value | None
) -> Value | None:
    """None is what the caller leaves open."""
    return None if value is None else check(field, value)


def _whole(field: str, value: int) -> int:
    """numpy's integers are taken, too."""
    try:
        return operator.index(value)
    except TypeError:
        raise invalid(field, f"{field} is {type(value).__name__}; give an integer") from None


def _number(field: str, value: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise invalid(field, f"{field} is {type(value).__name__}; give a number") from None
