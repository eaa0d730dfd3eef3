"""Replicate's requests, as submissions."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import Headers

from imagemill.dialects.replicate.targets import Target
from imagemill.dialects.replicate.vocabulary import InvalidField, InvalidFields, refused
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import Draft
from imagemill.http import json_body
from imagemill.http.identity import caller_of, formed
from imagemill.http.unknown_fields import UnknownFields
from imagemill.job import Submission
from imagemill.references import is_inline

DIALECT = "replicate"
INPUT = "input"  # the field with what the model itself takes
LONGEST_WAIT = 60.0  # seconds
LEAST_LIFE, LONGEST_LIFE = 5, 86_400  # seconds
SHOWN_DATA = 200  # characters of a data URI that are told again

Event = Literal["start", "output", "logs", "completed"]
USUAL_EVENTS: tuple[Event, ...] = ("output", "completed")
# Makes files of outputs that are data or come by TLS, and leaves others as text.
WRAPS_DATA = ("replicate-python/", "replicate-javascript/")

VERSION = r"^([0-9a-f]{64}|[A-Za-z0-9][\w-]*/[\w-]+(:[0-9a-f]{64})?)$"

_ADDRESS = re.compile(r"https?://|\s*data:", re.IGNORECASE)
_WAIT = re.compile(r"wait(?:\s*=\s*\"?(\d{1,9})\"?)?(?:\s*;.*)?", re.ASCII | re.IGNORECASE)
_LIFE = re.compile(r"(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s?)?", re.ASCII)
Body = TypeVar("Body", bound=BaseModel)


class Create(json_body.Strict):
    """stream does nothing: every prediction has a stream. webhook_completed is an older form."""

    input: dict[Any, Any]  # by names, which the input's own model checks
    webhook: Annotated[str | None, Field(max_length=2000)] = None
    webhook_completed: Annotated[str | None, Field(max_length=2000)] = None
    webhook_events_filter: Annotated[list[Event] | None, Field(max_length=8)] = None
    stream: bool | None = None


class CreateByVersion(Create):
    # What checks its form tells more than a pattern would.
    version: Annotated[str, Field(json_schema_extra={"pattern": VERSION})]


def take(model: type[Body], value: Any, unknown: UnknownFields, *above: str) -> Body:
    """`value` as a `model`; InvalidFields names everything that is wrong with it. above: where in
    the body it stands.
    """
    try:
        return unknown.take(model, value, *above)
    except ValidationError as error:
        raise refused(error, model, ".".join(above)) from None


def parsed(model: type[Body], body: bytes, unknown: UnknownFields) -> Body:
    return take(model, json_body.parse(json_body.text(body)), unknown)


def draft(
    target: Target, params: Mapping[str, Any], unknown: UnknownFields
) -> tuple[Draft, list[str]]:
    # Replicate checks by JSON Schema, as the words of its refusals tell: those of gojsonschema.
    whole = json_body.with_integers(dict(params))
    return target.predictor.read(take(target.predictor.Input, whole, unknown, INPUT))


def submission(
    target: Target, body: Create, draft: Draft, remarks: list[str], headers: Headers, base: str
) -> Submission:
    """What a call asks for; the references in the draft have been looked up."""
    url, events = _webhook(body)
    life = lifetime(headers)
    return Submission(
        target.endpoint.generation(draft),
        target.endpoint.source,
        dialect=DIALECT,
        caller=caller_of(headers),
        begin_within=life,
        webhook_url=url if "completed" in events else None,
        dialect_state={
            "model": target.model,
            "version": target.version,
            "single": target.predictor.single,
            "input": echo(body.input),
            "base": base,
            "webhook": url,
            "events": list(events),
            "life": life,
            "remarks": [*target.remarks, *(f"ignored: {each}" for each in remarks)],
        },
        cacheable=False,
        wait_for_model=True,
    )


def _webhook(body: Create) -> tuple[str | None, tuple[Event, ...]]:
    """Where to, and of what, is told."""
    if body.webhook is None:
        if body.webhook_events_filter and body.webhook_completed is None:
            message = "webhook_events_filter needs a webhook; give both"
            raise InvalidFields([InvalidField("invalid", "webhook_events_filter", message)])
        return body.webhook_completed, ("completed",) if body.webhook_completed else ()
    if body.webhook_completed not in (None, body.webhook):
        message = "webhook and webhook_completed differ; give one"
        raise InvalidFields([InvalidField("invalid", "webhook_completed", message)])
    return body.webhook, tuple(body.webhook_events_filter or USUAL_EVENTS)


def echo(value: Any) -> Any:
    """An input as it is told again: a picture within it is shortened."""
    if isinstance(value, dict):
        return {name: echo(each) for name, each in value.items()}
    if isinstance(value, list):
        return [echo(each) for each in value]
    if isinstance(value, str) and len(value) > SHOWN_DATA and is_inline(value):
        return f"{value[:SHOWN_DATA]}... ({len(value)} characters)"
    return value


def reference(url: str | None, name: str) -> str | None:
    """The address of a picture; a Fault where it is none."""
    if url is not None and not _ADDRESS.match(url):
        message = f"{name} {url!r:.40} is no address of a picture"
        raise invalid(
            name, f"{message}; give http(s), a data URI, or a file that was uploaded here"
        )
    return url


def waits(headers: Headers) -> float | None:
    """Seconds that the caller waits for the end, None for not at all. More than 60 are 60: clients
    send what they were given, as 120, and poll afterwards.
    """
    for preference in headers.get("prefer", "").split(","):
        # What is no wish to wait is passed over, as RFC 7240 has it of all that is not understood.
        if match := _WAIT.fullmatch(preference.strip()):
            return min(float(match[1] or LONGEST_WAIT), LONGEST_WAIT) or None
    return None


def lifetime(headers: Headers) -> float | None:
    """Seconds after which a prediction is cancelled that has not ended."""
    value = headers.get("cancel-after")
    if value is None:
        return None
    match = _LIFE.fullmatch(value.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if total < LEAST_LIFE:
        message = f"Cancel-After: {value!r:.40} is no time of at least {LEAST_LIFE} s"
        raise invalid("cancel-after", f"{message}; give for example 30s, 5m or 1h30m")
    if total > LONGEST_LIFE:
        raise invalid("cancel-after", f"Cancel-After: {value!r:.40} is too long; give at most 24h")
    return float(total)


def wants_data(headers: Headers, base: str) -> bool:
    """Whether pictures have to come as data URIs, for the client to make files of them."""
    agent = headers.get("user-agent", "")
    return base.startswith("http://") and agent.startswith(WRAPS_DATA)


def credential(headers: Headers) -> None:
    """Raises a Fault where an Authorization is not of the right form; there may be none."""
    if not formed(headers, "bearer", "token"):
        message = "You did not pass an authentication token; send 'Authorization: Bearer <token>'"
        raise Fault(Kind.DENIED, message)
