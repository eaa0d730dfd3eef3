"""Doors: every dialect with its paths, and in whose words a call is refused that finds no route."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, Response
from starlette.datastructures import Headers

from imagemill.dialects import (
    fal,
    flat,
    hf_inference,
    hub,
    nebius,
    nebula,
    openai,
    replicate,
    sdapi,
    together,
)
from imagemill.errors import Fault
from imagemill.http.context import AppContext

Refuse = Callable[[Headers, Fault], Response]


@dataclass(frozen=True)
class Dialect:
    """name: by which keys are limited to it. refuse: tells of a fault, to who sent the headers.
    below: how its paths begin. plain: wrong parameters in the URL are told as FastAPI does by
    itself, which its own API is made with.
    """

    name: str
    routes: Callable[[AppContext], APIRouter]
    refuse: Refuse
    below: tuple[str, ...]
    plain: bool = False


def _alike(refuse: Callable[[Fault], Response]) -> Refuse:
    """Whoever asks."""
    return lambda _, fault: refuse(fault)


# Every dialect enters by one line here; the last one has what is below no other's paths.
DIALECTS: tuple[Dialect, ...] = (
    Dialect("hf", hf_inference.routes, _alike(hf_inference.refuse), ("/hf-inference/", "/models/")),
    Dialect("fal", fal.routes, fal.refuse, ("/fal/", "/fal-ai/")),
    Dialect("replicate", replicate.routes, _alike(replicate.refuse), ("/replicate/",)),
    Dialect("openai", openai.routes, _alike(openai.refuse), ("/openai/",)),
    Dialect("together", together.routes, together.refuse, ("/together/",)),
    Dialect("nebius", nebius.routes, nebius.refuse, ("/nebius/",)),
    Dialect("nebula", nebula.routes, _alike(nebula.refuse), ("/nebula/",)),
    Dialect("sdapi", sdapi.routes, _alike(sdapi.refuse), ("/sdapi/", "/queue/"), plain=True),
    Dialect("hub", hub.routes, _alike(hub.refuse), ("/api/",)),
    Dialect("flat", flat.routes, _alike(flat.refuse), ("",)),
)


def dialect_of(path: str) -> Dialect:
    """The dialect that a path belongs to."""
    return next(each for each in DIALECTS if path.startswith(each.below))


def refuse(path: str, headers: Headers, fault: Fault) -> Response:
    """A refusal in the words of the dialect that the path belongs to."""
    return dialect_of(path).refuse(headers, fault)
