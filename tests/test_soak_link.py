"""The link carries plain values, so that what works in one process works between two."""

from collections.abc import Iterator
from dataclasses import fields
from enum import StrEnum
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.soak import messages
from pytest_resilience.soak.link import Loopback, decode, encode
from pytest_resilience.soak.messages import Command, Message, Report
from pytest_resilience.soak.phases import PhaseName
from pytest_resilience.store.records import Record

PLAIN = (str, int, float, bool, type(None))
OWN: tuple[type[Any], ...] = (*get_args(Command), *get_args(Report))
ALL = (*OWN, *get_args(Record))
built = st.one_of([st.builds(kind) for kind in OWN])


def leaves(value: object) -> Iterator[object]:
    """Yield what a wire consists of."""
    if type(value) is tuple:
        for one in value:
            yield from leaves(one)
    else:
        yield value


@given(built)
def test_every_message_comes_back_as_it_was(message: Message) -> None:
    """Through builtin types only."""
    wire = encode(message)
    assert all(type(leaf) in PLAIN for leaf in leaves(wire))
    assert decode(wire) == message


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_kind_of_message_goes_through(kind: type[Any]) -> None:
    """Also the records; names are unique, or one would come out as the other."""
    message = kind(*("x" for _ in fields(kind)))
    assert decode(encode(message)) == message
    assert [one.__name__ for one in ALL].count(kind.__name__) == 1


def test_an_enum_goes_as_the_text_that_it_is() -> None:
    """A channel between processes takes no subclass of str."""
    message = messages.EnterPhase(PhaseName.CHAOS, 1.0, (2.0, 3.0))
    name, phase, *_ = encode(message)
    assert (type(name), type(phase)) == (str, str)
    assert decode(encode(message)) == message
    nested = messages.Declared((PhaseName.CHAOS,), (), (), 0, ())
    assert not any(isinstance(leaf, StrEnum) for leaf in leaves(encode(nested)))


def test_each_end_hears_the_other() -> None:
    """On the sender's thread, in the order sent."""
    one, other = Loopback.pair()
    heard: list[tuple[str, Message]] = []
    one.attach(lambda message: heard.append(("one", message)))
    other.attach(lambda message: heard.append(("other", message)))
    one.send(messages.Stop())
    other.send(messages.Finished("loop"))
    assert heard == [("other", messages.Stop()), ("one", messages.Finished("loop"))]


def test_a_message_that_nobody_would_hear_is_an_error() -> None:
    """Rather than a run that waits for ever."""
    one, _ = Loopback.pair()
    with pytest.raises(RuntimeError, match=r"Nobody is attached to this end, so .*Stop"):
        one.send(messages.Stop())
