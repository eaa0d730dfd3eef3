"""The texts that a file of an image carries, of which one is its infotext."""

from io import BytesIO

from PIL import ExifTags, Image

from imagemill import inputs
from imagemill.errors import Fault, Kind

PARAMETERS = "parameters"  # the text chunk of a PNG
_UNICODE = b"UNICODE\x00"


def texts_of(content: bytes) -> tuple[str, dict[str, str]]:
    """The infotext of a file, and the other texts in it; raises a Fault for what is no picture."""
    inputs.read_image(content, "png")
    try:
        with Image.open(BytesIO(content), formats=["PNG", "JPEG", "WEBP"]) as image:
            image.load()  # texts may stand behind the pixels
            texts = {
                str(name): value for name, value in image.info.items() if isinstance(value, str)
            }
            info = texts.pop(PARAMETERS, None) or _comment(image)
    except Exception:  # decoders raise whatever they stumble over
        message = "the image is no PNG, JPEG or WebP that can be read; send one in base64"
        raise Fault(Kind.UNREADABLE, message, "png") from None
    return info, texts


def _comment(image: Image.Image) -> str:
    comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
    if not isinstance(comment, bytes) or not comment.startswith(_UNICODE):
        return ""
    return comment.removeprefix(_UNICODE).decode("utf-16-be", "replace")
