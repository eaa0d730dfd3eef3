"""The disk cache of finished pictures."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from imagemill.files import Cache, key, pack, unpack
from imagemill.generation import GeneratedImages

A, B, C = (key(name) for name in "abc")


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def make_cache(folder: Path, max_bytes: int = 10_000, max_age: float = 1e6) -> Cache:
    return Cache(folder, max_bytes, max_age, Clock())


def kept_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_was_put_comes_back(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    cache.put(A, b"picture")
    assert cache.get(A) == b"picture"
    assert cache.get(B) is None


def test_entries_survive_a_restart(tmp_path: Path) -> None:
    make_cache(tmp_path).put(A, b"picture")
    again = make_cache(tmp_path)
    assert again.get(A) == b"picture"
    assert again.size == 32 + 7


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = make_cache(tmp_path, max_bytes=2 * (32 + 10))
    cache.put(A, b"a" * 10)
    cache.put(B, b"b" * 10)
    cache.get(A)
    cache.put(C, b"c" * 10)
    assert [cache.get(each) is not None for each in (A, B, C)] == [True, False, True]
    assert len(kept_files(tmp_path)) == 2


def test_what_was_used_last_is_known_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    cache = Cache(tmp_path, 2 * (32 + 10), 1e6, clock)
    cache.put(A, b"a" * 10)
    cache.put(B, b"b" * 10)
    cache.get(A)
    again = Cache(tmp_path, 2 * (32 + 10), 1e6, clock)
    again.put(C, b"c" * 10)
    assert [again.get(each) is not None for each in (A, B, C)] == [True, False, True]


def test_what_is_larger_than_the_bound_is_not_kept_and_drives_nothing_out(tmp_path: Path) -> None:
    cache = make_cache(tmp_path, max_bytes=100)
    cache.put(A, b"small")
    cache.put(B, b"b" * 100)
    assert (cache.get(A), cache.get(B)) == (b"small", None)


def test_a_smaller_bound_after_a_restart_is_obeyed(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    cache.put(A, b"a" * 10)
    cache.put(B, b"b" * 10)
    again = make_cache(tmp_path, max_bytes=50)
    assert [again.get(each) for each in (A, B)] == [None, b"b" * 10]
    assert len(kept_files(tmp_path)) == 1


def test_an_old_entry_is_a_miss_and_is_removed(tmp_path: Path) -> None:
    clock = Clock()
    cache = Cache(tmp_path, 10_000, 60, clock)
    cache.put(A, b"picture")
    clock.now += 61
    assert cache.get(A) is None
    assert kept_files(tmp_path) == []


def test_entries_that_grew_old_while_the_server_was_down_are_removed(tmp_path: Path) -> None:
    clock = Clock()
    Cache(tmp_path, 10_000, 60, clock).put(A, b"picture")
    clock.now += 61
    assert Cache(tmp_path, 10_000, 60, clock).size == 0
    assert kept_files(tmp_path) == []


@pytest.mark.parametrize("broken", [b"", b"short", b"x" * 39, b"x" * 4000])
def test_a_broken_file_is_a_miss_and_is_removed(tmp_path: Path, broken: bytes) -> None:
    cache = make_cache(tmp_path)
    cache.put(A, b"picture")
    (file,) = kept_files(tmp_path)
    file.write_bytes(broken)
    assert cache.get(A) is None
    assert kept_files(tmp_path) == []
    cache.put(A, b"picture")
    assert cache.get(A) == b"picture"


def test_a_truncated_file_is_a_miss(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    cache.put(A, b"picture")
    (file,) = kept_files(tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    assert cache.get(A) is None


def test_a_file_that_vanished_is_a_miss(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    cache.put(A, b"picture")
    kept_files(tmp_path)[0].unlink()
    assert cache.get(A) is None
    assert cache.size == 0


def test_what_a_crash_left_half_written_is_removed(tmp_path: Path) -> None:
    make_cache(tmp_path).put(A, b"picture")
    kept_files(tmp_path)[0].with_suffix(".part").write_bytes(b"pict")
    again = make_cache(tmp_path)
    assert len(kept_files(tmp_path)) == 1
    assert again.get(A) == b"picture"


def test_a_folder_that_cannot_be_written_costs_only_the_cache(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    cache = make_cache(tmp_path / "file")
    cache.put(A, b"picture")
    assert cache.get(A) is None
    assert "could not be kept" in caplog.text


def test_a_bound_of_nothing_keeps_nothing(tmp_path: Path) -> None:
    cache = make_cache(tmp_path / "none", max_bytes=0)
    cache.put(A, b"")
    assert cache.get(A) is None
    assert not (tmp_path / "none").exists()


def test_a_key_tells_every_part_apart() -> None:
    assert len({key("ab", "c"), key("a", "bc"), key("abc"), key(["a"], "bc")}) == 4


@pytest.mark.parametrize(
    "painted",
    [
        GeneratedImages((b"one",), 0.5, "pico"),
        GeneratedImages((b"\n\n", b"", b"three"), 1.25, "a/b", ("wörd", 'a"b')),
    ],
)
def test_finished_pictures_are_the_same_after_packing(painted: GeneratedImages) -> None:
    assert unpack(pack(painted)) == painted
