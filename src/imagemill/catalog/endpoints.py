"""Endpoints as data: what is painted where the caller leaves something open."""

from dataclasses import dataclass

from imagemill.generation import Defaults, Draft, Generation
from imagemill.pipelines.families import EMBEDDED

# The embedded model by its own names, never standing in.
OWN_ID, FAST_ID = "imagemill/pico", "imagemill/pico-fast"


PICO = Defaults(512, 512, 12, 4.0)
OWN = {OWN_ID: PICO, FAST_ID: Defaults(512, 512, 4, 1.0)}
WEIGHTS = Defaults(1024, 1024, 28, 4.0)  # of a configured model that has no line below

# What the models' own cards recommend.
KNOWN: dict[str, Defaults] = {
    "HiDream-ai/HiDream-I1-Fast": Defaults(1024, 1024, 16, 1.0),
    "HiDream-ai/HiDream-I1-Full": Defaults(1024, 1024, 50, 5.0),
    "black-forest-labs/FLUX.1-dev": Defaults(1024, 1024, 28, 3.5),
    "black-forest-labs/FLUX.1-schnell": Defaults(1024, 1024, 4, 0.0),
    "stabilityai/stable-diffusion-3-medium-diffusers": Defaults(1024, 1024, 28, 7.0),
    "stabilityai/stable-diffusion-3.5-large": Defaults(1024, 1024, 28, 3.5),
    "stabilityai/stable-diffusion-xl-base-1.0": Defaults(1024, 1024, 50, 5.0),
}


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
        """What is to be painted, with what the caller left open; a seed left open is drawn."""
        return draft.complete(self.id, self.defaults)


def stands_in(model: str, source: str) -> bool:
    """Whether the embedded model answers for a model that is another."""
    return source == EMBEDDED and model not in OWN
