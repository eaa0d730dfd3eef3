"""What the server tells its operator: metrics and log lines."""

import json
import logging
import sys
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250)

# Attributes of a log record that `extra=` may bring and a JSON line shows.
EXTRAS = ("request_id", "method", "path", "status", "seconds", "model")


class Telemetry:
    """One server's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "imagemill_requests",
            "Requests answered, by door and outcome: ok, gone (the caller hung up) or what failed.",
            ["door", "outcome"],
            registry=self.registry,
        )
        self.waiting = Gauge(
            "imagemill_queue_depth", "Generations not yet begun.", registry=self.registry
        )
        self.running = Gauge(
            "imagemill_running", "Generations being painted.", registry=self.registry
        )
        self.pictures = Counter(
            "imagemill_pictures", "Pictures painted.", ["model"], registry=self.registry
        )
        self.engine_seconds = Histogram(
            "imagemill_engine_seconds",
            "Time of a generation from first step to encoded picture.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.cache = Counter(
            "imagemill_cache_lookups",
            "Look-ups of finished pictures, by outcome: hit or miss.",
            ["outcome"],
            registry=self.registry,
        )

        self.connections = Gauge(
            "imagemill_connections", "Connections open.", registry=self.registry
        )
        self.closed = Counter(
            "imagemill_connections_closed",
            "Connections closed before their caller did: silent (asked nothing for too long), "
            "unread (read no reply for too long), full (too many), inputs (too large together).",
            ["why"],
            registry=self.registry,
        )
        self.inputs = Gauge(
            "imagemill_input_bytes",
            "Bytes that the inputs of calls take at the moment, in memory and on disk.",
            ["where"],
            registry=self.registry,
        )

        self.upstream_requests = Counter(
            "imagemill_upstream_requests",
            "Jobs that an upstream painted, by outcome: ok, gone (nobody wants it, or it goes on "
            "elsewhere) or what failed.",
            ["upstream", "outcome"],
            registry=self.registry,
        )
        self.upstream_retries = Counter(
            "imagemill_upstream_retries",
            "Calls of an upstream that were sent again.",
            ["upstream"],
            registry=self.registry,
        )
        self.upstream_cost = Counter(
            "imagemill_upstream_cost",
            "What upstreams painted for, as each of them counts it.",
            ["upstream", "unit"],
            registry=self.registry,
        )

    def render(self) -> bytes:
        return generate_latest(self.registry)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in EXTRAS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(form: Literal["plain", "json"], level: str) -> None:
    """Sends every log line of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if form == "json" else plain)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
