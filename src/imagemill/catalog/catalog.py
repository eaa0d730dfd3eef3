"""Which endpoint a model id means, and what serves it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from imagemill.catalog.endpoints import KNOWN, OWN, OWN_ID, PICO, WEIGHTS, Endpoint
from imagemill.catalog.pages import PAGES, Page
from imagemill.catalog.usual import usual
from imagemill.catalog.versions import fingerprint
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import Defaults
from imagemill.model_spec import ModelSpec
from imagemill.pipelines.families import EMBEDDED

_STAND_IN = ModelSpec(EMBEDDED)
USUAL = "fal-ai/flux/dev"  # whose schema is the most usual one
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}", re.ASCII)  # as OpenAI's, which have no owner


class Catalog:
    """`models` maps an id to what serves it: a folder, a file or a Hub id, or all that is said of
    it.

    For all others the embedded model stands in, or they are missing.
    """

    def __init__(
        self,
        models: Mapping[str, str | ModelSpec],
        stand_ins: bool,
        fingerprint: Callable[[str], str] = fingerprint,
    ) -> None:
        self._models = {id: ModelSpec(EMBEDDED) for id in OWN} | _by_name(models)
        self._stand_ins = stand_ins
        self._fingerprint = fingerprint
        self._usual: dict[str, Defaults] = {}  # by address, of weights that are here
        self._versions: dict[str, str] = {}  # of sources, taken at first use
        self.default = next(iter(models), OWN_ID)

    def page(self, id: str) -> Page[Any] | None:
        """The page of an endpoint; a model that is configured and has none gets a usual one."""
        if id in PAGES or id not in self._models:
            return PAGES.get(id)
        return replace(PAGES[USUAL], id=id, title=id, description=f"The model {id}.", weights=None)

    def pages(self) -> list[Page[Any]]:
        """All that can be served."""
        ids = dict.fromkeys([*self._models, *PAGES])
        found = [page for id in ids if (page := self.page(id)) is not None]
        return [page for page in found if self._spec(page)]

    def serving(self, page: Page[Any]) -> Endpoint:
        """What serves a page."""
        spec = self._spec(page)
        if spec is None:
            raise self._missing(page.id)
        return self._endpoint(page.id, spec, page.weights or page.id)

    def _spec(self, page: Page[Any]) -> ModelSpec | None:
        for id in (page.id, page.weights):
            if id in self._models:
                return self._models[id]
        return _STAND_IN if self._stand_ins else None

    def find(self, id: str) -> Endpoint:
        """What serves a model id; raises a Fault where nothing does."""
        if not _named(id):
            raise Fault(Kind.NOT_FOUND, f"{id!r:.200} is not a model id; ids look like owner/name")
        if not self.serves(id):
            raise self._missing(id)
        return self._endpoint(id, self._models.get(id) or _STAND_IN, id)

    def serves(self, id: str) -> bool:
        """Whether `find` finds it."""
        return _named(id) and (self._stand_ins or bool(self._models.get(id)))

    def _missing(self, id: str) -> Fault:
        there = ", ".join(self._models)
        return Fault(Kind.NOT_FOUND, f"model {id} is not available here; there are {there}")

    def _endpoint(self, id: str, spec: ModelSpec, weights: str) -> Endpoint:
        told = OWN.get(id, PICO) if spec.source == EMBEDDED else self._told(spec, weights)
        chosen = {name: value for name, value in asdict(spec.defaults).items() if value is not None}
        return Endpoint(id, spec.address, replace(told, **chosen), self._version(spec.address))

    def _told(self, spec: ModelSpec, weights: str) -> Defaults:
        """As the weights tell; as the id does where they are not here yet."""
        told = self._usual.get(spec.address) or usual(spec)
        if told is None:
            return KNOWN.get(weights, WEIGHTS)
        self._usual[spec.address] = told
        return told

    def _version(self, source: str) -> str:
        if source not in self._versions:
            self._versions[source] = self._fingerprint(source)
        return self._versions[source]


def _named(id: str) -> bool:
    return bool(_ID.fullmatch(id) or _NAME.fullmatch(id))


def _by_name(models: Mapping[str, str | ModelSpec]) -> dict[str, ModelSpec]:
    """What serves each id and each alias; raises a Fault where a name is none, or stands twice."""
    served: dict[str, ModelSpec] = {}
    for id, said in models.items():
        spec = said if isinstance(said, ModelSpec) else ModelSpec(said)
        for name in (id, *spec.aliases):
            if not _named(name):
                raise invalid("models", f"{name!r:.200} is not a model id; write it owner/name")
            if name in served or (name in models and name != id):
                raise invalid("models", f"{name} stands for two models; leave it out at one")
            served[name] = spec
    return served
