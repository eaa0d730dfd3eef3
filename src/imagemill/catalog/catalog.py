"""Which endpoint a model id means, and what serves it."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace

from imagemill.catalog.endpoints import Endpoint
from imagemill.catalog.media import made_by
from imagemill.catalog.models import ENDPOINTS, OWN, OWN_ID, PICO, Model, defaults_of
from imagemill.catalog.usual import usual
from imagemill.catalog.versions import fingerprint
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import Defaults
from imagemill.model_spec import ModelSpec
from imagemill.pipelines.families import EMBEDDED

_STAND_IN = ModelSpec(EMBEDDED)
# owner/name, a name alone as OpenAI's, or an application of fal's with a path below it.
_ID = re.compile(r"[A-Za-z0-9][\w.:-]{0,95}(/[\w.:-]{1,96}){0,7}", re.ASCII)


class Catalog:
    """`models` maps an id to what serves it: a folder, a file or a Hub id, or all that is said of
    it.

    For all others the embedded model stands in, unless their names say that they make no images, or
    they are missing.
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

    def find(self, id: str) -> Endpoint:
        """What serves a model by any public name; raises a Fault where nothing does."""
        if not _named(id):
            raise Fault(Kind.NOT_FOUND, f"{id!r:.200} is not a model id; ids look like owner/name")
        spec = self._spec(id)
        if spec is None:
            raise self._missing(id)
        return self._endpoint(id, spec, ENDPOINTS[id].id if id in ENDPOINTS else id)

    def serves(self, id: str) -> bool:
        """Whether `find` finds it."""
        return _named(id) and self._spec(id) is not None

    def _spec(self, id: str) -> ModelSpec | None:
        """What is configured for a name, for the weights that it stands for, or for an application
        that it is a path of; else the embedded model, where that may stand in.
        """
        weights = ENDPOINTS[id].weights if id in ENDPOINTS else None
        for name in (id, weights, *_above(id)):
            if name in self._models:
                return self._models[name]
        paints = id in ENDPOINTS or made_by(id) == "images"
        return _STAND_IN if self._stand_ins and paints else None

    def _missing(self, id: str) -> Fault:
        made = made_by(id)
        if self._stand_ins and made != "images":
            message = f"{id} makes {made}, and nothing but images is made here"
            way_out = "name a model that makes images, or configure one by this id"
            return Fault(Kind.NOT_FOUND, f"{message}; {way_out}")
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
    return bool(_ID.fullmatch(id)) and not {".", ".."} & {*id.split("/")}


def _above(id: str) -> Iterator[str]:
    """The applications that an id is a path of, the nearest first."""
    parts = id.split("/")
    for length in range(len(parts) - 1, 1, -1):
        yield "/".join(parts[:length])


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
