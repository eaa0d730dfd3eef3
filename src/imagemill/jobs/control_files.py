"""Where the ControlNets lie that callers name: the operator's, by alias, or a file of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagemill.jobs.weight_files import WeightFiles


@dataclass(frozen=True)
class ControlFiles:
    """files: that callers bring, by URL or of the Hub."""

    #: By alias, a folder, a file or a Hub id, as the operator's settings have it.
    aliases: Mapping[str, str]
    files: WeightFiles

    def named(self, path: str) -> str | None:
        """What an alias stands for; None for what is none."""
        source = self.aliases.get(path)
        if source is None:
            return None
        place = Path(source).expanduser()
        return str(place) if place.exists() else source
