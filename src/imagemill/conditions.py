"""What an image is to be besides its prompt: a ControlNet's or an IP-Adapter's image, colours,
a style, what a safety checker lets through.
"""

from dataclasses import dataclass

from imagemill.errors import invalid
from imagemill.value_checks import LONGEST_NAME, LONGEST_URL, check_length, check_range

LEVELS = 16  # of each number of a style, a hexadecimal digit
# A style: eight levels, 0 to 15; `finishing.style_vectors` says of what.
StyleVector = tuple[float, ...]
STYLE_NUMBERS = 8


def check_style(name: str, vector: StyleVector | None) -> None:
    """Raises a Fault where a style has other numbers than eight levels."""
    if vector is None:
        return
    if len(vector) != STYLE_NUMBERS:
        raise invalid(name, f"a style has {STYLE_NUMBERS} levels; {len(vector)} were given")
    for level in vector:
        check_range(name, level, 0, LEVELS - 1)


def style_code(vector: StyleVector) -> str:
    """The eight digits of a style, a rounded level each, as `9468878f`."""
    return "".join(f"{round(level):x}" for level in vector)


@dataclass(frozen=True)
class StoredStyle:
    """A style that a caller made of images."""

    #: A UUID, which nobody guesses.
    id: str
    #: As in Submission; who alone may use it.
    caller: str
    #: How it looks.
    vector: StyleVector
    #: The preset that it stands on; None for none.
    preset: str | None
    #: When it was made, in seconds since 1970.
    created: float


@dataclass(frozen=True)
class Control:
    """An image that steers the composition, and a ControlNet that reads it; checked as below."""

    #: The image that is followed: a URL, or a stored file.
    image: str
    #: The ControlNet: an alias of the operator's, a URL of its file, or a Hub id.
    path: str
    #: How strongly it is followed, 0 to 2; 0 changes nothing.
    scale: float = 1.0
    #: Shares of the steps, 0 to 1, between which it is followed.
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        for name, most in (("scale", 2), ("start", 1), ("end", 1)):
            check_range(f"control.{name}", getattr(self, name), 0, most)
        if self.start > self.end:
            what = f"starts at {self.start:g} of the steps and ends at {self.end:g}"
            raise invalid("control.start", f"the control {what}; let it start before it ends")
        check_length("control.path", self.path, LONGEST_URL)

    @property
    def acts(self) -> bool:
        """Whether it changes anything."""
        return self.scale > 0 and self.start < self.end


@dataclass(frozen=True)
class ImagePrompt:
    """An image whose look is taken on, and an IP-Adapter that reads it; checked as below."""

    #: The reference: a URL, or a stored file.
    image: str
    #: The adapter: an alias of the operator's, a URL of its file, or a Hub id.
    path: str
    #: Within a Hub id or a folder: the folder and the file of the adapter; None for the usual ones.
    subfolder: str | None = None
    weight_name: str | None = None
    #: The image encoder: a Hub id or an alias, its folder and its file; None for the adapter's own.
    encoder_path: str | None = None
    encoder_subfolder: str | None = None
    encoder_weight_name: str | None = None
    #: Where it acts: an image, whose values from the threshold on, 0 to 1, are within.
    mask: str | None = None
    mask_threshold: float = 0.5
    #: How strongly it is followed, 0 to 2; 0 changes nothing.
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_range("ip_adapter.mask_threshold", self.mask_threshold, 0, 1)
        check_range("ip_adapter.scale", self.scale, 0, 2)
        check_length("ip_adapter.path", self.path, LONGEST_URL)
        for name in ("subfolder", "weight_name", "encoder_subfolder", "encoder_weight_name"):
            check_length(f"ip_adapter.{name}", getattr(self, name) or "", LONGEST_NAME)
        check_length("ip_adapter.encoder_path", self.encoder_path or "", LONGEST_URL)

    @property
    def acts(self) -> bool:
        """Whether it changes anything."""
        return self.scale > 0


@dataclass(frozen=True)
class Swatch:
    """A colour that a picture shall have, 0 to 255 each, and its share against others, 0 to 1."""

    red: int
    green: int
    blue: int
    weight: float = 0.5


@dataclass(frozen=True)
class SafetyCheck:
    """Whether finished images are looked at by a safety checker, and what becomes of those that it
    flags.
    """

    #: None: only by a checker that comes with the model's weights.
    wanted: bool | None = None
    #: How much is let through, 0 to 1: at 0.5 as much as the operator's threshold says.
    tolerance: float = 0.5
    #: Flagged images are left out, and a generation with no other fails; else they are black.
    drops: bool = False


USUAL_SAFETY = SafetyCheck()
