"""What lasts: no search for garbage looks through what a program is made of."""

import gc

from imagemill.garbage import lasting


def test_what_is_made_within_is_never_searched_and_garbage_still_is_afterwards() -> None:
    searches = list[str]()
    before = gc.get_freeze_count()

    def note(phase: str, _: dict[str, int]) -> None:
        searches.append(phase)

    gc.callbacks.append(note)
    try:
        with lasting():
            made = [[number] for number in range(10 * gc.get_threshold()[0])]
        assert searches == []
        assert gc.get_freeze_count() - before >= len(made)
        assert gc.isenabled()
    finally:
        gc.callbacks.remove(note)


def test_within_another_it_leaves_the_search_off() -> None:
    with lasting():
        with lasting():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
