"""What is sent between test process and supervisor comes out as it went in, and nothing else comes out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from enum import StrEnum
from typing import Any, Literal, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.chaos.host import specs as host
from pytest_resilience.chaos.network import specs as network
from pytest_resilience.chaos.network.toxics import AnyToxic, Latency
from pytest_resilience.chaos.supervisor.codec import Codec, Plain, encode
from pytest_resilience.chaos.supervisor.messages import (
    ANSWERS,
    Lines,
    Refused,
    Saw,
    Start,
    Started,
    Stop,
    number_of,
    read_answer,
    read_request,
    request_codec,
    to_line,
)
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.endpoints import Endpoint
from pytest_resilience.errors import ScenarioError


@dataclass(frozen=True, slots=True)
class Mixed:
    """Every form that a field may have."""

    pair: tuple[int, str]
    level: Literal["low", "high", 3]
    maybe: float | bool | None = None
    inner: "Mixed | Endpoint | None" = None


SPECS: list[type[Any]] = [
    value
    for module in (host, network)
    for value in vars(module).values()
    if isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__
]
KINDS = [*SPECS, Mixed]
CODEC = Codec(KINDS)

numbers = {float: st.floats(0, 1), int: st.integers(0, 2**40)}


def fitting(kind: type[Any]) -> st.SearchStrategy[object]:
    """Build dataclasses of a kind, without those that it refuses."""
    if kind is network.ToxicsSpec:
        toxics = st.one_of([fitting(toxic) for toxic in get_args(AnyToxic)])
        return st.builds(kind, toxics=st.lists(toxics, max_size=2).map(tuple))
    hints = get_type_hints(kind)
    drawn = {name: numbers.get(hint, st.from_type(hint)) for name, hint in hints.items()}
    return st.fixed_dictionaries(drawn).flatmap(lambda values: built(kind, values))


def built(kind: type[Any], values: Mapping[str, object]) -> st.SearchStrategy[object]:
    """Return the dataclass with these values, or nothing where they do not go together."""
    try:
        return st.just(kind(**values))
    except ScenarioError:
        return st.nothing()


specs = st.one_of([fitting(kind) for kind in KINDS])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
names = st.sampled_from(
    ["Mixed", "Endpoint", "CpuSpec", "pair", "level", "cores", "load", "host", "port", "path"]
)
plain_values: st.SearchStrategy[Plain] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


def through_json(value: Plain) -> Plain:
    plain: Plain = json.loads(json.dumps(value))
    return plain


@given(specs)
def test_every_spec_comes_back_as_it_was(spec: object) -> None:
    """Nested ones too, with every toxic; NaN is written as itself."""
    assert repr(CODEC.decode(through_json(encode(spec)))) == repr(spec)


@given(st.data())
def test_nothing_is_read_that_could_not_have_been_written(data: st.DataObject) -> None:
    """A message with one part replaced is refused, or is what another value is written as."""
    plain = encode(data.draw(specs))
    changed = replace_somewhere(plain, data)
    try:
        read = CODEC.decode(changed)
    except ScenarioError:
        return
    assert repr(encode(read)) == repr(changed)


def replace_somewhere(plain: Plain, data: st.DataObject) -> Plain:
    """Go down into a value and replace a part of it."""
    if isinstance(plain, dict) and plain and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(plain)))
        return {**plain, key: replace_somewhere(plain[key], data)}
    if isinstance(plain, list) and plain and data.draw(st.booleans()):
        index = data.draw(st.integers(0, len(plain) - 1))
        return [*plain[:index], replace_somewhere(plain[index], data), *plain[index + 1 :]]
    return data.draw(plain_values)


@pytest.mark.parametrize(
    ("plain", "text"),
    [
        ({"CpuSpec": {"cores": 1.5, "load": 1.0}}, "CpuSpec.cores must be one of: int, not 1.5."),
        ({"CpuSpec": {"cores": True, "load": 1.0}}, "CpuSpec.cores must be one of: int, not True."),
        ({"CpuSpec": {"cores": 1}}, "CpuSpec must be given cores, load, not {'cores': 1}."),
        ({"CpuSpec": 3}, "CpuSpec must be given cores, load, not 3."),
        ({"KillSpec": {"pid": 1, "restart": [2]}}, "KillSpec.restart must be one of: str, not 2."),
        (
            {"Mixed": {"pair": [1], "level": 3, "maybe": None, "inner": None}},
            "Mixed.pair must be 2 values, not [1].",
        ),
    ],
)
def test_what_does_not_fit_is_named(plain: Plain, text: str) -> None:
    """The field, what it may hold, and what came."""
    with pytest.raises(ScenarioError) as refused:
        CODEC.decode(plain)
    assert str(refused.value) == text


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    """The supervisor makes only what it has an effect for."""
    with pytest.raises(ScenarioError, match=r"must be one of: CpuSpec, .*not {'Rm': {}}"):
        CODEC.decode({"Rm": {}})


def test_what_cannot_come_back_is_not_sent() -> None:
    """A list would come back as a tuple, and an object not at all."""
    with pytest.raises(
        ScenarioError, match=r"What is sent to the supervisor must be a number, .* not \['run'\]"
    ):
        encode(host.KillSpec(1, ["run"]))  # type: ignore[arg-type]


def test_a_subclass_of_a_plain_value_goes_as_what_it_is() -> None:
    """An enum's text arrives as text."""

    class Stream(StrEnum):
        UP = "upstream"

    sent = network.ToxicsSpec("p", (Latency(stream=Stream.UP, latency=1),), "seed")  # type: ignore[arg-type]
    assert CODEC.decode(encode(sent)) == network.ToxicsSpec(
        "p", (Latency(stream="upstream", latency=1),), "seed"
    )


def test_requests_and_answers_go_as_lines() -> None:
    """Each bears its number; a text may hold anything, also what UTF-8 cannot."""
    codec = request_codec(SPECS)
    start = Start("a\nb\ud800", host.DiskSpec(4096))
    answer = Started((("path", "/x\n"), ("port", 1), ("load", 0.5)))
    for number, message in ((7, start), (8, Stop("ä"))):
        line = to_line(number, message)
        assert line.count(b"\n") == 1
        assert (number_of(line), read_request(line, codec)) == (number, message)
    for reply in (answer, Saw(Touched(2, 1, 0.5, 1.5, "x")), Refused("no")):
        assert read_answer(to_line(9, reply)) == reply


def test_an_answer_that_is_none_is_a_refusal() -> None:
    """An effect that tells something else than numbers and texts must not end the connection."""
    line = to_line(1, Started((("ready", True),)))
    assert read_answer(line) == Refused("Started.info must be one of: str, int, float, not True.")
    assert ANSWERS.decode({"Refused": {"text": "no"}}) == Refused("no")


@given(st.lists(st.binary(max_size=4).map(lambda part: part.replace(b"\n", b""))), st.integers(1, 5))
def test_lines_come_out_of_any_pieces(lines: list[bytes], size: int) -> None:
    """However the stream is cut."""
    stream = b"".join(line + b"\n" for line in lines) + b"rest"
    splitter = Lines()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [line for piece in pieces for line in splitter.add(piece)] == lines
