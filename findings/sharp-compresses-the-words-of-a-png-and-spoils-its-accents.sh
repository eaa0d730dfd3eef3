#!/bin/sh
# sharp 0.35.5 (npm): keepMetadata() keeps the text of a PNG, as zTXt, with every accent spoilt; and an
# image without EXIF gets some.
#
# Guessed: the text of a PNG, as the parameters that it was painted with, is lost: the documentation names
# EXIF, ICC, XMP and IPTC.
# Seen: tEXt and iTXt come back as zTXt, which is Latin-1, with the bytes of UTF-8 in it: "é" is read as
# "Ã©", and from tEXt as a replacement character. keepExif() leaves the text out, and both write EXIF
# (orientation, density) where there was none. As JPEG or WebP all of the text is lost.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0
npm install --prefix "$folder" --silent --no-audit --no-fund --ignore-scripts sharp@0.35.5

(cd "$folder" && venv/bin/python -) <<'PYTHON'
from PIL import Image, PngImagePlugin

for name in ("tEXt", "iTXt"):
    text = PngImagePlugin.PngInfo()
    add = {"tEXt": text.add_text, "iTXt": text.add_itxt}[name]
    add("parameters", "un café")
    Image.new("RGB", (64, 64), "red").save(f"{name}.png", pnginfo=text)
PYTHON
cat >"$folder/keep.mjs" <<'NODE'
import assert from "node:assert";
import { readFileSync } from "node:fs";
import sharp from "sharp";

assert.equal(JSON.parse(readFileSync("node_modules/sharp/package.json")).version, "0.35.5");
for (const name of ["tEXt", "iTXt"]) {
  await sharp(`${name}.png`).keepMetadata().toFile(`${name}-metadata.png`);
  await sharp(`${name}.png`).keepExif().toFile(`${name}-exif.png`);
  for (const format of ["jpeg", "webp"]) {
    const bytes = await sharp(`${name}.png`).keepMetadata().toFormat(format).toBuffer();
    assert(!bytes.includes("un caf"));
  }
}
NODE
(cd "$folder" && node keep.mjs && venv/bin/python -) <<'PYTHON'
from pathlib import Path

from PIL import Image

kinds = (b"tEXt", b"iTXt", b"zTXt")
seen = {}
for name in ("tEXt", "iTXt"):
    for way in ("metadata", "exif"):
        file = Path(f"{name}-{way}.png")
        with Image.open(file) as image:
            words, exif = image.info.get("parameters"), len(image.getexif()) > 0
        chunks = [kind.decode() for kind in kinds if kind in file.read_bytes()]
        seen[name, way] = words, chunks, exif
        print(name, way, ascii(words), *chunks, "EXIF" if exif else "none")
assert seen["tEXt", "metadata"] == ("un cafï¿½", ["zTXt"], True)
assert seen["iTXt", "metadata"] == ("un cafÃ©", ["zTXt"], True)
assert seen["tEXt", "exif"] == seen["iTXt", "exif"] == (None, [], True)
# The output seen:
# tEXt metadata 'un caf\xef\xbf\xbd' zTXt EXIF
# tEXt exif None EXIF
# iTXt metadata 'un caf\xc3\xa9' zTXt EXIF
# iTXt exif None EXIF
PYTHON
