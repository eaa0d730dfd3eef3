import pickle

import pytest

from imagemill.errors import Fault, Kind, invalid


def test_a_fault_reads_as_its_message() -> None:
    assert str(Fault(Kind.BUSY, "the queue is full", retry_after=2.0)) == "the queue is full"


def test_an_invalid_field_is_named() -> None:
    fault = invalid("width", "width 9 is out of range")
    assert (fault.kind, fault.field, fault.retry_after) == (Kind.INVALID, "width", None)


@pytest.mark.parametrize("kind", Kind)
def test_a_fault_crosses_processes_unchanged(kind: Kind) -> None:
    fault = Fault(kind, "what went wrong", field="seed", retry_after=1.5)
    there = pickle.loads(pickle.dumps(fault))
    assert vars(there) == vars(fault)
    assert str(there) == str(fault)
