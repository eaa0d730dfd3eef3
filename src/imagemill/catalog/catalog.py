"""Which endpoint a model id means, and what serves it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

from imagemill.catalog.endpoints import Endpoint
from imagemill.catalog.models import ENDPOINTS, OWN, OWN_ID, PICO, Model, defaults_of
from imagemill.catalog.usual import usual
from imagemill.catalog.versions import fingerprint
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import Defaults
from imagemill.model_spec import ModelSpec
from imagemill.pipelines.families import EMBEDDED

_STAND_IN = ModelSpec(EMBEDDED)
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

    def model(self, name: str) -> Model | None:
        """What goes by a public name: one that the table lists, or that is configured."""
        if name in ENDPOINTS or name not in self._models:
            return ENDPOINTS.get(name)
        return Model(name, title=name)

    def configured(self) -> list[str]:
        """The names that the table does not list: the operator's, and the embedded model's."""
        return [name for name in self._models if name not in ENDPOINTS]

    def names(self) -> list[str]:
        """Every public name that can be served, configured ones before others."""
        names = dict.fromkeys([*self._models, *ENDPOINTS])
        return [name for name in names if self._spec(name)]

    def models(self) -> dict[str, Model]:
        """What goes by these names, by its id."""
        models = [model for name in self.names() if (model := self.model(name)) is not None]
        return {model.id: model for model in models}

    def serving(self, name: str) -> Endpoint:
        """What serves a public name."""
        spec, model = self._spec(name), self.model(name)
        if spec is None:
            raise self._missing(name)
        return self._endpoint(name, spec, name if model is None else model.id)

    def _spec(self, name: str) -> ModelSpec | None:
        model = self.model(name)
        for id in (name, model and model.weights):
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
        defaults = _pico(id) if spec.source == EMBEDDED else self._defaults(spec, weights)
        chosen = {name: value for name, value in asdict(spec.defaults).items() if value is not None}
        return Endpoint(id, spec.address, replace(defaults, **chosen), self._version(spec.address))

    def _defaults(self, spec: ModelSpec, weights: str) -> Defaults:
        """As the weights tell; as the id does where they are not here yet."""
        defaults = self._usual.get(spec.address) or usual(spec)
        if defaults is None:
            return defaults_of(weights)
        self._usual[spec.address] = defaults
        return defaults

    def _version(self, source: str) -> str:
        if source not in self._versions:
            self._versions[source] = self._fingerprint(source)
        return self._versions[source]


def _pico(id: str) -> Defaults:
    return OWN[id].defaults if id in OWN else PICO


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
