"""Authentication: whose key a call carries, once there are accounts.

On loopback without accounts nothing is asked: whoever reaches the port is at this machine. With
accounts every call has a key, but for what is meant for everybody (the health of the server, its
documentation), and for addresses that are a permission themselves: files under unguessable names,
uploads that were announced, what fal's tokens open.
"""

import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from imagemill import doors
from imagemill.accounts import Account, ApiKey, digest
from imagemill.admission import POLICY_VIOLATION, SHOWN
from imagemill.errors import Fault, Kind
from imagemill.http.addresses import path_of
from imagemill.http.credentials import credentials
from imagemill.http.identity import ACCOUNT
from imagemill.networks import is_loopback
from imagemill.settings import Settings
from imagemill.store import opened
from imagemill.store.accounts import AccountTable
from imagemill.store.troubles import StoreFault

log = logging.getLogger(__name__)

REMEMBERED = 2.0  # seconds for which a revoked key may still open
READS = frozenset({"GET", "HEAD"})
ALL = frozenset({*READS, "POST", "PUT", "DELETE", "PATCH"})
UNASKED = re.compile(r"/health|/docs(/.*)?|/openapi\.json|/static-offline-docs/.*|.*/jwks\.json")
# Addresses that are a permission themselves: by method, how they look.
PERMITTED: tuple[tuple[frozenset[str], re.Pattern[str]], ...] = (
    (READS, re.compile("|".join(re.escape(each) + ".*" for each in SHOWN))),
    (ALL, re.compile(r"/fal/cdn/uploads/.*|/fal/cdn/files/.*/multipart/.*")),
    (READS, re.compile(r"/replicate/v1/files/[^/]+/download")),
)

Holder = Callable[[str], Awaitable[str | None]]  # the caller of a ticket for an upload


@dataclass
class Keyring:
    """Whose a key is, asked of the database and remembered for a moment."""

    table: AccountTable
    clock: Callable[[], float]
    passing: Callable[[], float] = time.monotonic
    _looked: float | None = None  # when it was last looked for accounts
    _some: bool = False
    _known: dict[str, tuple[float, tuple[Account, ApiKey]]] = field(default_factory=dict)

    async def required(self) -> bool:
        """Whether there are accounts; once there were, there always are. While the database is
        away it is what it was; raises its Fault where that is not known.
        """
        now = self.passing()
        if not self._some and (self._looked is None or now - self._looked >= REMEMBERED):
            try:
                self._some = await self.table.any()
            except StoreFault:
                if self._looked is None:
                    raise
            self._looked = now
        return self._some

    async def find(self, credential: str) -> tuple[Account, ApiKey] | None:
        """The account and the key of a credential; None where it is no key."""
        name = digest(credential)
        at, held = self._known.get(name, (0.0, None))
        if held is not None and self.passing() - at < REMEMBERED:
            return held
        held = await self.table.holder(name)
        if held is None:
            self._known.pop(name, None)
        else:
            self._known[name] = (self.passing(), held)
        return held

    def refusal(self, account: Account, key: ApiKey, dialect: str, address: str) -> Fault | None:
        """Why a key does not open this, if it does not."""
        name = f"the key {key.beginning}… ({key.id})"
        if account.disabled is not None:
            return Fault(Kind.DENIED, f"the account of {name} is disabled; ask the operator")
        if key.revoked is not None:
            return Fault(Kind.DENIED, f"{name} was revoked; ask the operator for another")
        if key.limits.expires is not None and key.limits.expires <= self.clock():
            return Fault(Kind.DENIED, f"{name} has expired; ask the operator for another")
        if outside := key.limits.admits(dialect, address):
            return Fault(Kind.FOREIGN, f"{name} does not open this: {outside}")
        return None


class AuthenticationMiddleware:
    """Tells who calls, and refuses who has no key where keys are asked for."""

    def __init__(self, app: ASGIApp, keyring: Keyring, ticket: Holder, optional: bool) -> None:
        """ticket: who may upload with a token of fal's CDN. optional: no key is asked for."""
        self.app, self.keyring, self.ticket, self.optional = app, keyring, ticket, optional

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        # Nobody but this server says whose account it is.
        scope = {**scope, "headers": [each for each in scope["headers"] if each[0] != _ACCOUNT]}
        try:
            account = await self._account(scope, Headers(scope=scope))
        except Fault as fault:
            await _refuse(fault, scope, receive, send)
            return
        if account is not None:
            scope["headers"].append((_ACCOUNT, account.encode()))
        await self.app(scope, receive, send)

    async def _account(self, scope: Scope, headers: Headers) -> str | None:
        path = path_of(scope)
        if UNASKED.fullmatch(path) or not await self.keyring.required():
            return None
        address = str((scope.get("client") or [""])[0])
        for credential in credentials(headers):
            if (held := await self.keyring.find(credential)) is not None:
                refusal = self.keyring.refusal(*held, doors.dialect_of(path).name, address)
                if refusal is not None:
                    raise refusal
                return held[0].id
        if self.optional or await self._needs_none(scope, path, headers):
            return None
        message = (
            "the key is not known here, or no longer; ask the operator for one"
            if credentials(headers)
            else "no key was sent; send one as your client does (Authorization: Bearer KEY)"
        )
        raise Fault(Kind.DENIED, message)

    async def _needs_none(self, scope: Scope, path: str, headers: Headers) -> bool:
        method = scope.get("method", "GET")
        if method == "OPTIONS":
            return True
        if any(method in methods and way.fullmatch(path) for methods, way in PERMITTED):
            return True
        if "fal_jwt_token" in QueryParams(scope.get("query_string", b"")):
            return path.startswith("/fal/")  # whose route reads the token
        if path.startswith("/fal/cdn/"):
            return any([await self.ticket(each) is not None for each in credentials(headers)])
        return False


async def check_open(settings: Settings) -> None:
    """Raises a Fault where others are to reach a server that asks for no key, unless the operator
    has said so.
    """
    if settings.open or is_loopback(settings.host):
        return
    async with opened(settings.database, settings.data_dir) as database:
        if await AccountTable(database).any():
            return
    raise Fault(
        Kind.DENIED,
        f"whoever reaches {settings.host} could paint here, and read what others paint; make an "
        "account with `imagemill accounts create NAME` and a key with `imagemill keys create "
        "NAME`, or write open = true into the settings",
    )


async def _refuse(fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    log.info("refused as %s: %s", fault.kind, fault)
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return
    response = doors.refuse(path_of(scope), Headers(scope=scope), fault)
    if response.status_code == 401 and "www-authenticate" not in response.headers:
        response.headers["www-authenticate"] = "Bearer"
    await response(scope, receive, send)


_ACCOUNT = ACCOUNT.encode()
