"""What fal's headers say of every file: whose it is, how long it is kept, and where."""

import hashlib
import logging
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import Headers

from imagemill.errors import Fault, Kind, invalid

log = logging.getLogger(__name__)

LIFECYCLE = ("x-fal-object-lifecycle", "x-fal-object-lifecycle-preference")  # the first wins
CENTURY = 100 * 366 * 86_400

Access = Literal["allow", "forbid", "hide"]

_CREDENTIAL = re.compile(r"(key|bearer)\s+\S+", re.IGNORECASE)
_HOST = re.compile(r"[\w.-]{1,253}(:\d{1,5})?|\[[\da-fA-F:.]{2,45}\](:\d{1,5})?", re.ASCII)


class Rule(BaseModel):
    user: str
    decision: Access


class Acl(BaseModel):
    default: Access | None = None
    rules: list[Rule] | None = None


class Lifecycle(BaseModel):
    """Words of fal's that are not here are passed over, so that one more does not open a file."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    expiration_duration_seconds: Annotated[float | None, Field(ge=0, le=CENTURY)] = None
    initial_acl: Acl | None = None


@dataclass(frozen=True)
class Terms:
    """keep: seconds. told: strangers may know that a private file exists."""

    keep: float | None = None
    public: bool = True
    told: bool = False


def caller_of(headers: Headers) -> str:
    """Who asks: a digest of the credential, empty where there is none."""
    credential = headers.get("authorization", "").strip().partition(" ")[2].strip()
    return hashlib.sha256(credential.encode()).hexdigest()[:32] if credential else ""


def bearer(headers: Headers) -> str | None:
    """The token of an Authorization that is one."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def check_form(headers: Headers) -> None:
    """Raises a Fault where an Authorization is not of fal's form; there may be none."""
    value = headers.get("authorization")
    if value is not None and not _CREDENTIAL.fullmatch(value.strip()):
        raise Fault(Kind.DENIED, "the authorization is not of the form 'Key <key>'; send that")


def lifecycle_of(headers: Headers) -> tuple[float | None, bool]:
    """Seconds that files are to be kept, None where nothing is said; whether they are public."""
    terms = terms_of(headers, caller_of(headers))
    return terms.keep, terms.public


def terms_of(headers: Headers, caller: str) -> Terms:
    """What a caller wishes for a file; what cannot be read or kept is logged, and no error."""
    name = next((each for each in LIFECYCLE if each in headers), None)
    if name is None:
        return Terms()
    try:
        asked = Lifecycle.model_validate_json(headers[name])
    except ValidationError:
        log.info("the header %s cannot be read, so it is ignored: %.200r", name, headers[name])
        return Terms()
    acl = asked.initial_acl or Acl()
    if acl.rules:
        log.info("the rules in %s are ignored: here are no users to tell apart", name)
    access = acl.default or "allow"
    if access != "allow" and not caller:
        log.info("%r in %s is ignored: without a credential the file is nobody's", access, name)
        access = "allow"
    # fal's clients leave out what is to be kept for ever; a 0 means the same there.
    return Terms(asked.expiration_duration_seconds or None, access == "allow", access == "forbid")


def base_of(request: Request, behind_proxy: bool = False) -> str:
    """The address under which the caller knows this server, without a slash at the end."""
    scheme, host = request.url.scheme, request.headers.get("host", "")
    if behind_proxy:
        scheme = _first(request.headers.get("x-forwarded-proto", "")) or scheme
        host = _first(request.headers.get("x-forwarded-host", "")) or host
    if scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise invalid("host", f"{scheme:.20}://{host:.80} is no address; send the header Host")
    return f"{scheme}://{host}{request.scope.get('root_path', '')}"


def _first(values: str) -> str:
    """What the proxy said that is nearest to the caller."""
    return values.partition(",")[0].strip().lower()
