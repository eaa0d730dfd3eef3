"""What callers know each of OpenAI's models to take; all other ids take everything."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagemill.dialects.openai.words import Wrong
from imagemill.errors import Fault, Kind
from imagemill.generation import MAX_IMAGES, MAX_PROMPT

LARGEST_N = 10  # of OpenAI's own API


@dataclass(frozen=True)
class Quality:
    """steps: times the model's usual ones. told: how replies call it."""

    steps: float
    told: str


QUALITIES: Mapping[str, Quality] = {
    "auto": Quality(1.0, "medium"),
    "low": Quality(0.5, "low"),
    "medium": Quality(1.0, "medium"),
    "high": Quality(1.5, "high"),
    "xhigh": Quality(2.0, "xhigh"),
    "max": Quality(3.0, "max"),
    "standard": Quality(1.0, "medium"),
    "hd": Quality(1.5, "high"),
}
# Times the model's usual guidance: vivid pictures follow their prompt more closely.
STYLES: Mapping[str, float] = {"vivid": 1.25, "natural": 0.75}
# How much is repainted of an image, and of what its mask marks.
FIDELITIES: Mapping[str | None, tuple[float, float]] = {
    None: (0.8, 1.0),
    "low": (0.8, 1.0),
    "high": (0.5, 0.8),
}
VARIED = 0.6  # how much of an image is repainted to vary it

# Taken, and without effect here; the reasons are told in docs/openai.md, which a test checks.
IGNORED: Mapping[str, str] = {
    "moderation": "nothing is moderated here",
    "complexity": "the models served here plan nothing before they paint",
    "user": "there are no accounts; the reply repeats it as safety_identifier",
    "safety_identifier": "there are no accounts; the reply repeats it",
}
LACKING: Mapping[str, str] = {
    "frame_count": "moving pictures are not painted here; leave frame_count out",
    "frame_duration_ms": "moving pictures are not painted here; leave frame_duration_ms out",
    "svg": "an SVG is traced from the picture and has no author; leave svg out",
    "markup": "no model here reads marks on a picture; say it in the prompt, or give a mask",
}

_GPT_ONLY = (
    "background", "moderation", "output_format", "output_compression", "stream", "partial_images",
    "input_fidelity", "complexity",
)  # fmt: skip


@dataclass(frozen=True)
class Manners:
    """sizes: the only ones that are taken, None for any. size: where none is asked for. most:
    pictures at once. refuses: fields. base64: the reply never has a URL. fades: what is transparent
    in an image without a mask is repainted. expands: the prompt is enriched before it is painted.
    """

    sizes: tuple[str, ...] | None = None
    size: str = "auto"
    most: int = MAX_IMAGES
    characters: int = MAX_PROMPT
    qualities: tuple[str, ...] = tuple(QUALITIES)
    refuses: frozenset[str] = frozenset()
    base64: bool = False
    tokens: bool = True  # replies count them
    fades: bool = True
    expands: bool = False
    tasks: frozenset[str] = field(default=frozenset({"generations", "edits", "variations"}))


_GPT = Manners(
    sizes=("1024x1024", "1024x1536", "1536x1024", "auto"),
    qualities=("low", "medium", "high", "auto"),
    refuses=frozenset({"style"}),
    base64=True,
    fades=False,
    tasks=frozenset({"generations", "edits"}),
)
_GPT_2 = Manners(
    qualities=("low", "medium", "high", "xhigh", "max", "auto"),
    refuses=frozenset({"style"}),
    base64=True,
    fades=False,
    tasks=frozenset({"generations", "edits"}),
)
FREE = Manners()
MODELS: Mapping[str, Manners] = {
    "gpt-image-1": _GPT,
    "gpt-image-1-mini": _GPT,
    "gpt-image-1.5": _GPT,
    "chatgpt-image-latest": _GPT,
    "gpt-image-2": _GPT_2,
    "gpt-image-2.5-sunburst": _GPT_2,
    "gpt-image-2.5-flare": _GPT_2,
    "gpt-image-2.6-sunburst": _GPT_2,
    "gpt-image-2.6-flare": _GPT_2,
    "dall-e-2": Manners(
        sizes=("256x256", "512x512", "1024x1024"),
        size="1024x1024",
        characters=1000,
        qualities=("standard", "auto"),
        refuses=frozenset({*_GPT_ONLY, "style"}),
        tokens=False,
    ),
    "dall-e-3": Manners(
        sizes=("1024x1024", "1024x1792", "1792x1024"),
        size="1024x1024",
        most=1,
        characters=4000,
        qualities=("standard", "hd", "auto"),
        refuses=frozenset(_GPT_ONLY),
        tokens=False,
        expands=True,
        tasks=frozenset({"generations"}),
    ),
}
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$", re.ASCII)  # a snapshot of a model


