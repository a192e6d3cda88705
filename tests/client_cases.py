"""What clients are put through: each fault of an endpoint, and what it does to their connections.

A case says what happens to a client that was connected before the fault came, or that connects meanwhile.
Each client has a table of its own: which of its errors stands for what happened.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from enum import Enum, auto
from typing import Protocol, TypeAlias

import pytest

from pytest_resilience.chaos.engine import Chaos, Injection
from pytest_resilience.chaos.network.toxics import (
    AnyToxic,
    Bandwidth,
    Down,
    FailFirst,
    Latency,
    LimitData,
    NeverAccept,
    Refuse,
    ResetPeer,
    Slicer,
    Slots,
    Timeout,
    Toxic,
)
from pytest_resilience.chaos.outside import Outside
from pytest_resilience.chaos.parameters import Parameters
from pytest_resilience.chaos.scenario import CustomScenario
from pytest_resilience.endpoints import Endpoint, EndpointSpec
from pytest_resilience.services import Service

GIVES_UP = 0.4
"""Seconds after which a client gives up for which nothing comes; others have PATIENCE."""

LATE = 0.06
"""Seconds by which answers are late that still come in time."""

RATE = 25_000.0
"""Bytes per second with which the 2 KiB of an answer take more than LATE."""

BEYOND_THE_GREETING = 1000
"""Bytes: what a server says before the first answer is less, the answer is more."""

PATIENCE = 10.0


class Client(Protocol):
    """A client of a service; it connects when it is first needed."""

    def ask(self) -> None:
        """Ask, and check the answer, which has 2 KiB at least; raise the client's own errors."""

    def close(self) -> None: ...


Connect: TypeAlias = Callable[[float], Client]
"""Makes a client that gives up after so many seconds, if it can."""


class Outcome(Enum):
    """What happens to a client."""

    UNTOUCHED = auto()
    LATE = auto()
    SLICED = auto()
    DELAYED_WITHOUT_END = auto()
    SWALLOWED = auto()
    NEVER_ACCEPTED = auto()
    REFUSED = auto()
    RESET_AT_ONCE = auto()
    RESET_MEANWHILE = auto()
    LOST_THEN_REFUSED = auto()
    LOST_THEN_RESET = auto()
    ENDED = auto()
    CUT_SHORT = auto()


WAITS_IN_VAIN = (Outcome.DELAYED_WITHOUT_END, Outcome.SWALLOWED, Outcome.NEVER_ACCEPTED)

ANSWERS = {Outcome.UNTOUCHED: 0.0, Outcome.LATE: LATE, Outcome.SLICED: 0.0}
"""The outcomes in which the right answer comes, and after how many seconds at the earliest."""


@dataclass(frozen=True)
class Error:
    """One of these, and no subclass; it and its causes, written in one line, tell what `says` looks for."""

    kinds: tuple[type[BaseException], ...]
    says: str = ""


@dataclass(frozen=True)
class Hangs:
    """The client waits for as long as the fault is there; then it gets an error, or else its answer."""

    then: Error | None


Errors: TypeAlias = Mapping[Outcome, Error | Hangs]


@dataclass(frozen=True)
class Case:
    """A fault, given to `chaos.inject`, and what it does to a client that has a connection, or has none."""

    name: str
    scenario: str | CustomScenario
    parameters: Parameters
    connected: bool
    outcome: Outcome

    def inject(self, chaos: Chaos) -> Injection:
        return chaos.inject(self.scenario, "db", seam="endpoint", **self.parameters)


def toxic(*toxics: AnyToxic) -> CustomScenario:
    return CustomScenario("toxic", toxics=toxics)


_TOXICS: tuple[tuple[AnyToxic, Outcome, Outcome], ...] = (
    (Latency(LATE), Outcome.LATE, Outcome.LATE),
    (Latency(30.0), Outcome.DELAYED_WITHOUT_END, Outcome.DELAYED_WITHOUT_END),
    (Latency(LATE, stream="upstream"), Outcome.LATE, Outcome.LATE),
    (Bandwidth(RATE), Outcome.LATE, Outcome.LATE),
    (Timeout(), Outcome.SWALLOWED, Outcome.SWALLOWED),
    (Timeout(stream="upstream"), Outcome.SWALLOWED, Outcome.SWALLOWED),
    (ResetPeer(), Outcome.LOST_THEN_RESET, Outcome.RESET_AT_ONCE),
    (Slicer(200, 100, 0.001), Outcome.SLICED, Outcome.SLICED),
    (LimitData(0), Outcome.ENDED, Outcome.ENDED),
    (LimitData(BEYOND_THE_GREETING), Outcome.CUT_SHORT, Outcome.CUT_SHORT),
    (Down(), Outcome.LOST_THEN_REFUSED, Outcome.REFUSED),
    (Refuse(), Outcome.UNTOUCHED, Outcome.REFUSED),
    (NeverAccept(), Outcome.UNTOUCHED, Outcome.NEVER_ACCEPTED),
    (FailFirst(1), Outcome.UNTOUCHED, Outcome.RESET_AT_ONCE),
    (Slots(0), Outcome.UNTOUCHED, Outcome.RESET_AT_ONCE),
    (Slots(10), Outcome.UNTOUCHED, Outcome.UNTOUCHED),
)

