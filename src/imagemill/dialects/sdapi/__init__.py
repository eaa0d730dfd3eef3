"""AUTOMATIC1111's API, which Open WebUI, SillyTavern, Krita and others speak."""

from imagemill.dialects.sdapi.routes import routes

__all__ = ["routes"]
