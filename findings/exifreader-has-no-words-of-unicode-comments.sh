#!/bin/sh
# exifreader 4.46.0 (npm): an EXIF UserComment in Unicode, where AUTOMATIC1111 and its kin write what an
# image was made with, is described as "[Unicode encoded text]".
#
# Guessed: description is the text, as it is of a comment in ASCII.
# Seen: of JPEG, WebP, AVIF and PNG alike the words are not there; value has the bytes, which new
# TextDecoder("utf-16be") reads behind the first eight. A PNG's own parameters are read, but
# compressed ones (zTXt) only by load() with async: true.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0
npm install --prefix "$folder" --silent --no-audit --no-fund --ignore-scripts exifreader@4.46.0

(cd "$folder" && venv/bin/python -) <<'PYTHON'
from PIL import Image, PngImagePlugin, TiffTags

TiffTags.TAGS_V2_GROUPS[34665][37510] = TiffTags.TagInfo(37510, "UserComment", 7, 0)
image, words = Image.new("RGB", (64, 64), "red"), "a red cat\nSteps: 2"
for code, encoding in ((b"UNICODE\0", "utf-16-be"), (b"ASCII\0\0\0", "ascii")):
    exif = Image.Exif()
    exif.get_ifd(34665)[37510] = code + words.encode(encoding)
    for suffix in ("jpg", "webp", "avif", "png"):
        image.save(f"{encoding}.{suffix}", exif=exif.tobytes())
text = PngImagePlugin.PngInfo()
text.add_text("parameters", words, zip=True)
image.save("compressed.png", pnginfo=text)
PYTHON
cat >"$folder/read.mjs" <<'NODE'
import assert from "node:assert";
import { readFileSync } from "node:fs";
import ExifReader from "exifreader";

const meta = JSON.parse(readFileSync("node_modules/exifreader/package.json"));
assert.equal(meta.version, "4.46.0");
const words = "a red cat\nSteps: 2";
for (const suffix of ["jpg", "webp", "avif", "png"]) {
  const wide = ExifReader.load(readFileSync(`utf-16-be.${suffix}`)).UserComment;
  const ascii = ExifReader.load(readFileSync(`ascii.${suffix}`)).UserComment;
  console.log(suffix, JSON.stringify([wide.description, ascii.description]));
  assert.equal(wide.description, "[Unicode encoded text]");
  assert.equal(ascii.description, words);
  assert.equal(new TextDecoder("utf-16be").decode(Uint8Array.from(wide.value.slice(8))), words);
}
const file = readFileSync("compressed.png");
const at_once = ExifReader.load(file).parameters?.description;
const later = (await ExifReader.load(file, { async: true })).parameters?.description;
console.log("zTXt", JSON.stringify([at_once ?? null, later]));
assert.deepEqual([at_once, later], [undefined, words]);
// The output seen:
// jpg ["[Unicode encoded text]","a red cat\nSteps: 2"]
// webp ["[Unicode encoded text]","a red cat\nSteps: 2"]
// avif ["[Unicode encoded text]","a red cat\nSteps: 2"]
// png ["[Unicode encoded text]","a red cat\nSteps: 2"]
// zTXt [null,"a red cat\nSteps: 2"]
NODE
(cd "$folder" && node read.mjs)
