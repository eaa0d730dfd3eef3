"""OpenAI Images: generations, edits, variations, streamed or whole."""

from imagemill.dialects.openai.routes import routes

__all__ = ["routes"]
