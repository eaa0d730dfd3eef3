"""Images that come beside a prompt: what is painted over, and what an edit reads.

An image with a mask, or with a strength, is painted over; without, the prompt tells what is to be
changed in it, as in every API that edits.
"""

from collections.abc import Iterable
from dataclasses import replace

from imagemill.errors import invalid
from imagemill.generation import MAX_REFERENCES, Draft
from imagemill.http.identity import own

REFERENCES = "references"  # the canonical name of what an edit reads, and of its members' beginning


def names_of_images(name: str) -> dict[str, str]:
    """A dialect's name for images, by the canonical names that an edit's images have in faults."""
    return {REFERENCES: name} | {f"{REFERENCES}.{i}": name for i in range(MAX_REFERENCES)}


def with_images(draft: Draft, images: Iterable[str], base: str = "") -> Draft:
    """The draft with the images that came, files of ours by their names; each of them counts once.

    base: as of `base_of`; empty where the names come later. Raises a Fault where several are to be
    painted over.
    """
    names = tuple(dict.fromkeys(own(each, base) or "" for each in images))
    if not names:
        return draft
    if draft.mask is None and draft.strength is None:
        return replace(draft, references=names)
    if len(names) > 1:
        message = f"{len(names)} images are given; one can be painted over here; give that one"
        raise invalid("image", f"{message}, or neither a mask nor a strength")
    return replace(draft, image=names[0])
