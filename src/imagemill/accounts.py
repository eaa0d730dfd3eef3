"""Accounts and their keys: who may call, and within which limits. A key is shown once, when it is
made; what is kept of it is a digest, by which it is known again.
"""

import base64
import hashlib
import secrets
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

ALPHABET = string.ascii_letters + string.digits
SHOWN = 8  # characters of a key by which its owner knows it again
MAX_NAME = 64  # characters


@dataclass(frozen=True)
class Account:
    """A person, a team or a program that may call."""

    #: Of 32 hexadecimal digits; what jobs and files are filed under.
    id: str
    #: As the operator calls it; no two have one.
    name: str
    #: Unix seconds.
    created: float
    #: Unix seconds, since when none of its keys opens anything; None while they do.
    disabled: float | None = None


@dataclass(frozen=True)
class KeyLimits:
    """What a key is good for; where nothing is said, for everything and for ever."""

    #: Names of dialects, as in DIALECTS of `doors`; empty for all.
    dialects: tuple[str, ...] = ()
    #: Networks that calls may come from (`10.0.0.0/8`); empty for all.
    addresses: tuple[str, ...] = ()
    #: Unix seconds.
    expires: float | None = None

    def admits(self, dialect: str, address: str) -> str:
        """What of a call is outside of the limits, in words; empty where nothing is."""
        if self.dialects and dialect not in self.dialects:
            return f"it is for {', '.join(self.dialects)}"
        if self.addresses and not _within(address, self.addresses):
            return "it is not for calls from this address"
        return ""


@dataclass(frozen=True)
class ApiKey:
    """What opens an account, without the key itself."""

    #: Of 12 hexadecimal digits; by which the operator names it.
    id: str
    #: The id of its account.
    account: str
    #: SHA-256 of the key, in hexadecimal digits.
    digest: str
    #: Its first characters.
    beginning: str
    #: Unix seconds.
    created: float
    limits: KeyLimits = KeyLimits()
    #: Unix seconds, since when it opens nothing; None while it does.
    revoked: float | None = None


def digest(key: str) -> str:
    """By which a key is known. Keys are drawn at random from more than 2**128, so that nothing
    slower than SHA-256 is needed against guessing.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def new_account(name: str, now: float) -> Account:
    return Account(uuid.uuid4().hex, name, now)


def new_key(account: str, like: str, limits: KeyLimits, now: float) -> tuple[ApiKey, str]:
    """A key of an account, and what its holder is to be given. like: one of SHAPES."""
    secret = SHAPES[like]()
    key = ApiKey(secrets.token_hex(6), account, digest(secret), secret[:SHOWN], now, limits)
    return key, secret


def _drawn(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _url_safe(size: int) -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(size)).rstrip(b"=").decode()


# How keys look that the clients of hosted APIs insist on, and our own.
SHAPES: dict[str, Callable[[], str]] = {
    "imagemill": lambda: f"im_{_drawn(40)}",
    "fal": lambda: f"{uuid.uuid4()}:{secrets.token_hex(16)}",
    "hf": lambda: f"hf_{_drawn(34)}",
    "replicate": lambda: f"r8_{_drawn(37)}",
    "openai": lambda: f"sk-{_drawn(48)}",
    "together": lambda: f"tgp_v1_{_url_safe(32)}",
}


def _within(address: str, networks: tuple[str, ...]) -> bool:
    try:
        machine = ip_address(address.removeprefix("::ffff:"))
    except ValueError:
        return False
    return any(machine in ip_network(each, strict=False) for each in networks)
