"""Styles: what style references have in common, and styles that callers make of images and name."""

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from imagemill.conditions import StoredStyle, StyleVector
from imagemill.errors import Fault, Kind, invalid
from imagemill.finishing import STYLES, style_vectors
from imagemill.generation import Generation
from imagemill.images.decode import open_image
from imagemill.images.geometry import flattened
from imagemill.images.kinds import kind_of
from imagemill.store.styles import StyleTable
from imagemill.threads import DECODING

KINDS = ("PNG", "JPEG", "WebP")  # of files that style references come in
MOST_BYTES = 10 * 2**20  # of all style references of one call
MOST_IMAGES = 5  # that one style is made of
FAMILIES = ("realistic_image", "digital_illustration", "vector_illustration")
PLAIN = re.compile(r"[a-z_]+(/[a-z0-9_]+)?", re.ASCII)


def check_references(field: str, sizes: Sequence[int]) -> None:
    """Raises a Fault where style references have more bytes than are read, all together."""
    if sum(sizes) > MOST_BYTES:
        message = f"the style references have {sum(sizes)} bytes, where all of them together may"
        raise invalid(field, f"{message} have {MOST_BYTES} (10 MB); give fewer or smaller ones")


def vector_of(contents: Mapping[str, bytes]) -> StyleVector:
    """What images have in common, as they came, by the field that a Fault is to name."""
    return style_vectors.mean([_measured(content, field) for field, content in contents.items()])


def _measured(content: bytes, field: str) -> StyleVector:
    kind = kind_of(content)
    if kind is not None and kind not in KINDS:
        message = f"a style reference is a {kind} file; give {', '.join(KINDS[:-1])} or {KINDS[-1]}"
        raise Fault(Kind.UNREADABLE, message, field)
    return style_vectors.measure(np.asarray(flattened(open_image(content, field))))


def base_preset(base: str, field: str) -> str | None:
    """The preset of a base style of Recraft's, that of its family where it has none of its own, and
    none for `any`; raises a Fault that names the field.
    """
    if base == "any":
        return None
    family = base.partition("/")[0]
    if family not in FAMILIES or not PLAIN.fullmatch(base):
        known = f"any, {', '.join(FAMILIES[:-1])} or {FAMILIES[-1]}"
        raise invalid(field, f"unknown {field} {base!r:.80}; give {known}, or one of their styles")
    preset = f"recraft/{base}"
    return preset if preset in STYLES else f"recraft/{family}"


@dataclass(frozen=True)
class Styles:
    """The styles that callers made, each of them its caller's own."""

    table: StyleTable
    #: The time of day, in seconds since 1970.
    now: Callable[[], float]
    #: Seconds that a style is kept.
    age: float

    async def make(
        self, contents: Sequence[bytes], field: str, caller: str, preset: str | None = None
    ) -> StoredStyle:
        """A new style of one to MOST_IMAGES images; raises a Fault where they are none.

        preset: the preset that it stands on.
        """
        if not 1 <= len(contents) <= MOST_IMAGES:
            message = f"{len(contents)} images came; a style is made of 1 to {MOST_IMAGES}"
            raise invalid(field, f"{message}; give so many")
        check_references(field, [len(content) for content in contents])
        named = {f"{field}.{number}": content for number, content in enumerate(contents)}
        vector = await DECODING.run(vector_of, named)
        now = self.now()
        style = StoredStyle(str(uuid.uuid4()), caller, vector, preset, now)
        await self.table.add(style, now - self.age)
        return style

    async def find(self, id: str, caller: str) -> StoredStyle | None:
        """The caller's style of that id, in whatever way the UUID is written."""
        try:
            plain = str(uuid.UUID(id))
        except ValueError:
            return None
        return await self.table.get(plain, caller, self.now() - self.age)

    async def applied(self, generation: Generation, caller: str) -> Generation:
        """The generation with the style that it names; raises a Fault where there is none."""
        if generation.style_id is None:
            return generation
        style = await self.find(generation.style_id, caller)
        if style is None:
            message = f"there is no style {generation.style_id!r:.80} of this caller, or no longer"
            raise invalid("style_id", f"{message}; make one of images first")
        preset = generation.style or style.preset
        return replace(generation, style_id=None, style_vector=style.vector, style=preset)
