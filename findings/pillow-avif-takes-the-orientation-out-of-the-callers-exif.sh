#!/bin/sh
# pillow 13.0.0: saving as AVIF takes the orientation out of the Exif object that the caller gave.
#
# Guessed: save() reads its arguments; the same Exif object serves for a JPEG, an AVIF and a WebP of one
# photograph, in any order.
# Seen: AVIF keeps the orientation in a property of its own, and gets it by pop(). What is saved after the
# AVIF has none and lies on its side; where it was image.getexif(), the open image has lost it as well,
# and exif_transpose no longer turns it. With exif.tobytes() all is as guessed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0

"$folder/venv/bin/python" - <<'PYTHON'
import io

import PIL
from PIL import ExifTags, Image, ImageOps

assert PIL.__version__ == "13.0.0"
ORIENTATION = ExifTags.Base.Orientation
order = ("JPEG", "AVIF", "WEBP", "JPEG")


def saved(image, format, exif):
    file = io.BytesIO()
    image.save(file, format, exif=exif)
    file.seek(0)
    return Image.open(file)


def turned(as_given):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    image = Image.new("RGB", (64, 32), "red")
    return [saved(image, format, as_given(exif)).getexif().get(ORIENTATION) for format in order]


for name, as_given in (("Exif", lambda exif: exif), ("bytes", lambda exif: exif.tobytes())):
    print(name, *zip(order, turned(as_given), strict=True))
assert turned(lambda exif: exif) == [6, 6, None, None]
assert turned(lambda exif: exif.tobytes()) == [6, 6, 6, 6]

exif = Image.Exif()
exif[ORIENTATION] = 6
photograph = saved(Image.new("RGB", (64, 32), "red"), "JPEG", exif)
before = ImageOps.exif_transpose(photograph).size
saved(photograph, "AVIF", photograph.getexif())
after = ImageOps.exif_transpose(photograph).size
print("exif_transpose", before, after)
assert (before, after) == ((32, 64), (64, 32))
# The output seen:
# Exif ('JPEG', 6) ('AVIF', 6) ('WEBP', None) ('JPEG', None)
# bytes ('JPEG', 6) ('AVIF', 6) ('WEBP', 6) ('JPEG', 6)
# exif_transpose (32, 64) (64, 32)
PYTHON
