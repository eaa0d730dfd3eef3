"""Endpoints as data: what is painted where the caller leaves something open."""

from dataclasses import dataclass

from imagemill.catalog.models import OWN
from imagemill.errors import Fault, Kind
from imagemill.generation import Defaults, Draft, Generation
from imagemill.pipelines.families import EMBEDDED

NO_CONTROLNET = (
    "the embedded model takes no ControlNet; leave it out, or have the operator configure weights "
    "for this model"
)


@dataclass(frozen=True)
class Endpoint:
    """One public model id.

    source: the address of what serves it (see `model_spec`). version: changes with the weights.
    """

    id: str
    source: str
    defaults: Defaults
    version: str

    @property
    def stands_in(self) -> bool:
        """Whether the embedded model answers for another."""
        return stands_in(self.id, self.source)

    def generation(self, draft: Draft) -> Generation:
        """What is to be painted, with what the caller left open; a seed left open is drawn.

        Raises a Fault where a value is out of range, or what serves the id cannot follow it.
        """
        if draft.control is not None and self.source == EMBEDDED:
            raise Fault(Kind.UNSUPPORTED, NO_CONTROLNET, "control")
        return draft.complete(self.id, self.defaults)


def stands_in(model: str, source: str) -> bool:
    """Whether the embedded model answers for a model that is another."""
    return source == EMBEDDED and model not in OWN
