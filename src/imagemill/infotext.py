"""Infotexts: how a picture was made, in the lines that A1111 writes and that image tools read."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

NEGATIVE = "Negative prompt: "

# What A1111 calls the classes of diffusers' schedulers, each with the words that may follow.
SAMPLERS: Mapping[str, str] = {
    "FlowMatchEulerDiscreteScheduler": "Euler",
    "FlowMatchHeunDiscreteScheduler": "Heun",
    "FlowMatchLCMScheduler": "LCM",
    "EulerDiscreteScheduler": "Euler",
    "EDMEulerScheduler": "Euler",
    "EulerAncestralDiscreteScheduler": "Euler a",
    "HeunDiscreteScheduler": "Heun",
    "KDPM2DiscreteScheduler": "DPM2",
    "KDPM2AncestralDiscreteScheduler": "DPM2 a",
    "DPMSolverMultistepScheduler": "DPM++ 2M",
    "DPMSolverMultistepScheduler+sde": "DPM++ 2M SDE",
    "EDMDPMSolverMultistepScheduler": "DPM++ 2M",
    "DPMSolverSinglestepScheduler": "DPM++ 2S",
    "DPMSolverSinglestepScheduler+sde": "DPM++ SDE",
    "DEISMultistepScheduler": "DEIS",
    "UniPCMultistepScheduler": "UniPC",
    "PNDMScheduler": "PLMS",
    "DDIMScheduler": "DDIM",
    "DDPMScheduler": "DDPM",
    "LCMScheduler": "LCM",
    "TCDScheduler": "TCD",
}
SCHEDULES: Mapping[str, str] = {
    "karras": "Karras",
    "exponential": "Exponential",
    "sgm_uniform": "SGM Uniform",
}
EVEN = "Automatic"  # steps are spaced as the sampler usually does

_PAIR = re.compile(r'(\w[\w \-/]{0,60}):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_LABEL = re.compile(r"(Negative prompt|^Steps):", re.MULTILINE)
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
FEWEST = 3  # pairs that make a last line one of settings
LONGEST = 10_000  # characters of that line


def sampler(scheduler: str) -> tuple[str, str]:
    """A1111's name of a scheduler of diffusers, with the words that follow its class, and of how
    its steps are spaced. A class that A1111 does not know keeps its name.
    """
    kind, *words = scheduler.split("+")
    spaced = next((SCHEDULES[word] for word in words if word in SCHEDULES), EVEN)
    whole = "+".join([kind, *(word for word in words if word not in SCHEDULES)])
    return SAMPLERS.get(whole, SAMPLERS.get(kind, kind)), spaced


def write(prompt: str, negative: str, pairs: Iterable[tuple[str, Any]]) -> str:
    """The lines. Labels within the prompts get a blank before their colon: readers look for the
    first, or the last, wherever it stands, and take the rest for what it is not.
    """
    lines = [_unlabelled(prompt), *([NEGATIVE + _unlabelled(negative)] if negative else [])]
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


def _unlabelled(text: str) -> str:
    return _LABEL.sub(r"\1 :", text)


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
