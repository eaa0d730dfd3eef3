"""A1111's syntax within prompts: files that are named in it, and weights of words."""

import re
from dataclasses import dataclass

from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import MAX_LORAS, Lora
from imagemill.http.identity import own

_TAG = re.compile(r"<(lora|lyco|hypernet):([^<>]{1,2000})>")
_NUMBER = re.compile(r"\s*+[+-]?(?:\d++\.?\d*+|\.\d++)\s*+")

# Innermost brackets, with a weight or without. Others mean a change in mid-course, or are escaped.
# No pattern tries a text in two ways: prompts come from anybody, and are read in the loop.
_ROUND = re.compile(r"(?<!\\)\(([^()\\]*)\)")
_SQUARE = re.compile(r"(?<!\\)\[([^\[\]:|\\]*)\]")
_ESCAPED = re.compile(r"\\([()\[\]])")
DEEPEST = 16  # brackets in brackets


@dataclass(frozen=True)
class ParsedPrompt:
    """A prompt without its syntax."""

    #: What is to be painted.
    text: str
    #: Those it names, at most 8.
    loras: tuple[Lora, ...]
    #: There were weights, which are lost.
    weighted: bool


def read(prompt: str, base: str) -> ParsedPrompt:
    loras = tuple(_lora(kind, named, base) for kind, named in _TAG.findall(prompt))
    if len(loras) > MAX_LORAS:
        raise invalid("prompt", f"the prompt names {len(loras)} LoRAs; at most {MAX_LORAS}")
    text, weighted = plain(_TAG.sub("", prompt).strip())
    return ParsedPrompt(text, loras, weighted)


def plain(prompt: str) -> tuple[str, bool]:
    """The words without the brackets that weigh them, and whether there were any."""
    count = 0
    for _ in range(DEEPEST):
        prompt, round_ = _ROUND.subn(lambda match: _weighed(match[1])[0], prompt)
        prompt, square = _SQUARE.subn(r"\1", prompt)
        if not round_ + square:
            break
        count += round_ + square
    return _ESCAPED.sub(r"\1", prompt), count > 0


def _weighed(text: str) -> tuple[str, float | None]:
    """What stands before the last colon, and the number behind it; all of it where none is."""
    name, colon, weight = text.rpartition(":")
    return (name, float(weight)) if colon and _NUMBER.fullmatch(weight) else (text, None)


def _lora(kind: str, named: str, base: str) -> Lora:
    if kind == "hypernet":
        message = f"there are no hypernetworks here; leave <hypernet:{named:.80}> out"
        raise Fault(Kind.UNSUPPORTED, message, "prompt")
    weights = list[float]()
    name, weight = _weighed(named)
    while weight is not None:
        weights.append(weight)
        name, weight = _weighed(name)
    if len(set(weights)) > 1:
        message = f"<{kind}:{named:.80}> has several weights; one is applied to the whole file"
        raise invalid("prompt", message)
    if not name.startswith(("http://", "https://")):
        message = (
            f"there is no LoRA {name!r:.80} here; give the address of a file: <lora:https://...:1>"
        )
        raise Fault(Kind.UNSUPPORTED, message, "prompt")
    return Lora(own(name, base) or name, weights[0] if weights else 1.0)
