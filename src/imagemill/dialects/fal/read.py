"""fal's requests, as submissions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers

from imagemill.catalog import Catalog, Endpoint
from imagemill.catalog.media import made_by
from imagemill.catalog.models import named_by
from imagemill.conditions import SafetyCheck
from imagemill.dialects import hub_models
from imagemill.dialects.fal.lifecycle import formed, lifecycle_of
from imagemill.dialects.fal.pages import PAGES, ModelPage, general
from imagemill.dialects.fal.router_input import router_page
from imagemill.dialects.fal.vocabulary import InputError, InvalidInput
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import Draft, Generation
from imagemill.http import json_body
from imagemill.http.identity import own
from imagemill.http.unknown_fields import UnknownFields
from imagemill.job import Priority, Submission

DIALECT = "fal"
Body = TypeVar("Body", bound=BaseModel)
LEAST_TIMEOUT = 0.1  # seconds
SPOKEN_KEPT = 60.0  # seconds that files live whose content went over a socket
PRIORITIES = {"normal": Priority.NORMAL, "low": Priority.LOW}
START_TIMEOUTS = ("x-fal-request-start-timeout", "x-fal-request-timeout")  # the first wins

# By pydantic's name of what is wrong, fal's: all others are the same in both.
TYPES = {
    "literal_error": "one_of",
    "too_long": "sequence_too_long",
    "too_short": "sequence_too_short",
}


# Which are paths of every application, so that no application is called so.
RESERVED = ("requests", "stream", "realtime")


@dataclass(frozen=True)
class App:
    """An application, and the path below it that was asked for."""

    #: Of the application.
    page: ModelPage[Any]
    #: What serves it.
    endpoint: Endpoint
    #: The path below; empty where the application itself is meant.
    rest: str = ""
    #: The page to read by where it knows fields that the application's own does not.
    wide: ModelPage[Any] | None = None

    def page_for(self, value: Any) -> ModelPage[Any]:
        if self.wide is None or not isinstance(value, dict):
            return self.page
        beyond = value.keys() - self.page.Input.model_fields.keys()
        return self.wide if beyond & self.wide.Input.model_fields.keys() else self.page


def page_of(catalog: Catalog, name: str) -> ModelPage[Any] | None:
    """The page of an endpoint; the general one where what serves it has none of its own."""
    if name in PAGES:
        return PAGES[name]
    return general.page(name) if _is_application(catalog, name) else None


def _is_application(catalog: Catalog, name: str) -> bool:
    """Whether what has no page is served: as it is, or by the weights that fal calls so."""
    below = name.split("/")[2:]
    return "/" in name and not {*below} & {*RESERVED} and catalog.serves(_weights(catalog, name))


def _weights(catalog: Catalog, name: str) -> str:
    """What the operator's settings may call the model behind an application."""
    configured = catalog.model(name) is not None and name not in PAGES
    return name if configured else named_by("fal-ai", name) or name


def app(catalog: Catalog, path: str) -> App:
    """The application in a path such as `fal-ai/flux/dev/stream`; raises a Fault where none is."""
    name = path.strip("/")
    page = page_of(catalog, name)
    if page is None:
        return _above(catalog, name)
    id = page.id if page.id in PAGES else _weights(catalog, page.id)
    return App(page, replace(catalog.find(id), id=page.id))


def _above(catalog: Catalog, path: str) -> App:
    """The application that a path is none of; raises a Fault where there is no application."""
    parts = path.split("/")
    for length in range(len(parts) - 1, 1, -1):
        name = "/".join(parts[:length])
        if name in PAGES and catalog.serves(name):
            return App(PAGES[name], catalog.find(name), "/".join(parts[length:]))
    if len(parts) > 1 and (made := made_by(path)) != "images":
        message = f"{path:.200} makes {made}, and nothing but images is made here"
        raise Fault(Kind.NOT_FOUND, f"{message}; name an application that makes images")
    name = parts[1] if len(parts) > 1 else parts[0]
    raise Fault(Kind.NOT_FOUND, f'Application "{name:.80}" not found')


def routed(catalog: Catalog, path: str) -> App:
    """The application that Hugging Face's router means: any that the catalog serves.

    The prefix of fal's own applications may be missing.
    """
    names = path.strip("/"), f"fal-ai/{path.strip('/')}"
    for name in names:
        if name in PAGES and catalog.serves(name):
            page = PAGES[name]
            return App(page, catalog.find(name), "", router_page(page))
    known = [id for name in names if (id := named_by("fal-ai", name)) is not None]
    model = known[0] if known else names[0]
    if "/" not in model:
        raise Fault(Kind.NOT_FOUND, f'Application "{model:.80}" not found')
    endpoint = catalog.find(hub_models.weights(model))
    return App(router_page(general.page(model)), endpoint)


