"""What an upstream refuses, as faults of ours: what callers can mend is passed on, and what is the
operator's to mend is told without a word of keys, addresses and accounts.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from imagemill.errors import Fault, Kind
from imagemill.upstreams.api import Api, UpstreamReply
from imagemill.upstreams.wire import Table, own_name

log = logging.getLogger(__name__)

_OPERATORS: Mapping[int, str] = {
    401: "does not accept this server's key",
    402: "has no credit left for this server",
    403: "does not let this server in",
    404: "does not have this model",
    405: "does not have this model",
    429: "has no credit left for this server",  # others of that status are tried again
}


@dataclass(frozen=True)
class Complaint:
    """What an upstream says of a request that it refuses."""

    #: In its own words.
    message: str
    #: The field that it is about, by its name there; empty where it names none.
    field: str = ""
    #: Its rules forbid what was asked, or what was painted.
    policy: bool = False


def refusal(api: Api, reply: UpstreamReply, complaint: Complaint, table: Table) -> Fault:
    """The fault for a reply of 400 and above that is not tried again."""
    message = api.cleared(complaint.message)
    if complaint.policy:
        return unsafe(api, message)
    if (what := _OPERATORS.get(reply.status)) is not None:
        log.error("upstream %s %s (status %d)", api.name, what, reply.status)
        text = f"the upstream {api.name} {what}; the operator of this server has to look at it"
        return Fault(Kind.FAILED, text)
    if reply.status >= 500:
        log.warning("upstream %s failed (status %d): %s", api.name, reply.status, message)
        return failure(api, message)
    told_of = own_name(table, complaint.field) or complaint.field or None
    return Fault(Kind.INVALID, f"the upstream {api.name} refuses this: {message}", told_of)


def failure(api: Api, message: str) -> Fault:
    """The fault for what went wrong at an upstream while it painted."""
    what = api.cleared(message) or "it does not say why"
    return Fault(Kind.FAILED, f"the upstream {api.name} could not paint this: {what}")


def unsafe(api: Api, message: str) -> Fault:
    """The fault for what an upstream's rules forbid."""
    return Fault(Kind.UNSAFE, f"the upstream {api.name} does not allow this: {message}")
