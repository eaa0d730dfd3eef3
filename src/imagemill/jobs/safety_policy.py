"""What the operator allows: which words prompts may have, and whose images a checker looks at."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from imagemill.errors import Fault, Kind
from imagemill.job import Submission

SafetyMode = Literal["off", "on", "always"]


@dataclass(frozen=True)
class SafetyPolicy:
    """The operator's rules."""

    #: Whether images are checked: never, as the APIs and their callers have it, or all.
    mode: SafetyMode = "on"
    #: What no prompt may have, as whole words in whatever case.
    terms: tuple[str, ...] = ()

    def applied(self, submission: Submission) -> Submission:
        """The submission as it may be painted; raises a Fault of kind UNSAFE where it may not."""
        generation = submission.generation
        self.check(generation.prompt)
        if self.mode == "on":
            return submission
        safety = replace(generation.safety, wanted=self.mode == "always")
        return replace(submission, generation=replace(generation, safety=safety))

    def check(self, prompt: str) -> None:
        """Raises a Fault of kind UNSAFE where a prompt has a term."""
        match = self._pattern and self._pattern.search(folded(prompt))
        if match:
            message = f"the operator of this server allows no prompt with {match[0]!r:.80}"
            raise Fault(Kind.UNSAFE, f"{message}; say it without", "prompt")

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        return pattern(self.terms)


def pattern(terms: Iterable[str]) -> re.Pattern[str] | None:
    """Finds any of `terms` in a folded text, as whole words; None where there are none."""
    words = [term for term in (folded(each).split() for each in terms) if term]
    if not words:
        return None
    either = "|".join(r"\s+".join(map(re.escape, each)) for each in words)
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)")


def folded(text: str) -> str:
    """The same for texts that differ in case, in width or in how their letters are put together."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
