"""A program as people have it: it calls OpenAI, and knows nothing of imagemill.

python examples/offline_tests/poster.py "a red cat" cat.png
"""

import base64
import sys
from pathlib import Path

from openai import OpenAI


def main(prompt: str, path: str) -> None:
    reply = OpenAI().images.generate(model="gpt-image-1", prompt=prompt, quality="low")
    if not reply.data or reply.data[0].b64_json is None:
        raise SystemExit("there is no image in the reply")
    Path(path).write_bytes(base64.b64decode(reply.data[0].b64_json))
    print(f"{path} is there")


if __name__ == "__main__":
    main(*sys.argv[1:])
