"""What callers know each of OpenAI's models to take; all other ids take everything."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagemill.dialects.openai.vocabulary import InvalidParameter
from imagemill.errors import Fault, Kind
from imagemill.generation import MAX_IMAGES
from imagemill.value_checks import MAX_PROMPT


@dataclass(frozen=True)
class QualityLevel:
    """What a quality means here."""

    #: Times the model's usual ones, above 0.
    steps: float
    #: How replies call it.
    label: str


QUALITIES: Mapping[str, QualityLevel] = {
    "auto": QualityLevel(1.0, "medium"),
    "low": QualityLevel(0.5, "low"),
    "medium": QualityLevel(1.0, "medium"),
    "high": QualityLevel(1.5, "high"),
    "xhigh": QualityLevel(2.0, "xhigh"),
    "max": QualityLevel(3.0, "max"),
    "standard": QualityLevel(1.0, "medium"),
    "hd": QualityLevel(1.5, "high"),
}
# Times the model's usual guidance: vivid images follow their prompt more closely.
STYLES: Mapping[str, float] = {"vivid": 1.25, "natural": 0.75}
# How much is repainted of an image, and of what its mask marks.
FIDELITIES: Mapping[str | None, tuple[float, float]] = {
    None: (0.8, 1.0),
    "low": (0.8, 1.0),
    "high": (0.5, 0.8),
}
# The same of an edit without a mask: how near it stays to its images, as their guidance.
NEARNESS: Mapping[str | None, float] = {None: 2.0, "low": 1.5, "high": 3.0}
# How much the safety checker lets through.
MODERATIONS: Mapping[str | None, float] = {None: 0.5, "auto": 0.5, "low": 0.75}
VARIED = 0.6  # how much of an image is repainted to vary it

# Taken, and without effect here; the reasons are told in docs/openai.md, which a test checks.
IGNORED: Mapping[str, str] = {
    "complexity": "the models served here plan nothing before they paint",
    "user": "the key tells whose call it is; the reply repeats it as safety_identifier",
    "safety_identifier": "the key tells whose call it is; the reply repeats it",
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
class Capabilities:
    """What a model takes, and how it replies."""

    #: The only ones that are taken; None for any.
    sizes: tuple[str, ...] | None = None
    #: Where the caller names none.
    size: str = "auto"
    #: Of one call, 1 to 10.
    max_images: int = MAX_IMAGES
    #: Of a prompt, 1 to 10,000.
    max_characters: int = MAX_PROMPT
    #: Those that are taken.
    qualities: tuple[str, ...] = tuple(QUALITIES)
    #: Fields that are not taken.
    refused: frozenset[str] = frozenset()
    #: Callers who ask for URLs are refused; the reply has them beside the images all the same.
    base64: bool = False
    #: Replies count them.
    tokens: bool = True
    #: What is transparent in an image without a mask is repainted.
    fades: bool = True
    #: The prompt is enriched before it is painted.
    expands: bool = False
    #: Those it can be asked for.
    tasks: frozenset[str] = field(default=frozenset({"generations", "edits", "variations"}))


_GPT = Capabilities(
    sizes=("1024x1024", "1024x1536", "1536x1024", "auto"),
    qualities=("low", "medium", "high", "auto"),
    refused=frozenset({"style"}),
    base64=True,
    fades=False,
    tasks=frozenset({"generations", "edits"}),
)
_GPT_2 = Capabilities(
    qualities=("low", "medium", "high", "xhigh", "max", "auto"),
    refused=frozenset({"style"}),
    base64=True,
    fades=False,
    tasks=frozenset({"generations", "edits"}),
)
FREE = Capabilities()
MODELS: Mapping[str, Capabilities] = {
    "gpt-image-1": _GPT,
    "gpt-image-1-mini": _GPT,
    "gpt-image-1.5": _GPT,
    "chatgpt-image-latest": _GPT,
    "gpt-image-2": _GPT_2,
    "gpt-image-2.5-sunburst": _GPT_2,
    "gpt-image-2.5-flare": _GPT_2,
    "gpt-image-2.6-sunburst": _GPT_2,
    "gpt-image-2.6-flare": _GPT_2,
    "dall-e-2": Capabilities(
        sizes=("256x256", "512x512", "1024x1024"),
        size="1024x1024",
        max_characters=1000,
        qualities=("standard", "auto"),
        refused=frozenset({*_GPT_ONLY, "style"}),
        tokens=False,
    ),
    "dall-e-3": Capabilities(
        sizes=("1024x1024", "1024x1792", "1792x1024"),
        size="1024x1024",
        max_images=1,
        max_characters=4000,
        qualities=("standard", "hd", "auto"),
        refused=frozenset(_GPT_ONLY),
        tokens=False,
        expands=True,
        tasks=frozenset({"generations"}),
    ),
}
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$", re.ASCII)  # a snapshot of a model


def of_openai(model: str) -> bool:
    """Whether a model is one of OpenAI's, or a snapshot of one."""
    return _DATED.sub("", model) in MODELS


