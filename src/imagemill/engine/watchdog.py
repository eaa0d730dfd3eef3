"""Whether the engine's process still gets on. Pure: seconds come in, as a running loop saw them."""

from dataclasses import dataclass

from imagemill.engine.ipc import Beat

BEAT_SECONDS = 1.0  # between two signs of life


@dataclass(frozen=True)
class Timeouts:
    """All in seconds. step: that work may be in the process without a forward that ends, and that
    the process may take until its first sign of life. silence: without a sign of life after that.
    load: that one model may take to be loaded. beat: between signs of life.
    """

    step: float = 600.0
    silence: float = 60.0
    load: float = 3600.0
    beat: float = BEAT_SECONDS


@dataclass
class Watchdog:
    """`silent` and `stuck` count what this process has seen of seconds: who sleeps with the whole
    machine, or looks away for long, counts two beats of that, and has to look again and again
    before it takes the engine for hung."""

    timeouts: Timeouts
    silent: float = 0.0
    stuck: float = 0.0
    load: float = 0.0  # of the model that is being loaded
    _beaten: bool = False
    _loading: bool = False
    _turns: int = 0

    def heard(self, beat: Beat) -> None:
        self._beaten, self._loading, self.silent = True, beat.loading, 0.0
        if beat.turns != self._turns:
            self._turns, self.stuck = beat.turns, 0.0

    def loading(self) -> None:
        """Another model is loaded from now on, or none."""
        self.load = 0.0

    @property
    def overdue(self) -> bool:
        """Whether the model that is being loaded should be there."""
        return self.load >= self.timeouts.load

    def tick(self, seconds: float, busy: bool) -> str | None:
        """`seconds` have passed since the last look, busy: and there is work in the process.

        Why the process must be taken for hung, if it must.
        """
        seconds = min(seconds, 2 * self.timeouts.beat)
        self.silent += seconds
        # While a model is loaded no step has to end; the process beats meanwhile.
        self.stuck = self.stuck + seconds * (not self._loading) if busy else 0.0
        self.load = self.load + seconds if self._loading else 0.0
        allowed = self.timeouts.silence if self._beaten else self.timeouts.step
        if self.silent >= allowed:
            return f"it gave no sign of life for {self.silent:.0f} seconds"
        if self.stuck >= self.timeouts.step:
            return f"no step ended in {self.stuck:.0f} seconds"
        if self.overdue:
            return f"a model was not loaded in {self.load:.0f} seconds"
        return None
