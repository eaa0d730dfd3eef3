"""Earlier releases of the official clients, and what few tests need, each in a folder beside the
suite.

    python -m conformance.generations

installs what is not there yet; `scripts/test` calls it. The newest releases are in the environment
itself.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).parent / ".generations"

PINS: tuple[str, ...] = (
    "huggingface_hub==0.28.1",  # the last that asks again by itself after a 503
    "huggingface_hub==0.36.2",  # the last on requests
    "huggingface_hub==1.20.0",  # on httpx; the next but one has no nebius
    "together==1.5.35",  # written by hand, sends all sizes
    "together==2.42.0",  # generated, with /v1 in its base URL
    "replicate==2.0.0b4",  # generated, with /v1 in its base URL
    # HTTP libraries that are not in the environment anyway (Apache-2.0, MIT, LGPL-2.1 or MIT).
    "aiohttp==3.14.5",
    "aiodns==4.0.4",
    "gevent==26.9.0",
    "pycurl==7.49.0",
    "uvloop==0.23.0",
)
AT_ONCE = 3  # installations
# By folder: packages of npm, all MIT.
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "http-libraries": (
        "agentkeepalive@4.6.0",
        "axios@1.21.1",
        "got@14.6.6",
        "node-fetch@3.3.2",
        "openai@4.104.0",  # Apache-2.0; the last on node-fetch and agentkeepalive
        "undici@7.30.2",
        "ws@8.23.0",
    ),
    "node-24": ("node@24.21.0",),  # 100 MB, in 5 to 40 s
}

# Readers of metadata, each with what it needs besides Pillow, which is the environment's; the rest
# of their requirements are their windows'.
READERS: Mapping[str, tuple[str, ...]] = {
    "sd-parsers==0.6": (),
    "sd-prompt-reader==1.3.5": ("piexif==1.1.3",),
}


def folder(pin: str) -> Path:
    """What goes on PYTHONPATH so that a program finds this release."""
    found = FOLDER / pin
    assert found.is_dir(), "run `python -m conformance.generations` first"
    return found


def node(release: int) -> str:
    """The program of a Node that is not the one of this machine."""
    return str(folder(f"node-{release}") / "node_modules" / ".bin" / "node")


def install() -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
    made = [(pin, [*pip, "--upgrade", "--target"], [pin]) for pin in PINS]
    for pin, needs in READERS.items():
        made.append((pin, [*pip, "--no-deps", "--target"], [pin, *needs]))
    for name, packages in PACKAGES.items():
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix"]
        made.append((name, command, [*packages]))
    with ThreadPoolExecutor(AT_ONCE) as pool:  # each waits for the network most of the time
        for each in [pool.submit(_made, *one) for one in made]:
            each.result()


def _made(name: str, command: Sequence[str], what: Sequence[str]) -> None:
    """The folder, unless it is there; whole, or not at all."""
    if not (FOLDER / name).is_dir():
        part = FOLDER / f"part of {name}"
        part.mkdir(parents=True, exist_ok=True)
        subprocess.run([*command, str(part), *what], check=True)
        part.rename(FOLDER / name)


if __name__ == "__main__":
    install()
