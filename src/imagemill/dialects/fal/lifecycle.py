"""What fal's headers say of every file: how long it is kept, and who may read it."""

import logging
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import Headers

from imagemill.errors import Fault, Kind
from imagemill.http import identity
from imagemill.http.identity import caller_of

log = logging.getLogger(__name__)

LIFECYCLE = ("x-fal-object-lifecycle", "x-fal-object-lifecycle-preference")  # the first wins
CENTURY = 100 * 366 * 86_400

Access = Literal["allow", "forbid", "hide"]


class Rule(BaseModel):
    user: str
    decision: Access


class Acl(BaseModel):
    default: Access | None = None
    rules: list[Rule] | None = None


class LifecycleHeader(BaseModel):
    """Words of fal's that are not here are passed over, so that one more does not open a file."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    expiration_duration_seconds: Annotated[float | None, Field(ge=0, le=CENTURY)] = None
    initial_acl: Acl | None = None


@dataclass(frozen=True)
class FileLifecycle:
    """How long a file is kept, and who may read it."""

    #: Above 0; None where nothing is said.
    ttl_seconds: float | None = None
    #: Anybody may read it; else its owner alone.
    public: bool = True
    #: Strangers may know that a private file exists.
    listed: bool = False


def bearer(headers: Headers) -> str | None:
    """The token of an Authorization that is one."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def formed(headers: Headers) -> bool:
    """Whether an Authorization is of fal's form; there may be none, or an empty one."""
    return identity.formed(headers, "key", "bearer")


def check_form(headers: Headers) -> None:
    """Raises a Fault where it is not."""
    if not formed(headers):
        raise Fault(Kind.DENIED, "the authorization is not of the form 'Key <key>'; send that")


def lifecycle_of(headers: Headers) -> tuple[float | None, bool]:
    """Seconds that files are to be kept, None where nothing is said; whether they are public."""
    lifecycle = file_lifecycle(headers, caller_of(headers))
    return lifecycle.ttl_seconds, lifecycle.public


def file_lifecycle(headers: Headers, caller: str) -> FileLifecycle:
    """What a caller wishes for a file; what cannot be read or kept is logged, and no error."""
    name = next((each for each in LIFECYCLE if each in headers), None)
    if name is None:
        return FileLifecycle()
    try:
        wishes = LifecycleHeader.model_validate_json(headers[name])
    except ValidationError:
        log.info("the header %s cannot be read, so it is ignored: %.200r", name, headers[name])
        return FileLifecycle()
    acl = wishes.initial_acl or Acl()
    if acl.rules:
        log.info("the rules in %s are ignored: here are no users to tell apart", name)
    access = acl.default or "allow"
    if access != "allow" and not caller:
        log.info("%r in %s is ignored: without a credential the file is nobody's", access, name)
        access = "allow"
    # fal's clients leave out what is to be kept for ever; a 0 means the same there.
    ttl_seconds = wishes.expiration_duration_seconds or None
    return FileLifecycle(ttl_seconds, public=access == "allow", listed=access == "forbid")
