"""What an operator says of an upstream: another server, hosted or their own, that paints for them.

A model that is painted there has the address `upstream:NAME/MODEL`, which goes through catalog and
job as any other does. A key is never part of what is said here: only where it is read.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Literal
from urllib.parse import urlsplit

UpstreamKind = Literal["fal", "openai", "replicate", "together"]

PREFIX = "upstream:"  # begins the address of a model that an upstream paints
LONGEST_NAME = 32  # characters of an upstream's name
_NAME = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{LONGEST_NAME - 1}}}")
_MODEL = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[\w.-]{1,96}){0,7}(:[\w.-]{1,96})?", re.ASCII)


@dataclass(frozen=True)
class RemoteModel:
    """A model at an upstream."""

    #: The name of the upstream in the settings, at most 32 characters.
    upstream: str
    #: What the upstream calls the model.
    model: str


def remote_model(address: str) -> RemoteModel | None:
    """The model at an upstream that paints for an address; None where an engine of ours paints."""
    if not address.startswith(PREFIX):
        return None
    upstream, _, model = address.removeprefix(PREFIX).partition("/")
    return RemoteModel(upstream, model)


def upstream_of(address: str) -> str:
    """The name of the upstream that paints for an address; empty where an engine of ours does."""
    remote = remote_model(address)
    return remote.upstream[:LONGEST_NAME] if remote else ""


def check_remote(address: str) -> None:
    """Raises a ValueError for an address of an upstream that names no model as it should."""
    if (remote := remote_model(address)) is None:
        return
    if not _NAME.fullmatch(remote.upstream) or not _MODEL.fullmatch(remote.model):
        raise ValueError(
            f"source {address!r:.80} names no model of an upstream; write upstream:NAME/MODEL"
        )


@dataclass(frozen=True)
class UpstreamSpec:
    """One table `[upstreams.NAME]`."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    #: The API that it speaks.
    kind: UpstreamKind
    #: Where that API begins, as its own clients are told: for fal the queue's.
    url: str
    #: The variable of the environment with the key; None where there is none.
    key_env: str | None = None
    #: The file with the key, in the place of `key_env`.
    key_file: str | None = None
    #: Seconds that one generation may take there, from its submission to its images.
    timeout: float = 600.0
    #: Seconds for a connection.
    connect_timeout: float = 10.0
    #: Seconds for a reply that waits for no image.
    read_timeout: float = 60.0
    #: Further tries of a submission that was not taken.
    retries: int = 3
    #: Generations that are there at a time, of each server here.
    in_flight: int = 8
    #: What is sent again with the same Idempotency-Key is painted once, as by another imagemill.
    idempotent: bool = False
    #: Bytes of one image, at most.
    max_bytes: int = 50 * 2**20

    def __post_init__(self) -> None:
        self._check_url()
        if self.key_env is not None and self.key_file is not None:
            raise ValueError("key_env and key_file are both there; leave one of them out")
        for name, least in _LEAST:
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} {getattr(self, name)} is too small; give {least} or more")

    def _check_url(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url {self.url!r:.80} is none; write https://host/path")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "url has a user, a key or a query; give the key by key_env or key_file"
            )


_LEAST: tuple[tuple[str, float], ...] = (
    ("timeout", 1),
    ("connect_timeout", 0.1),
    ("read_timeout", 0.1),
    ("retries", 0),
    ("in_flight", 1),
    ("max_bytes", 1024),
)


def check_upstream_name(name: str) -> str:
    """The name of an upstream; raises a ValueError where it is none."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r:.80} is no name of an upstream; write it in small letters")
    return name
