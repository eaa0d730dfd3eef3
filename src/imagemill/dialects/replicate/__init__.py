"""Replicate: predictions are jobs; models, versions, files and webhooks."""

from imagemill.dialects.replicate.read import DIALECT
from imagemill.dialects.replicate.routes import routes
from imagemill.dialects.replicate.vocabulary import refuse
from imagemill.dialects.replicate.write import message

__all__ = ["DIALECT", "message", "refuse", "routes"]
