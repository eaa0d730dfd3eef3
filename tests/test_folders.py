"""What a server keeps can be looked into by its own user alone."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagemill.folders import close, keep_private
from tests.engines import PlainEngine
from tests.test_admission import open_server

pytestmark = pytest.mark.anyio


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_others(folder: Path) -> list[str]:
    """All below a folder that another user could reach, by its path there."""
    found = []
    for path in sorted(folder.iterdir()):
        if mode(path) & 0o077:
            found.append(str(path.relative_to(folder)))
        if path.is_dir() and mode(path) & 0o077:
            found += [f"{path.name}/{each}" for each in open_to_others(path)]
    return found


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """Whatever is made is readable by everybody, unless its maker says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


async def used(folder: Path, **settings: Any) -> None:
    """A server that has painted, kept, taken an upload and been told a prompt."""
    async with open_server(folder, PlainEngine(), **settings) as client:
        for path, body in (("/", {"inputs": "a cat", "seed": 1}), ("/models/a/b", {"inputs": "b"})):
            assert (await client.post(path, json=body)).status_code == 200
        body = {"prompt": "a cat"}
        assert (await client.post("/fal/run/fal-ai/flux/dev", json=body)).status_code == 200
        stored = await client.post("/fal/cdn/files/upload", content=b"mine")
        assert stored.status_code == 200


async def test_nobody_else_may_enter_a_data_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    await used(folder)
    assert mode(folder) == 0o700
    assert {"files", "pictures", "imagemill.db"} <= {path.name for path in folder.iterdir()}
    assert open_to_others(folder) == []


async def test_in_a_folder_for_other_things_what_is_ours_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    note = tmp_path / "note.txt"
    note.write_text("for everybody", "utf-8")
    await used(tmp_path)
    assert mode(tmp_path) == 0o755
    assert open_to_others(tmp_path) == ["note.txt"]


async def test_a_folder_of_an_earlier_version_is_closed_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data"
    await used(folder)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    caplog.clear()
    await used(folder)
    assert mode(folder) == 0o700
    assert open_to_others(folder) == []
    told = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert "data was open to other users of this machine; it is closed now" in told
    caplog.clear()
    await used(folder)
    assert "closed now" not in caplog.text


async def test_a_folder_that_was_closed_further_stays_so(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(0o700)
    keep = folder / "tls"
    keep.mkdir(0o500)
    keep_private(folder)
    assert mode(keep) == 0o500


async def test_a_folder_of_files_elsewhere_is_the_operator_s(tmp_path: Path) -> None:
    there = tmp_path / "there"
    await used(tmp_path / "data", files=str(tmp_path / "new"))
    assert mode(tmp_path / "new") == 0o700
    there.mkdir(0o755)
    await used(tmp_path / "other", files=str(there))
    assert mode(there) == 0o755


def test_what_another_user_owns_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    folder.mkdir(0o700)
    monkeypatch.setattr("os.geteuid", lambda: folder.stat().st_uid + 1)
    close(folder, 0o700)
    assert "data belongs to another user of this machine, who can read it" in caplog.text
