"""A self-hosted image-generation server, and the models it paints with."""

__version__ = "0.1.0"
