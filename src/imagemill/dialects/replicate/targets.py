"""Which model a call means: by its name, by a version, or by a deployment."""

import hashlib
import re
from dataclasses import dataclass, replace

from imagemill.catalog import Catalog, Endpoint
from imagemill.dialects.replicate.predictors import PREDICTORS, Predictor, predictor
from imagemill.dialects.replicate.vocabulary import InvalidField, InvalidFields
from imagemill.errors import Fault, Kind

HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
NO_VERSION = (
    "The specified version does not exist (or perhaps you don't have permission to use it?)"
)


@dataclass(frozen=True)
class Target:
    """A model and what serves it."""

    #: What serves it.
    endpoint: Endpoint
    #: How its input is read.
    predictor: Predictor
    #: 64 hexadecimal digits: as asked for, or its own.
    version: str
    #: For the log.
    remarks: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        return self.endpoint.id


def by_model(catalog: Catalog, id: str) -> Target:
    """Raises a Fault where nothing serves the model."""
    model = predictor(id)
    endpoint = _endpoint(catalog, model)
    return Target(endpoint, model, version_of(endpoint))


def _endpoint(catalog: Catalog, model: Predictor) -> Endpoint:
    """Where the operator has configured a model by the name of its weights, those serve it."""
    try:
        endpoint = catalog.find(model.id)
    except Fault:
        if model.weights is None:
            raise
        return replace(catalog.find(model.weights), id=model.id)
    if endpoint.stands_in and model.weights is not None:
        return replace(catalog.find(model.weights), id=model.id)
    return endpoint


def version_of(endpoint: Endpoint) -> str:
    """Changes with the weights, as versions there do."""
    return hashlib.sha256(f"{endpoint.id}\n{endpoint.version}".encode()).hexdigest()


def by_version(catalog: Catalog, version: str) -> Target:
    """Of 64 hexadecimal digits, owner/name, or owner/name and digits with a colon between."""
    model, _, digits = version.rpartition(":") if ":" in version else ("", "", version)
    if not model and "/" in version:
        return by_model(catalog, version)
    if not HASH.fullmatch(digits):
        message = (
            f"version {version!r:.80} is none; give 64 hexadecimal digits, owner/name, or both"
        )
        raise InvalidFields([InvalidField("invalid", "version", f"{message} with a colon between")])
    return at_version(catalog, model, digits) if model else _of_digits(catalog, digits)


def at_version(catalog: Catalog, model: str, digits: str) -> Target:
    """A model at a version; its own stands in for one that is not known."""
    if not HASH.fullmatch(digits):
        raise Fault(Kind.NOT_FOUND, f"{digits!r:.80} is no version; there is the latest one")
    target = by_model(catalog, model)
    if target.version == digits:
        return target
    _check_strangers(catalog, digits)
    remark = f"version {digits[:12]} of {model} is not known here; {target.version[:12]} serves it"
    return replace(target, version=digits, remarks=(remark,))


def _of_digits(catalog: Catalog, digits: str) -> Target:
    for id in ids(catalog):
        if (target := by_model(catalog, id)).version == digits:
            return target
    _check_strangers(catalog, digits)
    target = by_model(catalog, catalog.default)
    remark = f"version {digits[:12]} is not known here; {target.model} serves it"
    return replace(target, version=digits, remarks=(remark,))


def _check_strangers(catalog: Catalog, digits: str) -> None:
    """A version that is not known is served where models that are not known are."""
    try:
        catalog.find(f"unknown/{digits}")
    except Fault:
        raise InvalidFields([InvalidField("invalid", "version", NO_VERSION)]) from None


def ids(catalog: Catalog) -> list[str]:
    """Of the models that can be told of: those of the operator, then those that are known."""
    own = [id for id in catalog.configured() if "/" in id]
    known = [id for id in PREDICTORS if _served(catalog, id)]
    return list(dict.fromkeys([*own, *known]))


def _served(catalog: Catalog, id: str) -> bool:
    try:
        by_model(catalog, id)
    except Fault:
        return False
    return True
