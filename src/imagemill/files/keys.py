"""Keys and names: unguessable where they stand for access, harmless where strangers chose them."""

import mimetypes
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping

UNKNOWN_TYPE = "application/octet-stream"
# The shelves that keys begin with. Of a private file on the second one strangers are told that it
# exists; of one on the first they are not. Of those on the third nobody is told a key.
OPEN, GUARDED, UNTOLD = "files/b", "files/f", "files/i"

LONGEST_NAME = 80  # characters of a name within a key
LONGEST_TITLE = 200  # characters of a name as it is told
SUFFIXES: Mapping[str, str] = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    UNKNOWN_TYPE: ".bin",
}

# A key that callers are given; loose enough for names that nobody would give to anything else.
TOLD_KEY = re.compile(rf"(?:{OPEN}|{GUARDED})/[0-9a-f]{{8}}/[\w-]{{20,}}[\w.-]*", re.ASCII)

_TYPE = re.compile(r"[\w!#$&^.+-]{1,80}/[\w!#$&^.+-]{1,80}( ?;[ -~]{0,100})?", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def new_key(name: str, content_type: str, shelf: str = OPEN) -> str:
    """A key of 128 random bits, which ends in the name or in the suffix of the type."""
    token = secrets.token_urlsafe(16)
    safe = safe_name(name)
    end = f"_{safe}" if safe else _suffix(content_type)
    return f"{shelf}/{secrets.token_hex(4)}/{token}{end}"


def derived_key(digest: bytes, suffix: str = "", shelf: str = OPEN) -> str:
    """The key that follows from a digest which nobody else can make, of at least 25 bytes."""
    return f"{shelf}/{digest[:4].hex()}/{urlsafe_b64encode(digest[4:25]).decode()}{suffix}"


def safe_name(name: str) -> str:
    """A name without folders, in characters that no file system, URL or header minds."""
    stem, dot, suffix = _UNSAFE.sub("_", _last(name)).strip("._-").rpartition(".")
    suffix = suffix[-LONGEST_NAME // 4 :]
    return f"{stem[: LONGEST_NAME - len(suffix) - 1]}{dot}{suffix}".strip("._-")


def title(name: str) -> str:
    """A name as it was given, without folders and without what cannot be printed."""
    return "".join(each for each in _last(name) if each.isprintable()).strip()[-LONGEST_TITLE:]


def media_type(content_type: str) -> str:
    """The type that was given, where it has the form of one."""
    content_type = content_type.strip()
    return content_type if _TYPE.fullmatch(content_type) else UNKNOWN_TYPE


def guarded(key: str) -> bool:
    return key.startswith(f"{GUARDED}/")


def untold(key: str) -> bool:
    return key.startswith(f"{UNTOLD}/")


def _last(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _suffix(content_type: str) -> str:
    plain = content_type.partition(";")[0].strip().lower()
    return SUFFIXES.get(plain) or mimetypes.guess_extension(plain) or ".bin"
