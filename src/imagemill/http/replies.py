"""What the replies of every dialect have alike: the statuses of faults, and headers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from imagemill.credits import shown
from imagemill.errors import Fault, Kind
from imagemill.generation import Answer
from imagemill.http import content_coding

IGNORED_FIELDS = "x-imagemill-ignored-fields"
PAGE = "x-imagemill-page"
IGNORED_LENGTH = 1000  # of a header; some clients refuse replies with long ones

# As HTTP has them; a dialect has a table of its own, with what its API says otherwise.
STATUSES: Mapping[Kind, int] = {
    Kind.INVALID: 400,
    Kind.NOT_FOUND: 404,
    Kind.TOO_LARGE: 413,
    Kind.ENCODED: 415,
    Kind.SLOW: 408,
    Kind.BUSY: 429,  # not 503, which Hugging Face's JavaScript client sends again at once, for ever
    Kind.LOADING: 503,
    Kind.CANCELLED: 503,
    Kind.DENIED: 401,
    Kind.UNPAID: 402,
    Kind.CONFLICT: 409,
    Kind.EARLY: 409,
    Kind.TIMEOUT: 504,
    Kind.NO_PATH: 404,
    Kind.NO_VERB: 405,
    Kind.MALFORMED: 400,
    Kind.MISDIRECTED: 421,
    Kind.FOREIGN: 403,
    Kind.FORBIDDEN: 422,
    Kind.UNREACHABLE: 422,
    Kind.UNREADABLE: 422,
    Kind.UNSUPPORTED: 422,
    Kind.UNAVAILABLE: 503,
    Kind.FULL: 507,
    Kind.UNSAFE: 422,
    Kind.FAILED: 500,
}

_TEXT = {"schema": {"type": "string"}}
HEADERS: dict[str, Any] = {
    "x-imagemill-model": {"description": "The weights that painted."} | _TEXT,
    "x-imagemill-seed": {"description": "The seed, asked for or drawn."} | _TEXT,
    "x-imagemill-cache": {"description": "hit: the caller's earlier picture. miss: a new one."}
    | _TEXT,
    "x-imagemill-cost": {"description": "Credits that the account paid, where it did."} | _TEXT,
    "x-imagemill-ignored": {
        "description": "Words of the prompt that the model does not know, or draws as something "
        "near (`corgi: drawn as dog`), percent-encoded."
    }
    | _TEXT,
    IGNORED_FIELDS: {
        "description": "Fields of the request that are not known here and were passed over, "
        "percent-encoded."
    }
    | _TEXT,
    "x-imagemill-flagged": {
        "description": "Which images, counted from 0, the safety checker flagged: they are black, "
        "or left out where the API has it so."
    }
    | _TEXT,
}


def headers(answer: Answer) -> dict[str, str]:
    """What every door tells of a picture, besides its own words."""
    named = {
        "x-imagemill-model": answer.painted.served_by,
        "x-imagemill-seed": str(answer.seed),
        "x-imagemill-cache": "hit" if answer.hit else "miss",
    }
    if answer.cost:
        named["x-imagemill-cost"] = shown(answer.cost)
    if answer.painted.ignored:
        named["x-imagemill-ignored"] = listed(answer.painted.ignored)
    if any(answer.painted.flagged):
        flagged = [str(index) for index, each in enumerate(answer.painted.flagged) if each]
        named["x-imagemill-flagged"] = ", ".join(flagged)
    return named


def listed(words: Sequence[str]) -> str:
    """Words for a header: percent-encoded, with commas between, cut where they are many."""
    kept, length = list[str](), 0
    for word in words:
        encoded = quote(word, safe="", errors="replace")
        length += len(encoded) + 2
        if length > IGNORED_LENGTH:
            kept.append(f"... {len(words) - len(kept)} more")
            break
        kept.append(encoded)
    return ", ".join(kept)


def fault_headers(fault: Fault) -> dict[str, str]:
    """What the headers of every refusal tell: when to come again, or how bodies may be packed."""
    headers = dict[str, str]()
    if fault.retry_after is not None:
        headers["retry-after"] = str(math.ceil(fault.retry_after))
    if fault.kind is Kind.ENCODED:
        headers["accept-encoding"] = content_coding.READ
    return headers


def responses(statuses: Mapping[Kind, int], error: dict[str, Any]) -> dict[int | str, Any]:
    """What OpenAPI says of the replies to faults, whose body has the schema `error`."""
    kinds: dict[int, list[Kind]] = {}
    for kind in Kind:
        kinds.setdefault(statuses[kind], []).append(kind)
    content = {"application/json": {"schema": error}}
    return {
        status: {"description": ", ".join(kinds[status]), "content": content}
        for status in sorted(kinds)
    }
