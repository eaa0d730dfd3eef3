"""What every dialect works with: the service, the catalog, and the operator's settings for HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi import Request

from imagemill.catalog import Catalog
from imagemill.credits import Prices
from imagemill.files.objects import Objects
from imagemill.http.identity import base_of
from imagemill.jobs.service import Service
from imagemill.jobs.styles import Styles
from imagemill.telemetry import Telemetry


@dataclass(frozen=True)
class AppContext:
    """What stands behind every dialect of one server."""

    #: The only way in for whoever submits, waits, watches or cancels.
    service: Service
    #: Every file that is kept: uploads, and what came of jobs.
    files: Objects
    #: Those that callers make of images.
    styles: Styles
    #: Which models there are.
    catalog: Catalog
    #: Counts what was answered.
    telemetry: Telemetry
    #: Bytes, of a body that carries no images.
    body_limit: int
    #: Bytes, of a body that may carry images.
    input_limit: int
    #: By dialect, "finish" or "cancel": what becomes of work whose caller has hung up.
    on_hang_up: Mapping[str, str] = field(default_factory=dict)
    #: What accounts pay.
    prices: Prices = field(default_factory=Prices)
    #: Fields that a dialect does not know are refused, also where its API passes over them.
    strict: bool = False

    def finishes(self, dialect: str, usual: bool = False) -> bool:
        """Whether work goes on whose caller has hung up."""
        return self.on_hang_up.get(dialect, "finish" if usual else "cancel") == "finish"

    def base(self, request: Request) -> str:
        """The address under which the caller knows this server, without a slash at the end."""
        return base_of(request)
