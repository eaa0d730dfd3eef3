"""References: how a call names a file, by a URL, by a data URI, or within itself."""

import re

# A URL with its host. What comes for one is kept, so it is short and plain.
_HOST = re.compile(r"https?://(?:[^/?#]*@)?([a-z0-9._-]{1,255}|\[[0-9a-f:.]{2,45}\])", re.I | re.A)
_DATA = re.compile(r"\s*data:", re.IGNORECASE)
DATA = "data:"  # begins the address of what came within the request


def is_inline(reference: str) -> bool:
    """Whether a reference is a data URI, the content itself, in whatever case it is written, and
    with blanks before it.
    """
    return _DATA.match(reference) is not None


def host_of(reference: str | None) -> str:
    """Of a URL, at most 255 characters; empty where there is none, or it is no URL."""
    match = _HOST.match(reference or "")
    return match[1].lower() if match else ""
