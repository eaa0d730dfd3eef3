"""Who calls, under which address they know this server, and which files of ours they name."""

import hashlib
import ipaddress
import re

from fastapi import Request
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from imagemill.errors import invalid
from imagemill.http.addresses import HOST
from imagemill.jobs.input_files import STORED, Caller

# What the server's own threshold has written into a call's scope, and into its headers.
LOCAL = "imagemill.local"
ACCOUNT = "x-imagemill-account"  # the id of the account that the caller's key opened

# The names by which the clients of Hugging Face say who they are.
HUGGING_FACE = re.compile(r"(^|\s)(hf_hub/|@huggingface/inference)")

_HOST = re.compile(r"[\w.-]{1,253}(:\d{1,5})?|\[[\da-fA-F:.]{2,45}\](:\d{1,5})?", re.ASCII)
# Of clients that were given no key: what their library makes of it, in base64 too.
_NO_KEY = frozenset({"", ":", "Og==", "Og"})
_FILE = re.compile(r"https?://(?P<place>[^?#]+?)(?:/fal/cdn)?/(?P<key>files/[^?#]+)")


def caller_of(headers: Headers) -> str:
    """Who asks: the account, where there are some; else a digest of the credential, empty where
    there is none, or an empty one.
    """
    if account := headers.get(ACCOUNT):
        return account
    credential = headers.get("authorization", "").strip().partition(" ")[2].strip()
    if credential in _NO_KEY:
        return ""
    return hashlib.sha256(credential.encode()).hexdigest()[:32]


def person_of(connection: HTTPConnection) -> str:
    """Who asks, as far as those can be told apart who send no credential: by their address."""
    address = connection.client.host if connection.client is not None else ""
    return caller_of(connection.headers) or f"at {_machine(address)}"


def named_by(connection: HTTPConnection) -> Caller:
    """Who names the inputs of a call."""
    return Caller(caller_of(connection.headers), person_of(connection), is_local(connection))


def _machine(address: str) -> str:
    """The same for both of this machine's own addresses, of which a name may mean either."""
    try:
        return "home" if ipaddress.ip_address(address).is_loopback else address
    except ValueError:
        return address


def is_local(connection: HTTPConnection) -> bool:
    """Whether the caller is a program on this machine, so that nobody else is led by it."""
    return connection.scope.get(LOCAL) is True


def of_hugging_face(headers: Headers) -> bool:
    """Whether it is a client of Hugging Face's, which calls every provider in one way."""
    return HUGGING_FACE.search(headers.get("user-agent", "")) is not None


def formed(headers: Headers, *schemes: str) -> bool:
    """Whether an Authorization is of one of the schemes, in small letters. There may be none; an
    empty one, or one without a key, is the same.
    """
    scheme, *key = headers.get("authorization", "").split() or [""]
    return not scheme or (scheme.lower() in schemes and len(key) <= 1)


def bearer_formed(headers: Headers) -> bool:
    """Whether an Authorization is a Bearer's; there may be none, or an empty one."""
    return formed(headers, "bearer")


def base_of(request: Request) -> str:
    """The address under which the caller knows this server, without a slash at the end."""
    scope = request.scope
    scheme, host = scope.get("scheme", "http"), scope.get(HOST) or request.headers.get("host", "")
    if scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise invalid("host", f"{scheme:.20}://{host:.80} is no address; send the header Host")
    return f"{scheme}://{host}{scope.get('root_path', '')}"


def own(url: str | None, base: str) -> str | None:
    """A file of ours by its name instead of its address, so that it is read without HTTP. base: as
    of `base_of`; addresses below other names of ours are known to `InputFiles`.
    """
    match = _FILE.fullmatch(url or "")
    ours = match is not None and match["place"] == base.partition("://")[2]
    return STORED + match["key"] if match is not None and ours else url
