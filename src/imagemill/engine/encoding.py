"""From finished pixels to finished files, with what made them written inside."""

from imagemill import images
from imagemill.engine.runner import Painting
from imagemill.generation import Painted
from imagemill.pipelines.families import EMBEDDED


def encode(painting: Painting, now: float) -> Painted:
    """now: on the runner's clock."""
    asked = painting.generation
    served_by = EMBEDDED if painting.loaded.source == EMBEDDED else asked.model
    return Painted(
        pictures=tuple(
            images.encode(
                picture, asked.format, images.provenance(asked, asked.seed_of(index), served_by)
            )
            for index, picture in sorted(painting.pictures.items())
        ),
        seconds=now - painting.began,
        served_by=served_by,
        ignored=painting.loaded.unknown(asked.prompt),
    )
