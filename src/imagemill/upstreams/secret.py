"""Secret: a key that is shown nowhere."""

from collections.abc import Mapping
from pathlib import Path

from imagemill.errors import invalid
from imagemill.upstream_spec import UpstreamSpec

_HIDDEN = "***"


class Secret:
    """A key, empty where there is none: its text is in no representation and no message."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def header(self, scheme: str) -> dict[str, str]:
        """The header that brings it; none where there is no key."""
        return {"authorization": f"{scheme} {self._text}"} if self._text else {}

    def cleared(self, text: str) -> str:
        """A text without the key, if it is in there."""
        return text.replace(self._text, _HIDDEN) if self._text else text


def read_key(name: str, spec: UpstreamSpec, environment: Mapping[str, str]) -> Secret:
    """The key of an upstream; raises a Fault for the operator where it is not in its place."""
    if spec.key_env is not None:
        text, place = environment.get(spec.key_env, ""), f"the variable {spec.key_env}"
    elif spec.key_file is not None:
        text, place = _content(spec.key_file), f"the file {spec.key_file}"
    else:
        return Secret()
    text = text.strip()
    if not text or not text.isascii() or not text.isprintable():
        raise invalid("upstreams", f"upstreams.{name}: {place} has no key; put it there")
    return Secret(text)


def _content(path: str) -> str:
    try:
        return Path(path).expanduser().read_text("utf-8")
    except (OSError, ValueError):
        return ""
