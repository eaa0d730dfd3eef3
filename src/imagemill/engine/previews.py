"""What is shown of a picture before it is finished, and when."""

from imagemill.images.encode import thumbnail
from imagemill.pipelines.inputs import Picture

SIDE = 256  # px at most
TIMES = 4  # in the course of a picture, the finished one included


def due(step: int, steps: int) -> bool:
    """Whether another quarter ends with this step; the last is shown by the picture itself."""
    return step < steps and step * TIMES // steps > (step - 1) * TIMES // steps


def small(picture: Picture) -> bytes:
    return thumbnail(picture, SIDE)
