import os
import pty
import re
import signal
import socket
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from imagemill import __version__
from imagemill.cli import app
from imagemill.images.decode import provenance_of, size_of

SMALL = ("--width", "64", "--height", "96", "--steps", "2")
PRINTED = re.compile(r"(?P<path>.+)  seed (?P<seed>\d+)")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def painted(*arguments: str) -> list[tuple[Path, int]]:
    """The paths and seeds that a small painting prints."""
    result = run("generate", *SMALL, *arguments)
    assert result.exit_code == 0, result.output
    lines = [PRINTED.fullmatch(line) for line in result.stdout.splitlines()]
    return [(Path(line["path"]), int(line["seed"])) for line in lines if line]


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["serve", "--help"]])
def test_help_is_given_without_importing_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom imagemill.cli import app\n"
        f"app({arguments}, standalone_mode=False)\n"
        "print(*{'torch', 'diffusers', 'fastapi', 'numpy', 'rich'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage:" in shown.stdout
    assert shown.stdout.splitlines()[-1] == ""


def test_every_option_of_generate_is_explained() -> None:
    shown = run("generate", "--help").stdout
    explained = re.findall(r"^  --([a-z-]+) <\w+> +\w|^  --([a-z-]+) <\w+>$", shown, re.MULTILINE)
    assert {one or other for one, other in explained} == {
        "negative-prompt", "width", "height", "steps", "guidance-scale", "seed", "num-images",
        "scheduler", "model", "format", "output",
    }  # fmt: skip


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"imagemill {__version__}\n"


def test_python_can_run_the_package() -> None:
    command = [sys.executable, "-m", "imagemill", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == (
        f"imagemill {__version__}"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([" "], "the prompt is empty"),
        (["cat", "--width", "63"], "width 63 is out of range; give 64 to 2048"),
        (["cat", "--height", "2049"], "height 2049 is out of range"),
        (["cat", "--steps", "0"], "steps 0 is out of range"),
        (["cat", "--guidance-scale", "nan"], "guidance_scale nan is out of range"),
        (["cat", "--seed", "-1"], "seed -1 is out of range"),
        (["cat", "--seed", str(2**64)], "is out of range"),
        (["cat", "--num-images", "11"], "num_images 11 is out of range"),
        (["cat", "--scheduler", "Nonesuch"], "unknown scheduler 'Nonesuch'"),
        (["cat", "--format", "gif"], "unknown format 'gif'; one of png, jpeg, webp"),
        (["cat", "--output", "cat.gif"], "cat.gif is no picture's name"),
        (["cat", "--output", "cat.png", "--format", "jpeg"], "cat.png is not a name for jpeg"),
        (["cat", "--width", "wide"], "valid integer"),
        (["cat", "--colour", "red"], "No such option"),
        ([], "Missing argument"),
    ],
)
def test_bad_input_is_told_and_nothing_is_painted(arguments: list[str], told: str) -> None:
    result = run("generate", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_painted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("generate", "cat", "--output", str(tmp_path / "file" / "folder"))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_a_model_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    result = run("generate", "cat", "--model", str(tmp_path), "--output", str(tmp_path))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_a_picture_has_the_size_that_was_asked_for_and_tells_how_it_came_to_be(
    tmp_path: Path,
) -> None:
    [(path, seed)] = painted(
        "a", "red", "cat", "--seed", "5", "--negative-prompt", "dog", "--output", str(tmp_path)
    )
    assert (path, seed) == (tmp_path / "a-red-cat.png", 5)
    facts = provenance_of(path.read_bytes())
    assert size_of(path.read_bytes()) == (64, 96)
    assert (facts["prompt"], facts["negative_prompt"]) == ("a red cat", "dog")
    assert (facts["seed"], facts["steps"], facts["model"]) == (5, 2, "pico")


def test_the_seed_that_was_drawn_paints_the_same_picture_again(tmp_path: Path) -> None:
    [(first, seed)] = painted("a cat", "--output", str(tmp_path))
    [(again, _)] = painted("a cat", "--output", str(tmp_path), "--seed", str(seed))
    assert first != again
    assert first.read_bytes() == again.read_bytes()


def test_pictures_in_a_folder_never_replace_one_another(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    several = painted("a cat", "--num-images", "2", "--seed", "1", "--output", str(folder))
    assert several == [(folder / "a-cat.png", 1), (folder / "a-cat-2.png", 2)]
    assert painted("a cat", "--seed", "1", "--output", str(folder)) == [(folder / "a-cat-3.png", 1)]
    assert (folder / "a-cat-3.png").read_bytes() == (folder / "a-cat.png").read_bytes()


def test_a_file_that_is_named_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "cat.jpg"
    file.write_bytes(b"old")
    assert painted("a cat", "--seed", "1", "--output", str(file)) == [(file, 1)]
    assert file.read_bytes().startswith(b"\xff\xd8")  # JPEG, as the name says


def test_several_pictures_number_the_file_that_is_named(tmp_path: Path) -> None:
    several = painted(
        "a cat", "--num-images", "2", "--seed", "1", "--output", str(tmp_path / "c.webp")
    )
    assert several == [(tmp_path / "c-1.webp", 1), (tmp_path / "c-2.webp", 2)]


def test_a_prompt_that_makes_no_name_still_gets_one(tmp_path: Path) -> None:
    [(path, _)] = painted("猫", "--format", "jpeg", "--output", str(tmp_path))
    assert path == tmp_path / "picture.jpeg"


def test_words_that_the_model_ignores_are_told(tmp_path: Path) -> None:
    result = run("generate", *SMALL, "a red wumpus and a corgi", "--output", str(tmp_path))
    why = "ignored, or drawn as something near"
    assert result.stderr == f"imagemill: {why}: wumpus, corgi: drawn as dog\n"


def test_who_watches_sees_a_bar_and_can_stop_it(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "imagemill", "generate", "a cat", "--steps", "150"]
    process = subprocess.Popen(
        [*command, "--width", "2048", "--height", "2048", "--output", str(tmp_path)],
        stderr=theirs,
        stdout=subprocess.PIPE,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(theirs)
    shown = b""
    while b"painting" not in shown:
        shown += os.read(ours, 1024)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate()
    os.close(ours)
    assert (process.returncode, printed, list(tmp_path.iterdir())) == (130, b"", [])


def test_serve_tells_a_wrong_setting_in_a_line(tmp_path: Path) -> None:
    config = tmp_path / "imagemill.toml"
    config.write_text("prot = 8000\n")
    result = run("serve", "--config", str(config))
    assert result.exit_code == 2
    assert "unknown setting prot" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_who_stops_the_server_sees_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "imagemill", "serve", "--port", "0", "--data-dir"]
    with subprocess.Popen([*command, tmp_path], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = next(line for line in process.stderr if "running on http://127.0.0.1:" in line)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, told + rest
    assert "Traceback" not in rest


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "imagemill", "serve", "--port", port, "--data-dir"]
        run = subprocess.run([*command, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    (told,) = [line for line in run.stderr.splitlines() if line.startswith("imagemill: ")]
    assert f"port {port}: address already in use; give another --port" in told
    assert "Traceback" not in run.stderr


def test_the_installed_command_is_the_command_line() -> None:
    [command] = entry_points(group="console_scripts", name="imagemill")
    assert command.load() is app
