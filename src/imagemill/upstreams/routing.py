"""Routing: who paints for an address, the engine of this server or an upstream, behind one seam."""

from collections.abc import AsyncIterator, Mapping

from imagemill.engine.events import CLOSING_SECONDS, NO_INPUTS, Engine, Event, Failed, State
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation, Input
from imagemill.upstream_spec import remote_model
from imagemill.upstreams.checking import Checker
from imagemill.upstreams.sweeping import Sweeper
from imagemill.upstreams.upstream import Upstream


class RoutedEngine:
    """Implements `engine.events.Engine`. upstreams: by name. checker: ends with it."""

    def __init__(
        self, engine: Engine, upstreams: Mapping[str, Upstream], sweeper: Sweeper, checker: Checker
    ) -> None:
        self.engine, self.upstreams = engine, upstreams
        self._sweeper, self._checker = sweeper, checker

    @property
    def state(self) -> State:
        return self.engine.state

    @property
    def trouble(self) -> str:
        return self.engine.trouble

    @property
    def resting(self) -> float:
        return self.engine.resting

    async def start(self) -> None:
        await self.engine.start()
        self._sweeper.start()

    async def submit(
        self,
        id: str,
        generation: Generation,
        source: str,
        inputs: Mapping[str, Input] = NO_INPUTS,
        previews: bool = False,
    ) -> AsyncIterator[Event]:
        remote = remote_model(source)
        if remote is None:
            events = self.engine.submit(id, generation, source, inputs, previews)
        elif (upstream := self.upstreams.get(remote.upstream)) is not None:
            events = upstream.paint(id, generation, remote.model, inputs)
        else:
            yield Failed(unknown(remote.upstream))
            return
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()  # type: ignore[attr-defined]
            if remote is not None:
                self._sweeper.wake()

    def cancel(self, id: str) -> None:
        """Of what an upstream paints it is the end of the job that counts: see `sweeping`."""
        self.engine.cancel(id)
        self._sweeper.wake()

    def refusal(self, source: str) -> Fault | None:
        remote = remote_model(source)
        if remote is None:
            return self.engine.refusal(source)
        return None if remote.upstream in self.upstreams else unknown(remote.upstream)

    def warm(self, source: str) -> float:
        return 0.0 if remote_model(source) is not None else self.engine.warm(source)

    async def close(self, seconds: float = CLOSING_SECONDS) -> None:
        await self._sweeper.close(seconds)
        for upstream in self.upstreams.values():
            await upstream.close()
        self._checker.close()
        await self.engine.close(seconds)

    def leaves(self, source: str, field: str) -> bool:
        """Whether what paints at an address does by itself what a field asks for."""
        remote = remote_model(source)
        upstream = self.upstreams.get(remote.upstream) if remote else None
        return upstream is not None and remote is not None and upstream.takes(remote.model, field)


def unknown(name: str) -> Fault:
    """The Fault of a job whose upstream is not there."""
    message = f"the upstream {name} of this model is not configured here"
    return Fault(Kind.FAILED, f"{message}; the operator of this server has to look at it")
