"""What the test process asks of the supervisor, and what it is told: one line of JSON each.

A line is a pair: the number of a request, which its answer bears too, and the message. Trouble has number 0.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias, cast, get_args

from pytest_resilience.chaos.supervisor.codec import Codec, encode
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.errors import ScenarioError

# instances: json.dumps and json.loads may have a fault in the test process
_WRITER, _READER = json.JSONEncoder(), json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Start:
    """Start the effect that `spec` describes under an id that was never used."""

    effect_id: str
    spec: object


@dataclass(frozen=True, slots=True)
class Stop:
    """Undo an effect; one that has not started never will."""

    effect_id: str


@dataclass(frozen=True, slots=True)
class Look:
    """Give the evidence of an effect."""

    effect_id: str


@dataclass(frozen=True, slots=True)
class ListHeld:
    """Give the ids of all effects that are not undone."""


Request: TypeAlias = Start | Stop | Look | ListHeld


@dataclass(frozen=True, slots=True)
class Started:
    """An effect acts; what it told, as pairs."""

    info: tuple[tuple[str, str | int | float], ...]


@dataclass(frozen=True, slots=True)
class Saw:
    """The evidence of an effect."""

    touched: Touched


@dataclass(frozen=True, slots=True)
class Holds:
    """The ids of effects, oldest first."""

    effect_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The request could not be done; `text` is for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something broke in the supervisor outside of a request: a traceback."""

    text: str


Answer: TypeAlias = Started | Saw | Holds | Refused | Trouble
ANSWERS = Codec(get_args(Answer))


def request_codec(specs: Iterable[type]) -> Codec:
    """Return the codec that reads requests to start effects of these kinds."""
    return Codec(get_args(Request), objects=specs)


def to_line(number: int, message: Request | Answer) -> bytes:
    """Write a message as a line."""
    return _WRITER.encode([number, encode(message)]).encode() + b"\n"


def number_of(line: bytes) -> int:
    """Return the number of a line's request, which is readable even where its message is not."""
    return int(_READER.decode(line.decode())[0])


def read_request(line: bytes, codec: Codec) -> Request:
    """Read a request; raise ScenarioError for a spec that the supervisor does not know."""
    return cast("Request", codec.decode(_READER.decode(line.decode())[1]))


def read_answer(line: bytes) -> Answer:
    """Read an answer; what is none, such as an info that is neither number nor text, is a refusal."""
    try:
        return cast("Answer", ANSWERS.decode(_READER.decode(line.decode())[1]))
    except ScenarioError as odd:
        return Refused(str(odd))


class Lines:
    """Puts the pieces of a stream together to lines."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, data: bytes) -> list[bytes]:
        """Take a piece; return the lines that it completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines
