"""The general page: any application of fal's that no page describes.

Nobody here knows its schema, so fields are read by their usual names, in all the forms that are
usual, and what is left is dropped and named in the reply.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import ValidatorFunctionWrapHandler, WrapValidator, create_model

from imagemill.catalog.models import Task
from imagemill.dialects.fal.pages import usual
from imagemill.dialects.fal.pages.model_page import IGNORED, ModelPage
from imagemill.dialects.fal.pages.types import (
    FalFile,
    FileUrl,
    ImageSize,
    Output,
    PageInput,
    References,
    SafetyChecker,
    Side,
    SyncMode,
    Timings,
    optional,
    said,
)
from imagemill.generation import (
    ACCELERATIONS,
    MAX_GUIDANCE,
    MAX_IMAGES,
    MAX_LORAS,
    MAX_SEED,
    MAX_STEPS,
    Draft,
)
from imagemill.scheduler_names import SCHEDULERS
from imagemill.value_checks import MAX_PROMPT

RANDOM = -1  # as a seed
LONGEST_NAME = 80  # characters of a field's name that are told

# Of what an image is painted over by, the names in the order in which they count; others follow.
FIRST = (
    "image_url", "image_urls", "image", "images", "input_image_url", "input_image_urls",
    "input_image", "init_image_url", "person_image_url", "human_image_url", "model_image",
    "reference_image_url", "reference_image_urls", "control_image_url",
)  # fmt: skip
_IMAGE = re.compile(r"(?!\w*mask_)(\w+_)?images?(_urls?)?", re.ASCII)
_MASK = re.compile(r"(\w+_)?masks?(_image)?(_urls?)?", re.ASCII)
_ADDRESS = re.compile(r"https?://|\s*data:", re.IGNORECASE)
_URLS = re.compile(r"_urls?$", re.ASCII)
# Whose images keep what stands in front: bria's, Ideogram's and others.
_BEHIND = re.compile(r"(?:^|[/-])(replace-background|background/replace|background-change)$")
_EDITS = re.compile(r"(?:^|[/-])(edit|image-to-image|inpaint(ing)?|redux|reframe|remix|fill)$")


def _any_size(value: Any, either: ValidatorFunctionWrapHandler) -> Any:
    return ImageSize.model_validate(value) if isinstance(value, dict) else either(value)


_AnySize = Annotated[
    str | ImageSize,
    WrapValidator(_any_size),
    said("A width and a height in px, the name of a size, 1024x768, or a ratio."),
]
_Ratio = Annotated[str, said("The shape of the picture, as 16:9.")]
# By field of a Draft, what is taken under each of its names.
_TYPES: Mapping[str, Any] = {
    "prompt": Annotated[str, said("What to paint.", max_length=MAX_PROMPT)],
    "negative_prompt": Annotated[str, said("What to keep out.", max_length=MAX_PROMPT)],
    "steps": Annotated[int, said("Steps of denoising.", ge=1, le=MAX_STEPS)],
    "guidance_scale": Annotated[
        float, said("How closely the picture follows the prompt.", ge=0, le=MAX_GUIDANCE)
    ],
    "seed": Annotated[int, said("The same gives the same; -1 draws one.", ge=RANDOM, le=MAX_SEED)],
    "num_images": Annotated[int, said("How many pictures.", ge=1, le=MAX_IMAGES)],
    "strength": Annotated[float, said("How much of the image is repainted.", ge=0, le=1)],
    "format": Annotated[str, said("The format of the files: jpeg, png, webp or svg.")],
    "acceleration": Annotated[str, said("none, regular or high: how much may be saved.")],
    "expand": Annotated[bool, said("Whether the prompt is enriched before painting.")],
}
_IMAGES = ("image_url", "image_urls", "mask_url")  # which stand for many names
_FIELDS: Mapping[str, Any] = {
    **{name: _TYPES[meaning] for meaning, names in usual.NAMES.items() for name in names},
    **dict.fromkeys(usual.SIZE_NAMES, _AnySize),
    **dict.fromkeys(usual.RATIO_NAMES, _Ratio),
    "resolution": Annotated[str, said("0.5K, 1K, 2K or 4K, beside a ratio.")],
    "image_prompt_strength": Annotated[float, said("How much of it is kept.", ge=0, le=1)],
    "width": Side,
    "height": Side,
    **dict(zip(_IMAGES, (FileUrl, References, FileUrl), strict=True)),
    "loras": Annotated[list[Any], said("Adapters, by path and scale.", max_length=MAX_LORAS)],
    "scheduler": Annotated[str, said("How a step is taken, by diffusers' name.")],
    "sync_mode": SyncMode,
    "enable_safety_checker": SafetyChecker,
}
_ROWS: dict[str, Any] = {name: optional(type) for name, type in _FIELDS.items()}
GeneralInput: type[PageInput] = create_model("GeneralInput", __base__=PageInput, **_ROWS)


class GeneralImage(FalFile, title="Image"):
    width: int | None = None
    height: int | None = None


class GeneralOutput(Output):
    """In both forms that applications of fal's have: a list of images, and one image."""

    images: list[GeneralImage]
    image: GeneralImage
    timings: Timings | None = None
    seed: int
    has_nsfw_concepts: list[bool]
    prompt: str


def _is_size(value: Any) -> bool:
    return value in usual.OF_IMAGE or usual.size_of(value) is not None


