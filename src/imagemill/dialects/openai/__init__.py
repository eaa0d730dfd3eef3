"""OpenAI Images: generations, edits, variations, streamed or whole."""

from imagemill.dialects.openai.routes import routes
from imagemill.dialects.openai.vocabulary import refuse

__all__ = ["refuse", "routes"]
