"""The log of a request at an upstream, as it is passed on: what is new of it, and how far it is."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagemill.engine.events import Event, Progress, Remark

MOST_LINES, LONGEST_LINE = 200, 300  # that are passed on, and characters of one

# As imagemill and tqdm write how far they are.
_STEPS = re.compile(r"step (\d{1,6}) of (\d{1,6})|\d{1,3}%\|[^|]*\|\s*(\d{1,6})/(\d{1,6})")


@dataclass
class Journal:
    """What has been passed on of one request."""

    #: Of the upstream.
    name: str
    #: What of a line may be shown.
    cleared: Callable[[str], str]
    _seen: int = 0  # lines
    _remarks: int = 0

    def news(self, lines: Sequence[str]) -> list[Event]:
        """What is new. lines: all so far."""
        fresh, self._seen = lines[self._seen :], max(self._seen, len(lines))
        events = (self._event(line) for line in fresh)
        return [event for event in events if event is not None]

    def _event(self, line: str) -> Event | None:
        if (progress := _progress(line)) is not None:
            return progress
        text = self.cleared(line)[:LONGEST_LINE]
        if not text or self._remarks >= MOST_LINES:
            return None
        self._remarks += 1
        return Remark(f"{self.name}: {text}")


def _progress(line: str) -> Progress | None:
    if (match := _STEPS.search(line)) is None:
        return None
    step, steps = (int(each) for each in match.groups() if each is not None)
    return Progress(min(step, steps), steps) if steps else None
