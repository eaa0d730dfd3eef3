"""A web page that paints: python examples/page.py, and open http://127.0.0.1:8080

Python's own HTTP server, a thread for each visitor; all of them share one engine and its batches.
"""

import argparse
from contextlib import suppress
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit

from imagemill import Engine, ImagemillError, InvalidInputError

PAGE = """<!doctype html><title>imagemill</title>
<form><input name="prompt" size="60" value="{prompt}" autofocus> <button>Paint</button></form>
{image}"""
MAX_PROMPT = 500  # characters


class Handler(BaseHTTPRequestHandler):
    """`/` is the form, `/image` the image of a prompt."""

    engine: Engine
    size: int
    steps: int

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        prompt = parse_qs(address.query).get("prompt", [""])[0][:MAX_PROMPT]
        if address.path == "/":
            self.page(prompt)
        elif address.path == "/image":
            self.image(prompt)
        else:
            self.send_error(404)

    def page(self, prompt: str) -> None:
        image = f'<img src="/image?prompt={quote(prompt)}">' if prompt else ""
        self.reply(200, "text/html; charset=utf-8", PAGE.format(prompt=escape(prompt), image=image))

    def image(self, prompt: str) -> None:
        try:
            result = self.engine.generate(
                prompt, width=self.size, height=self.size, steps=self.steps, format="webp"
            )
        except ImagemillError as error:
            status = 400 if isinstance(error, InvalidInputError) else 500
            self.reply(status, "text/plain; charset=utf-8", str(error))
        else:
            self.reply(200, "image/webp", result.images[0].data)

    def reply(self, status: int, kind: str, body: str | bytes) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    with Engine() as engine:
        engine.load()
        kept = {"engine": engine, "size": options.size, "steps": options.steps}
        handler = type("Painter", (Handler,), kept)
        with ThreadingHTTPServer(("127.0.0.1", options.port), handler) as server:
            print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
            server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