_SCENARIOS: tuple[tuple[str, Parameters, Outcome, Outcome], ...] = (
    ("provider_timeout", {"probability": 1.0}, Outcome.SWALLOWED, Outcome.SWALLOWED),
    ("latency_spike", {"probability": 1.0, "delay": LATE}, Outcome.LATE, Outcome.LATE),
    ("network_partition", {"mode": "reset"}, Outcome.LOST_THEN_REFUSED, Outcome.REFUSED),
    ("network_partition", {"mode": "black_hole"}, Outcome.SWALLOWED, Outcome.NEVER_ACCEPTED),
    ("database_slowdown", {"delay": LATE, "rate": RATE}, Outcome.LATE, Outcome.LATE),
    ("resource_exhaustion", {"connections": 0}, Outcome.LOST_THEN_RESET, Outcome.RESET_AT_ONCE),
    ("intermittent_errors", {"probability": 1.0}, Outcome.RESET_MEANWHILE, Outcome.RESET_MEANWHILE),
    ("packet_slicing", {}, Outcome.SLICED, Outcome.SLICED),
)


def _cases() -> Iterator[Case]:
    for one, *outcomes in _TOXICS:
        for connected, outcome in zip((True, False), outcomes, strict=True):
            yield Case(_written(one), toxic(one), {}, connected, outcome)
    for name, parameters, *outcomes in _SCENARIOS:
        for connected, outcome in zip((True, False), outcomes, strict=True):
            given = ", ".join(f"{key}={value}" for key, value in parameters.items())
            yield Case(f"{name}({given})", name, parameters, connected, outcome)


def _written(one: AnyToxic) -> str:
    """Write a toxic without what nobody gave."""
    given = ((each.name, getattr(one, each.name)) for each in fields(one) if each.init)
    told = [f"{name}={value}" for name, value in given if value != getattr(Toxic(), name, None)]
    return f"{type(one).__name__}({', '.join(told)})"


CASES = tuple(_cases())

each_case = pytest.mark.parametrize(
    "case", [pytest.param(one, id=f"{one.name}-{'connected' if one.connected else 'new'}") for one in CASES]
)


@dataclass(frozen=True)
class Rig:
    """An engine whose only service, "db", is at an endpoint, and the proxy in front of it."""

    chaos: Chaos
    outside: Outside
    endpoint: Endpoint

    def wait_until_quiet(self) -> None:
        """Wait until the connections of earlier clients are gone, so that no fault finds them."""
        proxy = self.outside.proxy(self.endpoint)
        assert eventually(
            lambda: self.outside.supervisor.touched(proxy).detail.startswith("0 connections open")
        )


@contextmanager
def rig_on(endpoint: EndpointSpec) -> Iterator[Rig]:
    """Make an engine for a service at an endpoint."""
    service, outside = Service("db", endpoint=endpoint), Outside()
    assert service.listens_at is not None
    with closing(Chaos([service], seed=7, outside=outside)) as chaos:
        yield Rig(chaos, outside, service.listens_at)


def check_case(case: Case, chaos: Chaos, connect: Connect, errors: Errors, *, reconnects: bool) -> None:
    """Let a client meet the fault; check what it gets, that the fault acted, and that it is gone then."""
    gives_up = GIVES_UP if case.outcome in WAITS_IN_VAIN else PATIENCE
    with closing(connect(gives_up)) as client:
        if case.connected:
            client.ask()
        with case.inject(chaos) as event:
            expected = errors.get(case.outcome)
            if expected is None:
                check_answer(client, ANSWERS[case.outcome])
            elif isinstance(expected, Error):
                check_error(client, expected)
            else:
                _check_wait(client, expected.then, event)
            check_evidence(event, fires=case.outcome is not Outcome.UNTOUCHED)
        if reconnects or expected is None:
            client.ask()
    with closing(connect(PATIENCE)) as another:
        another.ask()


def check_answer(client: Client, after: float) -> None:
    """Ask for the right answer, which comes `after` as many seconds or later."""
    started = time.monotonic()
    client.ask()
    assert time.monotonic() - started >= after


def check_error(client: Client, expected: Error) -> None:
    """Ask in vain."""
    with pytest.raises(expected.kinds) as raised:
        client.ask()
    told = story(raised.value)
    assert raised.type in expected.kinds, told
    assert expected.says in told, told


def check_evidence(event: Injection, *, fires: bool) -> None:
    """Check that the fault acted or did not; where this machine hides who was refused, nothing is known."""
    touched = event.touched
    assert touched.blind or (touched.fired > 0) is fires, touched
    assert touched.fired <= touched.reached


def answers(client: Client) -> bool:
    """Ask, and tell whether there was an answer."""
    try:
        client.ask()
    except Exception:
        return False
    return True


def eventually(holds: Callable[[], bool]) -> bool:
    """Tell whether something comes true in time."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def story(error: BaseException | None) -> str:
    """Write an error with its causes in one line."""
    told = []
    while error is not None:
        told.append(f"{type(error).__name__}: {error}")
        error = error.__cause__ or error.__context__
    return " < ".join(told)


def _check_wait(client: Client, then: Error | None, event: Injection) -> None:
    """Ask, and remove the fault as soon as it has acted, from another thread."""
    remover = threading.Thread(target=_remove_once_fired, args=(event,))
    remover.start()
    try:
        if then is None:
            client.ask()
        else:
            check_error(client, then)
    finally:
        remover.join()
    assert not event.active


def _remove_once_fired(event: Injection) -> None:
    eventually(lambda: event.fired > 0)
    event.remove()
