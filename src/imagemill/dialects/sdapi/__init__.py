"""AUTOMATIC1111's API, which Open WebUI, SillyTavern, Krita and others speak."""

from imagemill.dialects.sdapi.routes import refuse, routes
from imagemill.dialects.sdapi.vocabulary import DIALECT

__all__ = ["DIALECT", "refuse", "routes"]
