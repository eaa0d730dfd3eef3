"""Endpoints as data: what is painted where the caller leaves something open."""

from dataclasses import dataclass, replace

from imagemill.catalog.models import OWN
from imagemill.generation import Defaults, Draft, Generation
from imagemill.pipelines.families import EMBEDDED


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

        Raises a Fault where a value is out of range. The embedded model has one ControlNet, which
        stands in for those that are named: they were made for the weights that it stands in for.
        """
        if draft.control is not None and self.source == EMBEDDED:
            draft = replace(draft, control=replace(draft.control, path=EMBEDDED))
        return draft.complete(self.id, self.defaults)


def stands_in(model: str, source: str) -> bool:
    """Whether the embedded model answers for a model that is another."""
    return source == EMBEDDED and model not in OWN