def _is_ratio(value: Any) -> bool:
    return value in usual.OF_IMAGE or usual.ratio_of(value) is not None


# Fields by which an image is painted over, and not edited by words.
_OVER = frozenset({*usual.NAMES["strength"], "image_prompt_strength"})
# What may be a list or an object; `prompt` is told that it may not.
_OF_SEVERAL = ("prompt", "loras", *usual.SIZE_NAMES)
# Whether a text is understood, by the field that it stands in.
_CHOICES: Mapping[str, Callable[[str], bool]] = {
    **dict.fromkeys(usual.NAMES["format"], lambda name: usual.format_of(name) is not None),
    **dict.fromkeys(usual.SIZE_NAMES, _is_size),
    **dict.fromkeys(usual.RATIO_NAMES, _is_ratio),
    "acceleration": ACCELERATIONS.__contains__,
    "resolution": lambda name: name.upper() in usual.SCALES,
    "scheduler": SCHEDULERS.__contains__,
}


def understood(value: Any) -> tuple[Any, tuple[str, ...]]:
    """What of an input means something here, its images under one name; the names of the rest."""
    if not isinstance(value, dict):
        return value, ()
    value = {name: each for name, each in value.items() if each not in (None, "", [])}
    images, masks = _addresses(value, _IMAGE), _addresses(value, _MASK)
    taken = {name: each for name, each in value.items() if _is_taken(name, each)}
    rest = [name for name in value if name not in {*taken, *images, *masks, *IGNORED}]
    over = _chosen(images)
    if over is not None and not masks and not _OVER & taken.keys():
        urls = [*dict.fromkeys(url for each in images.values() for url in each)]
        taken |= {"image_url": urls[0]} if len(urls) == 1 else {"image_urls": urls}
    elif over is not None:
        taken["image_url"], names = over
        rest += names
    if masks and over is not None:
        taken["mask_url"] = next(iter(masks.values()))[0]
    elif masks:
        rest += masks
    rest += _no_loras(taken.get("loras"))
    return taken, tuple(f"{name:.{LONGEST_NAME}}" for name in rest)


def _is_taken(name: str, value: Any) -> bool:
    """Whether a field other than an image's is read; what is wrong with it is told then."""
    if value is None or name not in _FIELDS or name in _IMAGES:
        return False
    if isinstance(value, str) and name in _CHOICES:
        return _CHOICES[name](value)
    return not isinstance(value, dict | list) or name in _OF_SEVERAL


def _no_loras(value: Any) -> Iterator[str]:
    """The names of those members of a list that are no LoRA in any usual form."""
    for place, each in enumerate(value if isinstance(value, list) else ()):
        if usual.lora_of(each) is None:
            yield f"loras[{place}]"


def _addresses(value: Mapping[str, Any], names: re.Pattern[str]) -> dict[str, list[str]]:
    """The images of fields that are named so, the names that count most first."""
    named = sorted(filter(names.fullmatch, value), key=lambda name: _rank(name))
    return {name: urls for name in named if (urls := [*_urls(name, value[name])])}


def _rank(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)


def _urls(name: str, value: Any) -> Iterator[str]:
    """The addresses in a field. Where its name says that it holds one, a text that is none is
    among them, to be refused: painting something else for it would surprise.
    """
    for each in value if isinstance(value, list) else [value]:
        url = each.get("url") if isinstance(each, dict) else each
        if isinstance(url, str) and (_ADDRESS.match(url) or (url and _URLS.search(name))):
            yield url


def _chosen(images: Mapping[str, list[str]]) -> tuple[str, list[str]] | None:
    """The image that is painted over, and the names of all others."""
    if not images:
        return None
    (name, (url, *more)), *others = images.items()
    rest = [f"{name}[{place}]" for place, each in enumerate(more, 1) if each != url]
    return url, rest + [other for other, urls in others if any(each != url for each in urls)]


def _read(body: PageInput) -> Draft:
    draft = usual.draft(dict(body))
    if draft.mask is not None and draft.strength is None:
        draft = replace(draft, strength=1.0)  # what a mask shows is usually to go
    scheduler = getattr(body, "scheduler", None)
    return replace(draft, seed=None if draft.seed == RANDOM else draft.seed, scheduler=scheduler)


def _read_behind(body: PageInput) -> Draft:
    draft = _read(body)
    image = draft.image or next(iter(draft.references), None)
    if image is None or draft.mask is not None:
        return draft
    return replace(draft, image=image, references=(), keep_foreground=True, strength=1.0)


def page(id: str) -> ModelPage[PageInput]:
    """That of an application that no other page describes."""
    behind = _BEHIND.search(id) is not None
    task: Task = "image-to-image" if behind or _EDITS.search(id) else "text-to-image"
    return ModelPage(
        id=id,
        description="No page here describes this application: fields are read by usual names.",
        Input=GeneralInput,
        Output=GeneralOutput,
        example={"prompt": "a red cat"},
        output_example={
            "images": [{"url": "https://example.com/picture.jpg"}],
            "image": {"url": "https://example.com/picture.jpg"},
            "seed": 42,
            "has_nsfw_concepts": [False],
            "prompt": "a red cat",
        },
        read=_read_behind if behind else _read,
        task=task,
        understand=understood,
        general=True,
    )
