"""Replicate: predictions are jobs; models, versions, files and webhooks."""

from imagemill.dialects.replicate.read import DOOR
from imagemill.dialects.replicate.routes import routes
from imagemill.dialects.replicate.words import refuse
from imagemill.dialects.replicate.write import message

__all__ = ["DOOR", "message", "refuse", "routes"]
