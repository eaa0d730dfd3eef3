"""Endpoints as data: what is painted where the caller leaves something open."""

import secrets
from dataclasses import dataclass
from typing import Any

from imagemill.catalog.models import OWN, Defaults
from imagemill.generation import Format, Generation
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
        return self.source == EMBEDDED and self.id not in OWN

    def generation(
        self,
        prompt: str,
        format: Format,
        negative_prompt: str | None = None,
        width: int | None = None,
        height: int | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        scheduler: str | None = None,
        seed: int | None = None,
        **more: Any,
    ) -> Generation:
        """What was asked, None being left open; a seed left open is drawn. more: what has no
        default of an endpoint's own, by its name in Generation.
        """
        open_ = self.defaults
        return Generation(
            prompt=prompt,
            model=self.id,
            width=open_.width if width is None else width,
            height=open_.height if height is None else height,
            steps=open_.steps if steps is None else steps,
            guidance_scale=open_.guidance_scale if guidance_scale is None else guidance_scale,
            seed=secrets.randbelow(2**32) if seed is None else seed,
            negative_prompt=negative_prompt or "",
            scheduler=scheduler,
            format=format,
            **more,
        )
