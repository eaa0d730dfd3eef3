#!/bin/sh
# pillow 13.0.0: a gray PNG of 16 bits, as depth maps are, turns white where it becomes RGB, L, WebP or
# AVIF; one in colour is scaled.
#
# Guessed: 20000 of 65535 becomes 78 of 255 in both, by the upper eight bits.
# Seen: in colour so, while it is opened. In gray all from 255 on is cut to 255, without a warning: of a
# depth map convert("RGB") leaves a white image, which a ControlNet then reads; save() as WebP and AVIF
# converts in the same way, where JPEG refuses.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0

"$folder/venv/bin/python" -W error - <<'PYTHON'
import io
import struct
import zlib

import PIL
from PIL import Image

assert PIL.__version__ == "13.0.0"


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(colour_type, channels):
    header = struct.pack(">IIBBBBB", 8, 8, 16, colour_type, 0, 0, 0)
    rows = (b"\0" + struct.pack(">H", 20000) * 8 * channels) * 8
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return Image.open(io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)))


def saved(image, format):
    file = io.BytesIO()
    image.save(file, format)
    return Image.open(file).convert("L").getpixel((4, 4))


gray, colour = png(0, 1), png(2, 3)
seen = {
    "gray": (gray.mode, gray.getpixel((4, 4))),
    "gray as RGB, L": (gray.convert("RGB").getpixel((4, 4)), gray.convert("L").getpixel((4, 4))),
    "gray as WebP, AVIF": (saved(gray, "WEBP"), saved(gray, "AVIF")),
    "colour": (colour.mode, colour.getpixel((4, 4))),
}
for name, values in seen.items():
    print(name, *values)
assert seen["gray"] == ("I;16", 20000)
assert seen["gray as RGB, L"] == ((255, 255, 255), 255)
assert min(seen["gray as WebP, AVIF"]) >= 254
assert seen["colour"] == ("RGB", (78, 78, 78))
# The output seen:
# gray I;16 20000
# gray as RGB, L (255, 255, 255) 255
# gray as WebP, AVIF 255 255
# colour RGB (78, 78, 78)
PYTHON