def manners_of(model: str | None, given: Mapping[str, Any]) -> Manners:
    """Who names no model gets the replies of dall-e-2, or of gpt-image by what is asked, and may
    ask as of any other: it is the server's own default that paints.
    """
    if model is not None:
        return MODELS.get(_DATED.sub("", model), FREE)
    gpt = any(given.get(name) not in (None, False) for name in _GPT_ONLY)
    gpt = gpt and given["response_format"] is None
    return Manners(base64=gpt, fades=not gpt)


def check(model: str, manners: Manners, task: str, given: Mapping[str, Any]) -> None:
    """Raises a Fault where the model does not take what is `given`."""
    if task not in manners.tasks:
        able = [name for name, each in MODELS.items() if task in each.tasks]
        told = f"Invalid value: '{model}'. Models for {task} are {', '.join(able)}"
        raise Wrong(f"{told}, and every id of the form owner/name.", "model")
    for name, value in given.items():
        if value is not None and name in LACKING:
            raise Fault(Kind.UNSUPPORTED, LACKING[name], name)
        if value not in (None, False) and name in manners.refuses:
            told = f"'{name}' is not supported with '{model}'; leave it out"
            raise Wrong(f"{told}, or ask another model.", name, "unsupported_parameter")
    _check_count(model, manners, given["n"])
    _check_one("quality", given.get("quality"), manners.qualities)
    if given["width"] is None and given["height"] is None:
        _check_one("size", given["size"], manners.sizes)
    if given["response_format"] == "url" and (manners.base64 or given.get("stream")):
        told = f"'{model}' does not answer with URLs" if manners.base64 else "A stream has no URLs"
        raise Wrong(f"{told}; ask for b64_json.", "response_format", "unsupported_value")
    _check_length(manners, given.get("prompt") or "")


def _check_count(model: str, manners: Manners, n: int | None) -> None:
    if n is None or 1 <= n <= manners.most:
        return
    if manners.most < n <= LARGEST_N and manners.most > 1:
        raise Wrong(f"n {n} is more than this server paints at once; ask for 1 to {manners.most}.",
                    "n", "integer_above_max_value")  # fmt: skip
    way, bound, code = ("below minimum", ">= 1", "integer_below_min_value")
    if n > 0:
        way, bound, code = "above maximum", f"<= {manners.most}", "integer_above_max_value"
    shown = n if n.bit_length() <= 100 else f"one of {n.bit_length()} bits"
    told = f"Invalid 'n': integer {way} value. Expected a value {bound}, but got {shown} instead."
    raise Wrong(told, "n", code)


def _check_one(name: str, value: str | None, choices: tuple[str, ...] | None) -> None:
    if value is not None and choices is not None and value not in choices:
        listed = ", ".join(f"'{choice}'" for choice in choices)
        raise Wrong(f"Invalid value: '{value:.80}'. Supported values are: {listed}.", name)


def _check_length(manners: Manners, prompt: str) -> None:
    if len(prompt) > manners.characters:
        told = f"Expected a string with maximum length {manners.characters}"
        told = f"Invalid 'prompt': string too long. {told}, but got one of {len(prompt)}."
        raise Wrong(told, "prompt", "string_above_max_length")
