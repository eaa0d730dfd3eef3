"""Earlier releases of the official clients, each in a folder of its own beside the suite.

    python -m conformance.generations

installs what is not there yet; `scripts/test` calls it. The newest releases are in the environment
itself.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / ".generations"

PINS: tuple[str, ...] = (
    "huggingface_hub==0.28.1",  # the last that asks again by itself after a 503
    "huggingface_hub==0.36.2",  # the last on requests
    "huggingface_hub==1.20.0",  # on httpx; the next but one has no nebius
    "together==1.5.35",  # written by hand, sends all sizes
    "together==2.42.0",  # generated, with /v1 in its base URL
)


def folder(pin: str) -> Path:
    """What goes on PYTHONPATH so that a program finds this release."""
    found = FOLDER / pin
    assert found.is_dir(), "run `python -m conformance.generations` first"
    return found


def install() -> None:
    for pin in PINS:
        if not (FOLDER / pin).is_dir():
            part = FOLDER / f"part of {pin}"
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade"]
            subprocess.run([*command, "--target", str(part), pin], check=True)
            part.rename(FOLDER / pin)


if __name__ == "__main__":
    install()
