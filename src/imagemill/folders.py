"""Folders and files that the server's own user alone may look into: prompts, secrets, keys.

The modes are set on each of them. The mask that the process makes files with is everybody's in it,
and what others have made before keeps the mode that it has.
"""

import logging
import os
import stat
from pathlib import Path

log = logging.getLogger(__name__)

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600

# What a server keeps in its data folder, by how the names begin. A folder that holds anything else
# is somebody's for other things, too: there each of these is closed, and not the folder.
KEPT = ("imagemill.", "files", "pictures", "loras", "controlnets", "incoming", "tls", "exec.log")


def keep_private(folder: Path) -> None:
    """Makes a data folder for us alone; of one that is there, whatever of it is ours is closed."""
    if not folder.exists():
        folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
        return
    inside = sorted(folder.iterdir())
    ours = [path for path in inside if path.name.startswith(KEPT)]
    for path in ours if len(ours) < len(inside) else [folder, *ours]:
        close(path, PRIVATE_FOLDER if path.is_dir() else PRIVATE_FILE)


def make_private(folder: Path) -> Path:
    """A folder within, for us alone."""
    folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    close(folder, PRIVATE_FOLDER)
    return folder


def touch_private(path: Path) -> None:
    """A file for us alone, empty where there is none yet."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))
    except FileExistsError:
        close(path, PRIVATE_FILE)


def close(path: Path, mode: int) -> None:
    """Takes away what `mode` does not give; where another user owns it, that is told."""
    status = path.stat()
    if status.st_uid != os.geteuid():
        log.warning("%s belongs to another user of this machine, who can read it", path.name)
    if not stat.S_IMODE(status.st_mode) & ~mode:
        return
    try:
        path.chmod(stat.S_IMODE(status.st_mode) & mode)
    except PermissionError:
        log.warning("%s can be read by other users of this machine; close it", path.name)
    else:
        log.warning("%s was open to other users of this machine; it is closed now", path.name)
