"""Upstreams: other servers that paint for this one, by whichever of four APIs they speak."""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from imagemill.engine.events import Engine
from imagemill.engine.ipc import SafetyOptions
from imagemill.fetch import Fetcher, Policy
from imagemill.generation import Defaults
from imagemill.telemetry import Telemetry
from imagemill.upstream_spec import UpstreamKind, UpstreamSpec
from imagemill.upstreams.api import Api
from imagemill.upstreams.checking import Checker
from imagemill.upstreams.dialect import UpstreamDialect
from imagemill.upstreams.fal import FalQueue
from imagemill.upstreams.openai import OpenAIImages
from imagemill.upstreams.replicate import ReplicatePredictions
from imagemill.upstreams.results import Results
from imagemill.upstreams.routing import RoutedEngine
from imagemill.upstreams.secret import read_key
from imagemill.upstreams.sweeping import Sweeper
from imagemill.upstreams.together import TogetherImages
from imagemill.upstreams.upstream import Requests, Upstream

__all__ = ["DIALECTS", "routed"]

DIALECTS: Mapping[UpstreamKind, UpstreamDialect] = {
    "fal": FalQueue(),
    "openai": OpenAIImages(),
    "replicate": ReplicatePredictions(),
    "together": TogetherImages(),
}


def routed(
    engine: Engine,
    specs: Mapping[str, UpstreamSpec],
    requests: Requests,
    telemetry: Telemetry,
    *,
    usual: Callable[[str], Defaults],
    safety: SafetyOptions,
    hosts: frozenset[str],
    environment: Mapping[str, str],
    clock: Callable[[], float],
) -> RoutedEngine:
    """The engine, and the upstreams beside it. Raises a Fault where a key is not there.

    usual: what a model is painted with where its caller leaves it open. hosts: that images may be
    fetched from though they are private. environment: of the process, where keys may be.
    """
    checker = Checker(safety)

    def made(name: str, spec: UpstreamSpec) -> Upstream:
        dialect, key = DIALECTS[spec.kind], read_key(name, spec, environment)
        retried = telemetry.upstream_retries.labels(name).inc
        own = Policy(hosts=hosts | {urlsplit(spec.url).hostname or ""}, max_bytes=spec.max_bytes)
        return Upstream(
            name,
            spec,
            dialect,
            Api(name, spec, key, dialect.scheme, retried),
            Results(name, Fetcher(own), checker, spec.max_bytes),
            requests,
            telemetry,
            usual,
            clock,
        )

    upstreams = {name: made(name, spec) for name, spec in specs.items()}
    return RoutedEngine(engine, upstreams, Sweeper(upstreams, requests, clock), checker)
