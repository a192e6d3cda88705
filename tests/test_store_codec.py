"""Records survive the way over the link."""

import math
from enum import StrEnum
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.errors import StoreError
from pytest_resilience.store.codec import KINDS, decode, encode
from pytest_resilience.store.records import Note, Phase, Record

BUILTIN = {str, int, float, bool, type(None)}
RECORDS = st.one_of([st.builds(kind) for kind in KINDS])


@given(RECORDS)
def test_every_record_round_trips_as_builtin_types(record: Record) -> None:
    """What is decoded equals what was encoded, and only builtin types travel."""
    wire = encode(record)
    assert {type(value) for value in wire} <= BUILTIN
    again = decode(wire)
    assert type(again) is type(record)
    assert encode(again) == wire or any(isinstance(value, float) and math.isnan(value) for value in wire)


def test_every_kind_of_record_is_known() -> None:
    """The codec covers the whole union of records."""
    assert set(KINDS) == set(get_args(Record))


def test_an_enum_travels_as_its_plain_value() -> None:
    """A string enum in a field becomes a plain string, as links refuse subclasses."""

    class Name(StrEnum):
        ONE = "one"

    wire = encode(Phase(Name.ONE, 0, "done", 1.0))
    assert (wire[1], type(wire[1])) == ("one", str)


def test_lone_surrogates_are_written_out() -> None:
    """Text that UTF-8 cannot hold, as captured output may have, is escaped instead of lost."""
    assert decode(encode(Note(0.0, "bad \udc80 byte"))) == Note(0.0, "bad \\udc80 byte")


def test_an_unknown_kind_is_refused_with_a_suggestion() -> None:
    """A message that names no record says which one was probably meant."""
    with pytest.raises(StoreError, match=r"^'Sampel' is not a kind of record. Did you mean 'Sample'\?$"):
        decode(("Sampel", 1))


def test_a_record_of_another_shape_is_refused() -> None:
    """A message with too few values names the kind and the version as the cause."""
    with pytest.raises(StoreError, match=r"^Note was recorded by another version of pytest-resilience: "):
        decode(("Note", 1.0))
