"""Prompt expansion: says how a picture is composed, lit and finished where its prompt does not.

The prompt stays in front, word for word; what is added never brings a thing, a colour, a number, a
style or a negation, so that it changes how something is shown and not what.
"""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from imagemill.value_checks import MAX_PROMPT

log = logging.getLogger(__name__)

MAX_ADDED = 400  # characters
MAX_TOKENS = 120  # of a chat model's answer; MAX_ADDED characters of most languages

Kind = Literal["person", "place", "object"]
Slot = Literal["composition", "light", "finish"]
Post = Callable[[str, dict[str, Any], dict[str, str]], Awaitable[dict[str, Any]]]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# What a prompt shows, by its words in the singular; a person in a place is a person. What has none
# of them is an object.
SHOWN: dict[Kind, frozenset[str]] = {
    "person": _set(
        "actor artist baby boy bride chef child dancer doctor face farmer girl grandfather "
        "grandmother guy human king knight lady man men musician nurse people person pirate "
        "portrait princess queen sailor samurai selfie soldier teacher warrior woman women"
    ),
    "place": _set(
        "alley bay beach bridge canyon castle cathedral church city cityscape cliff coast desert "
        "field forest garden glacier harbor harbour hill island jungle kitchen lake landscape "
        "library meadow mountain ocean park plaza river road room ruins sea seascape shore skyline "
        "street temple town valley village waterfall"
    ),
}
# By slot, the words of a prompt that has said enough already.
SAID: dict[Slot, frozenset[str]] = {
    "composition": _set(
        "angle background center centered centred closeup composed composition distance "
        "foreground framed framing macro panorama panoramic perspective portrait shot symmetrical "
        "symmetry view viewed wide"
    ),
    "light": _set(
        "backlit candlelight candlelit dark darkness dawn daylight dim dusk evening glow glowing "
        "illuminated lamp lantern light lighting lightning lit luminous moonlight moonlit neon "
        "night shade shadow silhouette sunlight sunlit sunrise sunset twilight"
    ),
    "finish": _set(
        "abstract bokeh blurred blurry crisp detail detailed doodle flat focus grain grainy "
        "hyperdetailed icon logo minimal minimalist pixel resolution rough sharp simple sketch "
        "sketchy smooth texture textured"
    ),
}
PHRASES: dict[Slot, dict[Kind, tuple[str, ...]]] = {
    "composition": {
        "person": (
            "a balanced composition that keeps attention on the subject",
            "seen from a natural distance with a distinct shape",
            "calm framing with generous space around the subject",
            "composed so that the gaze settles on the subject first",
        ),
        "place": (
            "a balanced composition with depth from near to far",
            "a steady view with a clear sense of scale",
            "layered depth that leads the gaze inward",
            "an open composition with an unhurried rhythm",
        ),
        "object": (
            "a balanced composition with a clear centre of interest",
            "generous space around the subject",
            "seen at a natural angle with a distinct shape",
            "calm framing that lets the subject stand out",
        ),
    },
    "light": {
        "person": (
            "soft even light with gentle transitions",
            "gentle light that gives form and volume",
            "diffuse light with a quiet mood",
            "directional light with soft falloff",
        ),
        "place": (
            "clear light that opens up the depth",
            "soft light with gentle contrast",
            "broad light with lively tonal range",
            "atmospheric light with quiet transitions",
        ),
        "object": (
            "soft even light that shows the form",
            "gentle light with soft falloff",
            "clear light that brings out volume",
            "diffuse light with gentle contrast",
        ),
    },
    "finish": {
        "person": (
            "careful detail with graceful proportions",
            "fine detail with smooth transitions",
            "a refined finish with consistent detail",
            "consistent proportions with a polished finish",
        ),
        "place": (
            "fine detail throughout",
            "consistent perspective and careful detail",
            "a refined finish with rich texture",
            "crisp detail from near to far",
        ),
        "object": (
            "crisp edges and careful detail",
            "fine surface detail",
            "a refined finish with faithful texture",
            "coherent form with a polished finish",
        ),
    },
}
INSTRUCTION = (
    "You help to describe pictures. Answer with short phrases, separated by commas, that could "
    "follow the given description: they tell composition, light and finish. Bring in no new thing, "
    "person, colour, number, text or style, and negate nothing. Do not repeat the description and "
    f"add nothing else. Use its language, and at most {MAX_ADDED} characters."
)


def expand(prompt: str, seed: int) -> str:
    """`prompt` and what it leaves unsaid, always the same for the same seed."""
    words = _words(prompt)
    kinds: list[Kind] = [kind for kind, known in SHOWN.items() if words & known]
    kind = kinds[0] if kinds else "object"
    expanded = prompt
    for slot, of_kind in PHRASES.items():
        if not words & SAID[slot]:
            expanded = _joined(expanded, _pick(of_kind[kind], seed, slot))
    fits = len(expanded) <= min(MAX_PROMPT, len(prompt) + MAX_ADDED)
    return expanded if fits else prompt


async def expand_by_chat(
    prompt: str, seed: int, url: str, key: str | None, model: str, post: Post
) -> str:
    """As an OpenAI-compatible server at `url` would go on; as `expand` does where it fails.

    post: sends a body with headers to an address, and gives the JSON that comes back.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": "system", "content": INSTRUCTION},
            {"role": "user", "content": prompt},
        ],
        "max_tokens": MAX_TOKENS,
        "seed": seed % 2**31,  # larger ones are refused by some servers
    }
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        answer = await post(f"{url.rstrip('/')}/chat/completions", body, headers)
        added = _added(answer, prompt)
    except Exception as error:
        # The error's own text may hold an address or a key.
        name = type(error).__name__
        log.warning("a prompt was expanded by the grammar: the chat model failed (%s)", name)
        return expand(prompt, seed)
    return _joined(prompt, added) if added else prompt


def _added(answer: Mapping[str, Any], prompt: str) -> str:
    """What a chat model would add, on one line; too much is cut, where it can at a word's end."""
    said = answer["choices"][0]["message"]["content"]
    text = " ".join(said.removeprefix(prompt).split()).strip(' ,;"')
    if not text:
        raise ValueError("the answer is empty")
    text.encode()  # half of a surrogate pair is nothing that a tokenizer could read
    room = min(MAX_ADDED, MAX_PROMPT - len(prompt)) - len(", ")
    if len(text) <= room:
        return text
    cut = text[: max(room, 0)]
    end = max(cut.rfind(","), cut.rfind(" "))
    return cut[:end].rstrip(" ,;") if end > 0 else cut


def _words(prompt: str) -> set[str]:
    words = set(re.findall(r"[a-z]+", prompt.lower().replace("close-up", "closeup")))
    return words | {word.removesuffix("s") for word in words}


def _pick(phrases: tuple[str, ...], seed: int, slot: Slot) -> str:
    # Python does not promise that its own random numbers stay the same from version to version.
    digest = hashlib.sha256(f"{seed} {slot}".encode()).digest()
    return phrases[int.from_bytes(digest[:8]) % len(phrases)]


def _joined(text: str, added: str) -> str:
    if text.endswith((".", "!", "?")):
        return f"{text} {added[:1].upper()}{added[1:]}"
    return f"{text}{added}" if text[-1:].isspace() else f"{text}, {added}"