def capabilities_of(model: str | None, fields: Mapping[str, Any]) -> Capabilities:
    """Who names no model gets the replies of dall-e-2, or of gpt-image by what is asked, and may
    ask as of any other: it is the server's own default that paints.
    """
    if model is not None:
        return MODELS.get(_DATED.sub("", model), FREE)
    gpt = any(fields.get(name) not in (None, False) for name in _GPT_ONLY)
    gpt = gpt and fields["response_format"] is None
    return Capabilities(base64=gpt, fades=not gpt)


def check(model: str, capabilities: Capabilities, task: str, fields: Mapping[str, Any]) -> None:
    """Raises a Fault where the model does not take these `fields`."""
    if task not in capabilities.tasks:
        able = [name for name, each in MODELS.items() if task in each.tasks]
        message = f"Invalid value: '{model}'. Models for {task} are {', '.join(able)}"
        raise InvalidParameter(f"{message}, and every id of the form owner/name.", "model")
    for name, value in fields.items():
        if value is not None and name in LACKING:
            raise Fault(Kind.UNSUPPORTED, LACKING[name], name)
        if value not in (None, False) and name in capabilities.refused:
            message = f"'{name}' is not supported with '{model}'; leave it out"
            raise InvalidParameter(
                f"{message}, or ask another model.", name, "unsupported_parameter"
            )
    _check_count(model, capabilities, fields["n"])
    _check_one("quality", fields.get("quality"), capabilities.qualities)
    if fields["width"] is None and fields["height"] is None:
        _check_one("size", fields["size"], capabilities.sizes)
    if fields["response_format"] == "url" and (capabilities.base64 or fields.get("stream")):
        whose = f"'{model}' does not answer with" if capabilities.base64 else "A stream has no"
        message = f"{whose} URLs; ask for b64_json."
        raise InvalidParameter(message, "response_format", "unsupported_value")
    _check_length(capabilities, fields.get("prompt") or "")


def _check_count(model: str, capabilities: Capabilities, n: int | None) -> None:
    most = capabilities.max_images
    if n is None or 1 <= n <= most:
        return
    way, bound, code = ("below minimum", ">= 1", "integer_below_min_value")
    if n > 0:
        way, bound, code = "above maximum", f"<= {most}", "integer_above_max_value"
    shown = n if n.bit_length() <= 100 else f"one of {n.bit_length()} bits"
    message = f"Invalid 'n': integer {way} value. Expected a value {bound}, but got {shown} instead"
    raise InvalidParameter(f"{message}.", "n", code)


def _check_one(name: str, value: str | None, choices: tuple[str, ...] | None) -> None:
    if value is not None and choices is not None and value not in choices:
        listed = ", ".join(f"'{choice}'" for choice in choices)
        message = f"Invalid value: '{value:.80}'. Supported values are: {listed}."
        raise InvalidParameter(message, name)


def _check_length(capabilities: Capabilities, prompt: str) -> None:
    if len(prompt) > capabilities.max_characters:
        expected = f"Expected a string with maximum length {capabilities.max_characters}"
        message = f"Invalid 'prompt': string too long. {expected}, but got one of {len(prompt)}."
        raise InvalidParameter(message, "prompt", "string_above_max_length")
