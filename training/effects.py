"""Writes docs/effects.md: what each kind of conditioning does to pico's images.

python -m training.effects --seeds 100
"""

import argparse
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "effects.md"
# By what is measured: the module that does, and where it is told of.
MEASURED = {
    "ControlNet": ("control_effect", "controlnets.md"),
    "IP-Adapter": ("ip_effect", "ip-adapters.md"),
    "Edits": ("edit_effect", "editing.md"),
    "Style references": ("style_effect", "styles.md"),
    "Backgrounds": ("background_effect", "backgrounds.md"),
}
HEAD = (
    "# What conditioning does\n\nHow far the embedded model follows each kind of conditioning, "
    "over many seeds, with 95 % intervals; and, where that means something, the same with the "
    "conditioning of another image, under which the effect is not to be there. Written by `python "
    "-m training.effects --seeds {seeds}`; the suite asserts the directions over fewer seeds.\n"
)
SECTION = """
## {name} ([how]({page}))

`python -m training.{module} --measure {seeds}`

{table}
"""


def measured(module: str, seeds: int) -> str:
    """What a module prints, in Markdown."""
    command = [sys.executable, "-m", f"training.{module}", "--measure", str(seeds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=100)
    seeds = parser.parse_args().seeds
    parts = [HEAD.format(seeds=seeds)]
    for name, (module, page) in MEASURED.items():
        table = measured(module, seeds)
        parts.append(SECTION.format(name=name, page=page, module=module, seeds=seeds, table=table))
    PAGE.write_text("".join(parts), "utf-8")


if __name__ == "__main__":
    main()
