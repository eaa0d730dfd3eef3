"""The catalog: which endpoints there are, what serves them, and their defaults."""

from imagemill.catalog.catalog import Catalog
from imagemill.catalog.endpoints import Endpoint, stands_in
from imagemill.catalog.models import OWN_ID, Model
from imagemill.generation import Defaults
from imagemill.pipelines.families import EMBEDDED

__all__ = ["EMBEDDED", "OWN_ID", "Catalog", "Defaults", "Endpoint", "Model", "stands_in"]
