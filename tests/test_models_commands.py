"""`imagemill models`, by the real command."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoints import Checkpoint
from tests.hubs import hub

COMMAND = [sys.executable, "-m", "imagemill", "models"]


@pytest.fixture
def run(tmp_path: Path) -> "Run":
    return Run(tmp_path)


class Run:
    """Runs the command in a folder of its own, without a network."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, folder / "imagemill.toml"
        self.environment = {
            **os.environ,
            "HF_HUB_CACHE": str(folder / "hub"),
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join(str(Path(each).resolve()) for each in sys.path if each),
        }

    def __call__(self, *arguments: str, **environment: str) -> str:
        """What is printed by a command that works."""
        done = self._run(arguments, environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fails(self, *arguments: str, **environment: str) -> str:
        """What is said by one that does not: one line."""
        done = self._run(arguments, environment)
        assert done.returncode in (1, 2)
        lines = [line for line in done.stderr.splitlines() if line.startswith("imagemill:")]
        assert len(lines) == 1
        assert "Traceback" not in done.stderr
        return done.stdout + lines[0]

    def _run(
        self, arguments: tuple[str, ...], environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments], cwd=self.folder, env=self.environment | environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip


def test_models_are_added_and_removed_and_comments_stay(run: Run) -> None:
    run.config.write_text(
        '# mine\nport = 9000  # free\n\n[models]\n"a/b" = "x"  # first\n', "utf-8"
    )
    run("add", "c/d", "/models/c", "--set", "dtype=float16", "--set", 'aliases=["e"]')
    text = run.config.read_text("utf-8")
    assert all(comment in text for comment in ("# mine", "# free", "# first"))
    assert "c/d, e  0 B  absent  /models/c" in run("list")
    assert "dtype: float16" in run("show", "e")
    run("remove", "c/d")
    assert run.config.read_text("utf-8").count('"c/d"') == 0
    assert '"a/b" = "x"  # first' in run.config.read_text("utf-8")


def test_what_is_wrong_changes_no_configuration(run: Run) -> None:
    run("add", "a/b", "x")
    before = run.config.read_bytes()
    assert "'auto', 'bfloat16'" in run.fails("add", "c/d", "x", "--set", "dtype=half")
    assert "a/b is configured already" in run.fails("add", "a/b", "y")
    assert "is not a model id" in run.fails("add", "my model", "y")
    assert "no model c/d is configured; there are a/b" in run.fails("remove", "c/d")
    assert "has no value; write it name=value" in run.fails("add", "c/d", "x", "--set", "keep")
    assert run.config.read_bytes() == before
    assert sorted(path.name for path in run.folder.iterdir()) == ["imagemill.toml"]


def test_a_model_is_listed_shown_and_checked(run: Run, checkpoint: Checkpoint) -> None:
    run("add", "a/flux", str(checkpoint("flux-dev")))
    size = sum(p.stat().st_size for p in checkpoint("flux-dev").rglob("*") if p.is_file())
    assert f"a/flux  {size / 2**20:.1f} MiB  folder" in run("list")
    shown = run("show", "a/flux")
    assert re.search(r"transformer  FluxTransformer2DModel  F16  \d", shown)
    report = run("check")
    for line in (
        r"a/flux: works",
        r"family     FluxPipeline",
        r"precision  (float32|bfloat16) on cpu",
        r"memory     \d+\.\d MiB of weights",
        r"tasks      paint",
        r"batches    yes: requests share forwards",
        r"took       \d+\.\d s to load",
    ):
        assert re.search(line, report), line


def test_what_another_server_paints_is_listed_and_not_asked_for(run: Run) -> None:
    run.config.write_text('[upstreams.x]\nkind = "fal"\nurl = "http://127.0.0.1:1"\n', "utf-8")
    run("add", "a/b", "upstream:x/fal-ai/imagen4")
    assert "a/b  0 B  upstream x  upstream:x/fal-ai/imagen4" in run("list")
    assert "a/b: is painted by the upstream x, and not checked" in run("check")
    assert "there is no upstream y; add upstreams.y" in run.fails("add", "c/d", "upstream:y/z")


def test_a_model_that_does_not_work_is_told_and_the_others_are_checked(
    run: Run, checkpoint: Checkpoint
) -> None:
    run("add", "a/empty", str(run.folder / "hub"))
    run("add", "b/pico", "pico")
    (run.folder / "hub").mkdir()
    told = run.fails("check")
    assert "a/empty: does not work: hub is no model's folder" in told
    assert "b/pico: works" in told
    assert "1 of 2 models do not work" in told


def test_a_model_is_pulled_from_the_hub_once(run: Run, checkpoint: Checkpoint) -> None:
    with hub("some/model", checkpoint("sd15")) as (address, repository):
        online = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0"}
        pulled = run("pull", "some/model", **online)
        assert "some/model: StableDiffusionPipeline, " in pulled
        fetched = len(repository.asked)
        assert fetched > 5
        run("pull", "some/model", **online)
        assert len(repository.asked) == fetched
    run("add", "some/model", "some/model")
    assert "MiB  Hub cache  some/model" in run("list")
    assert "some/model: StableDiffusionPipeline, " in run("pull", "some/model")  # offline


def test_what_cannot_be_pulled_is_told(run: Run) -> None:
    assert "nothing of it is in the cache" in run.fails("pull", "no/such")
    assert "is no Hub id; write it owner/name" in run.fails("pull", "/a/folder")


def test_no_path_of_this_machine_is_the_name_of_what_is_painted(tmp_path: Path) -> None:
    from imagemill.cli import _named

    (tmp_path / "sdxl.safetensors").touch()
    for place in (tmp_path, tmp_path / "sdxl.safetensors"):
        assert _named(str(place)) == (place.name, {place.name: str(place)})
