"""Nebius' dialect, under `/nebius/v1`: OpenAI's form, fields of its own, FastAPI's errors."""

from imagemill.dialects.nebius.routes import routes
from imagemill.dialects.nebius.vocabulary import refuse

__all__ = ["refuse", "routes"]
