"""Styles made of images, as Recraft's API has them, which OpenAI's client is pointed at: `POST
/styles` with files gives an id, and `style_id` names it beside a prompt.
"""

from typing import Any

from fastapi import Request, Response

from imagemill.dialects.openai.vocabulary import InvalidParameter, OpenAIResponse, credential
from imagemill.http import multipart, operation
from imagemill.http.context import AppContext
from imagemill.http.identity import caller_of
from imagemill.jobs.styles import base_preset

FIELD = "files"
READ = ("style", "base_style")  # the names of the style that it stands on
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["file1"],
    "properties": {
        "style": {"type": "string", "description": "The style that the new one stands on."},
        "file1": {"type": "string", "format": "binary", "description": "An image; up to five."},
    },
}


async def make(context: AppContext, request: Request) -> Response:
    """The id of a style of the images that came; raises a Fault for what is wrong with them."""
    credential(request.headers)
    content_type = request.headers.get("content-type", "")
    body = await operation.read_body(request, context.input_limit)
    if not multipart.is_form(content_type):
        raise InvalidParameter("Styles are made with multipart/form-data.", None)
    parts = await multipart.parts(content_type, body)
    said = {part.name: multipart.text(part) for part in parts if not part.is_file}
    base = next((said[name] for name in READ if name in said), "any")
    images = [part.content for part in parts if part.is_file]
    caller, preset = caller_of(request.headers), base_preset(base, "style")
    style = await context.styles.make(images, FIELD, caller, preset)
    return OpenAIResponse({"id": style.id})
