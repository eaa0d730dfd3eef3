"""Infotexts: how a picture was made, in the lines that A1111 writes and that image tools read."""

import json
import re
from collections.abc import Iterable
from typing import Any

NEGATIVE = "Negative prompt: "

_PAIR = re.compile(r'(\w[\w \-/]{0,60}):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
FEWEST = 3  # pairs that make a last line one of settings
LONGEST = 10_000  # characters of that line


def write(prompt: str, negative: str, pairs: Iterable[tuple[str, Any]]) -> str:
    lines = [prompt, *([NEGATIVE + negative] if negative else [])]
    lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in pairs))
    return "\n".join(lines)


def read(text: str) -> dict[str, str]:
    """The fields of an infotext; none where there is no text."""
    if not text.strip():
        return {}
    lines = text.strip().split("\n")
    pairs = _PAIR.findall(lines[-1][:LONGEST])
    if len(pairs) < FEWEST:
        pairs = []
    prompts = "\n".join(lines[: -1 if pairs else None])
    prompt, _, negative = prompts.partition(NEGATIVE)
    fields = {"Prompt": prompt.strip(), "Negative prompt": negative.strip()}
    for name, value in pairs:
        if size := _SIZE.fullmatch(value.strip()):
            fields |= {f"{name}-1": size[1], f"{name}-2": size[2]}
        else:
            fields[name] = _unquoted(value.strip())
    return fields


def _quoted(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,:\n]", text) else text


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value
