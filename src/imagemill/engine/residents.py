"""Which models lie in memory, and whether one more has room: sums of bytes, no torch."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from imagemill.engine.footprints import Footprint
from imagemill.errors import Fault, Kind

GB = 1e9


@dataclass
class Residents:
    """budget: bytes for the models on a device, None where that is not bounded."""

    budget: Callable[[str], int | None] = lambda _device: None
    held: dict[str, Footprint] = field(default_factory=dict)  # by source, on their way ones too

    def used(self, device: str, without: Iterable[str] = ()) -> int:
        """Bytes; what several have in common counts once."""
        return sum(self._parts(device, set(without)).values())

    def fits(self, wanted: Footprint, without: Iterable[str] = ()) -> bool:
        """Whether there is room for it, if others were not there."""
        budget = self.budget(wanted.device)
        parts = self._parts(wanted.device, set(without)) | dict(wanted.parts)
        return budget is None or sum(parts.values()) <= budget

    def over(self, device: str) -> bool:
        budget = self.budget(device)
        return budget is not None and self.used(device) > budget

    def refusal(self, wanted: Footprint) -> Fault | None:
        """Of a model that has no room even where all others are gone that may go."""
        others = [source for source, each in self.held.items() if not each.keep]
        if self.fits(wanted, others):
            return None
        budget, device = self.budget(wanted.device) or 0, wanted.device
        kept = self.used(device, others)
        beside = f", of which {kept / GB:.2f} GB are kept for others" if kept else ""
        return Fault(
            Kind.UNSUPPORTED,
            f"this model takes {wanted.bytes / GB:.2f} GB, and the server has {budget / GB:.2f} GB "
            f"for models on {device}{beside}; ask for another model, or have the operator raise "
            "`memory`, quantize this one or choose an offload",
        )

    def _parts(self, device: str, without: set[str]) -> dict[Hashable, int]:
        there = (
            each.parts
            for source, each in self.held.items()
            if each.device == device and source not in without
        )
        return {key: size for parts in there for key, size in parts.items()}


def budgets(own: str, memory: int | None, available: Callable[[str], int]) -> Callable[[str], int]:
    """memory: what the operator gives to models on the engine's own device. available: what
    there is for models on any.
    """
    known: dict[str, int] = {}

    def budget(device: str) -> int:
        if device == own and memory is not None:
            return memory
        if device not in known:
            known[device] = available(device)
        return known[device]

    return budget
