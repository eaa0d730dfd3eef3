"""Nebula Block: JSON goes in, with pictures in base64; JSON with a picture in base64 comes out."""

from imagemill.dialects.nebula.routes import routes
from imagemill.dialects.nebula.write import refuse

__all__ = ["refuse", "routes"]
