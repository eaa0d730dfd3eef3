"""Archives of images: what lies in a ZIP file, read within bounds."""

import zipfile
import zlib
from io import BytesIO
from pathlib import PurePosixPath

from imagemill.errors import Fault, Kind, invalid
from imagemill.images.kinds import kind_of, unread

MOST_ENTRIES = 1000  # of an archive, folders and files of systems included
PIECE = 2**16  # bytes that are unpacked at a time
BESIDE = ("__MACOSX/",)  # folders that systems put beside the files


def images_in(content: bytes, field: str, most: int, most_bytes: int) -> list[bytes]:
    """The files of a ZIP archive, in order of their names; of a single image, that image.

    Raises a Fault where there are more than `most`, or more than `most_bytes` in all.
    """
    if kind_of(content) is not None:
        return [content]
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            entries = _entries(archive, field, most)
            left, images = most_bytes, []
            for entry in entries:
                images.append(_unpacked(archive, entry, field, left, most_bytes))
                left -= len(images[-1])
            return images
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError):
        what = "a broken ZIP archive" if content[:2] == b"PK" else unread(content)
        raise _unreadable(field, f"is {what}; give a ZIP archive of PNG images") from None
    except RuntimeError:  # of zipfile: it has a password
        raise _unreadable(field, "is a ZIP archive with a password; give one without") from None


def _entries(archive: zipfile.ZipFile, field: str, most: int) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        message = f"the archive has {len(entries)} entries; at most {MOST_ENTRIES} are read"
        raise invalid(field, f"{message}; give one of images alone")
    files = sorted((entry for entry in entries if _is_file(entry)), key=lambda each: each.filename)
    if len(files) > most:
        message = f"the archive has {len(files)} files; at most {most} images are read"
        raise invalid(field, f"{message}; leave out the others")
    return files


def _is_file(entry: zipfile.ZipInfo) -> bool:
    hidden = PurePosixPath(entry.filename).name.startswith(".")
    return not (entry.is_dir() or hidden or entry.filename.startswith(BESIDE))


def _unpacked(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, field: str, left: int, most_bytes: int
) -> bytes:
    """In pieces: what an archive says of the size of a file may be wrong."""
    pieces, size = list[bytes](), 0
    with archive.open(entry) as file:
        while piece := file.read(PIECE):
            size += len(piece)
            if size > left:
                message = f"the images of the archive have more than {most_bytes} bytes"
                raise invalid(field, f"{message} unpacked; give smaller ones")
            pieces.append(piece)
    return b"".join(pieces)


def _unreadable(field: str, what: str) -> Fault:
    return Fault(Kind.UNREADABLE, f"the {field} {what}", field)
