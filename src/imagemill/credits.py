"""Credits: what an image costs, in whole micro-credits, and what stands in the ledger for it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from imagemill.generation import Generation

MICRO = 1_000_000  # micro-credits of a credit
ALL = "*"  # in a table of prices, models that are not named
VECTORS = 2  # times the price, of an image in SVG


@dataclass(frozen=True)
class Price:
    """What a model's images cost; in micro-credits, 0 or more."""

    #: For each image.
    image: int = 0
    #: For each step over a million pixels of the finished image.
    megapixel_step: int = 0

    def of(self, generation: Generation) -> int:
        """For the whole of a generation. What has the size of an image that is not read yet costs
        what its endpoint's usual size does.
        """
        work = generation.width * generation.height * generation.steps * self.megapixel_step
        each = self.image - -work // 10**6  # rounded up
        return each * generation.num_images * (VECTORS if generation.format == "svg" else 1)


@dataclass(frozen=True)
class Prices:
    """By model, or ALL; what is not there costs nothing."""

    by_model: Mapping[str, Price] = field(default_factory=dict)

    def of(self, generation: Generation) -> int:
        """In micro-credits."""
        price = self.by_model.get(generation.model) or self.by_model.get(ALL)
        return 0 if price is None else price.of(generation)


def shown(amount: int) -> str:
    """Micro-credits as credits, with the decimals that are needed: `12.5`."""
    whole, rest = divmod(abs(amount), MICRO)
    decimals = f".{rest:06}".rstrip("0").rstrip(".")
    return f"{'-' if amount < 0 else ''}{whole}{decimals}"


def read(text: str) -> int:
    """Credits as they are written, in micro-credits; raises ValueError for other text, and for more
    than six decimals.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r:.80} is no amount of credits")
    return int(match["whole"]) * MICRO + int((match["decimals"] or "").ljust(6, "0"))


_AMOUNT = re.compile(r"(?P<whole>[0-9]{1,12})(\.(?P<decimals>[0-9]{1,6}))?")
