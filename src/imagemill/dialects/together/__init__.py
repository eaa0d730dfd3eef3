"""Together's dialect, under `/together/v1`; also what Hugging Face's router calls by that name."""

from imagemill.dialects.together.routes import routes
from imagemill.dialects.together.vocabulary import refuse

__all__ = ["refuse", "routes"]