def read(
    app: App,
    headers: Headers,
    body: bytes,
    base: str,
    caller: str,
    webhook_url: str | None,
    unknown: UnknownFields,
) -> Submission:
    """Raises InvalidInput for a wrong input, a Fault for all else."""
    if app.rest:
        raise Fault(Kind.NOT_FOUND, f"Path /{app.rest:.80} not found")
    ttl_seconds, public = lifecycle_of(headers)
    generation, state = _generation(app, json_body.parse(json_body.text(body)), base, unknown)
    return Submission(
        generation,
        app.endpoint.source,
        dialect=DIALECT,
        caller=caller,
        priority=PRIORITIES.get(headers.get("x-fal-queue-priority", ""), Priority.NORMAL),
        begin_within=_start_timeout(headers),
        webhook_url=webhook_url,
        ttl_seconds=ttl_seconds,
        public=public,
        retain_prompt=headers.get("x-fal-store-io") != "0",
        dialect_state=state,
        cacheable=False,
        wait_for_model=True,
    )


def spoken(app: App, value: Any, caller: str, local: bool, unknown: UnknownFields) -> Submission:
    """What a realtime connection asks for, which is to be sent over it."""
    generation, state = _generation(app, value, "", unknown)
    return Submission(
        generation,
        app.endpoint.source,
        dialect=DIALECT,
        caller=caller,
        priority=Priority.INTERACTIVE,
        cancel_on_disconnect=True,
        ttl_seconds=SPOKEN_KEPT,
        local=local,
        dialect_state=state,
        cacheable=False,
        wait_for_model=True,
    )


def _generation(
    app: App, value: Any, base: str, unknown: UnknownFields
) -> tuple[Generation, dict[str, Any]]:
    """What an input asks for, and what its output needs to know."""
    page = app.page_for(value)
    value, dropped = page.understand(value)
    _pass_over(dropped, value, unknown)
    params = _params(page, value, unknown)
    safety = SafetyCheck(wanted=getattr(params, "enable_safety_checker", None))
    draft = replace(_with_own(page.draft(params), base), safety=safety)
    state = {
        "app": app.page.id,
        "base": base,
        "sync": bool(getattr(params, "sync_mode", False)),
    }
    return app.endpoint.generation(draft), state


def _with_own(draft: Draft, base: str) -> Draft:
    """With the names of what lies here, in the place of its addresses."""
    control, adapter = draft.control, draft.ip_adapter
    if control is not None:
        steering, path = (own(each, base) or "" for each in (control.image, control.path))
        control = replace(control, image=steering, path=path)
    if adapter is not None:
        shown, path = (own(each, base) or "" for each in (adapter.image, adapter.path))
        within, encoder = (own(each, base) for each in (adapter.mask, adapter.encoder_path))
        adapter = replace(adapter, image=shown, path=path, mask=within, encoder_path=encoder)
    references, styles = (
        tuple(own(each, base) or "" for each in images)
        for images in (draft.references, draft.style_images)
    )
    image, mask = own(draft.image, base), own(draft.mask, base)
    draft = replace(draft, image=image, mask=mask, control=control, ip_adapter=adapter)
    return replace(draft, references=references, style_images=styles)


def _pass_over(names: tuple[str, ...], value: Any, unknown: UnknownFields) -> None:
    """Has fields named that a page drops; raises InvalidInput where nothing is to be dropped."""
    refused = [name for name in names if not unknown.passes(value, (name,))]
    if refused:
        message = "the general page reads no such field, or no such value; leave it out"
        raise InvalidInput([InputError((name,), message, "extra_forbidden") for name in refused])
    unknown.names.extend(names)


def _params(page: ModelPage[Any], value: Any, unknown: UnknownFields) -> BaseModel:
    params: BaseModel = parsed(page.Input, value, unknown)
    if at_odds := page.at_odds(params):
        raise InvalidInput([InputError(loc, why, "value_error") for loc, why in at_odds])
    if lacking := page.unsupported(params):
        raise InvalidInput([InputError(loc, why, "feature_not_supported") for loc, why in lacking])
    return params


def parsed(model: type[Body], value: Any, unknown: UnknownFields) -> Body:
    """An input as a `model`; raises InvalidInput for what is wrong with it."""
    try:
        return unknown.take(model, value)
    except ValidationError as error:
        known = ", ".join(model.model_fields)
        raise InvalidInput([_detail(each, known) for each in error.errors()]) from None


def _detail(error: Any, known: str) -> InputError:
    loc, type = tuple(error["loc"]), error["type"]
    if type == "extra_forbidden":
        name = str(loc[-1])
        message = f"unknown field {name!r:.80}"
        return InputError(loc, f"{message}; known are {known}" if len(loc) == 1 else message, type)
    return InputError(
        loc, json_body.wrong(error), TYPES.get(type, type), _context(type, error.get("ctx"))
    )


def _context(type: str, facts: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not facts:
        return None
    if type == "literal_error":
        return {"expected": re.findall(r"'([^']*)'", str(facts["expected"]))}
    return {
        name: value for name, value in facts.items() if isinstance(value, str | int | float | list)
    }


def _start_timeout(headers: Headers) -> float | None:
    for name in START_TIMEOUTS:
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value)
        except ValueError:
            seconds = float("nan")
        if not LEAST_TIMEOUT < seconds < float("inf"):
            raise invalid(name, f"{name}: {value!r:.80} is not a number of seconds above 0.1")
        return seconds
    return None


def credential(headers: Headers) -> None:
    """Raises a Fault, in the words of fal's queue, where an Authorization is not of its form."""
    if not formed(headers):
        raise Fault(Kind.DENIED, "Invalid Key Authorization header format. Expected 'Key <key>'.")
