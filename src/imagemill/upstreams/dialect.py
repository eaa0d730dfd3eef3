"""What every API of an upstream is asked alike, whatever its words."""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import unquote

from imagemill.generation import Generation
from imagemill.upstreams.api import Api, ApiCall, UpstreamReply
from imagemill.upstreams.outcome import RemoteImages, RemoteState
from imagemill.upstreams.wire import Table, WireBody


class UpstreamDialect(Protocol):
    """One API, as its own clients speak it."""

    @property
    def scheme(self) -> str:
        """The word before the key in the header Authorization."""

    @property
    def queues(self) -> bool:
        """Whether a submission is answered at once, by an id under which it is asked after."""

    def table(self, model: str) -> Table:
        """How a generation is written for a model."""

    def image(self, content: bytes, field: str, model: str) -> Any:
        """An image, a PNG, in the form in which it is sent; white of a mask is painted over."""

    def submission(self, outgoing: Generation, model: str, body: WireBody) -> ApiCall:
        """The call that has something painted; its key is the caller's to add."""

    def accepted(self, api: Api, reply: UpstreamReply, table: Table) -> str | RemoteImages:
        """The id of the request, or its images where it does not queue; raises the Fault of a
        refusal.
        """

    async def look(self, api: Api, model: str, id: str, table: Table, until: float) -> RemoteState:
        """How far a request is; raises its Fault where it failed. until: as for `Api.send`."""

    def cancellation(self, model: str, id: str) -> ApiCall:
        """The call that stops a request."""


def marks(headers: Mapping[str, str], count: int) -> dict[str, Any]:
    """What an imagemill says of its images in headers, for `RemoteImages`; nothing of others."""
    indices = _listed(headers, "x-imagemill-flagged")
    ignored = ("x-imagemill-ignored", "x-imagemill-ignored-fields")
    return {
        "served_by": headers.get("x-imagemill-model"),
        "ignored": tuple(each for name in ignored for each in _listed(headers, name)),
        "flagged": tuple(str(index) in indices for index in range(count)) if indices else (),
    }


def _listed(headers: Mapping[str, str], name: str) -> list[str]:
    return [unquote(each.strip()) for each in headers.get(name, "").split(",") if each.strip()]
