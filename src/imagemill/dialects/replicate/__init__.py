"""Replicate: predictions are jobs; models, versions, files and webhooks."""

from imagemill.dialects.replicate.routes import routes

__all__ = ["routes"]
