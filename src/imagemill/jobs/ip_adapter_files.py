"""Where the IP-Adapters lie that callers name, and their image encoders: the operator's, by alias,
or files that are brought.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from imagemill.conditions import ImagePrompt
from imagemill.errors import invalid
from imagemill.generation import LoraFile
from imagemill.jobs.weight_files import ADDRESS, SUFFIX, WeightFiles

ENCODER_FOLDER = "image_encoder"  # in which diffusers looks for an adapter's own
_NAME = re.compile(r"(?:[\w-][\w.-]*/)*[\w-][\w.-]*", re.ASCII)  # within a folder, or a Hub id

# Gets a file that is named: where such files lie, its path and its name within a Hub id.
Bring = Callable[[WeightFiles, str, str | None], Awaitable[LoraFile]]


@dataclass(frozen=True)
class NamedWeights:
    """What a caller names: a path, and within a folder or a Hub id a folder and a file."""

    path: str
    subfolder: str | None
    file: str | None

    def inside(self, usual: str | None) -> str:
        """The way to the file below the path, or to the folder where no file is meant."""
        return "/".join(each for each in (self.subfolder, self.file or usual) if each)


@dataclass(frozen=True)
class AdapterFiles:
    """adapters, encoders: that callers bring, by URL or of the Hub."""

    #: By alias, a folder, a file or a Hub id, as the operator's settings have it.
    aliases: Mapping[str, str]
    adapters: WeightFiles
    encoders: WeightFiles

    async def places(
        self, said: ImagePrompt, bring: Bring
    ) -> tuple[tuple[str, str], tuple[LoraFile, ...]]:
        """Where the adapter and its encoder lie on this machine, and the files that were brought,
        which lie there as long as they are held.
        """
        weights = NamedWeights(said.path, said.subfolder, said.weight_name)
        encoder = NamedWeights(
            said.encoder_path or said.path, said.encoder_subfolder, said.encoder_weight_name
        )
        if said.encoder_path is None:
            encoder = self._beside(said, encoder)
        places = [
            await self._place(self.adapters, weights, bring, self.adapters.kind.hub_file),
            await self._place(self.encoders, encoder, bring, None),
        ]
        brought = tuple(each for each in places if isinstance(each, LoraFile))
        adapter, image_encoder = (
            str(each.path if isinstance(each, LoraFile) else each) for each in places
        )
        return (adapter, image_encoder), brought

    def _beside(self, said: ImagePrompt, encoder: NamedWeights) -> NamedWeights:
        """The adapter's own encoder, where diffusers looks for it."""
        target = self.aliases.get(said.path, said.path)
        if ADDRESS.match(target) or target.endswith(SUFFIX):
            message = "this IP-Adapter comes without an image encoder; name that, too"
            raise invalid(self.encoders.kind.field, message)
        subfolder = said.encoder_subfolder or "/".join(
            each for each in (said.subfolder, ENCODER_FOLDER) if each
        )
        return NamedWeights(encoder.path, subfolder, encoder.file)

    async def _place(
        self, files: WeightFiles, named: NamedWeights, bring: Bring, usual: str | None
    ) -> Path | LoraFile:
        target = self.aliases.get(named.path, named.path)
        own = Path(target).expanduser()
        if named.path not in self.aliases or not own.exists():
            return await bring(files, target, named.inside(usual or files.kind.hub_file))
        if own.is_file():
            return own
        inside = named.inside(usual)
        place = own / inside if not inside or _NAME.fullmatch(inside) else None
        if place is None or not place.exists():
            message = f"{named.path!r:.80} has no {inside!r:.80} here; name what is in it"
            raise invalid(files.kind.field, message)
        return place
