"""Hooks that raise or come in disorder, streams closed early, coroutine functions in sync wrappers."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import cast

from pytest_resilience.breakers.drive import Drive, Mismatch
from pytest_resilience.breakers.flight import NotPossibleError, Outcome
from pytest_resilience.breakers.hazards.hazard import (
    Hazard,
    half_open,
    must_recover,
    need,
    places,
    probes_that_end,
)

CYCLE = ("open", "half_open", "closed")


class HookError(Exception):
    """What a raising hook raises."""


@contextmanager
def unlogged_hook_errors() -> Iterator[None]:
    """Keep the log clean of what hooks raise on purpose: careful libraries log it, with a traceback each."""
    handlers = [handler for handler in (logging.lastResort, *logging.getLogger().handlers) if handler]
    try:
        for handler in handlers:
            handler.addFilter(_is_no_hook_error)
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(_is_no_hook_error)


def _is_no_hook_error(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HookError))


class _Raising:
    """A hook that raises while it is armed: always, or only once the call has been in the dependency."""

    def __init__(self, drive: Drive, what: str) -> None:
        self._drive = drive
        self._what = what
        self._raises_from: int | None = None
        self.asked = 0

    def listen(self, event: str) -> None:
        self._ask()

    def judge(self, error: BaseException) -> bool:
        self._ask()
        return False

    def _ask(self) -> None:
        if self._raises_from is not None and self._drive.bench.entries >= self._raises_from:
            self.asked += 1
            raise HookError(f"the {self._what} failed")

    def during(self, outcome: Outcome, *, after_entry: bool = False) -> None:
        """Raise in one call, or only after that call was in the dependency."""
        self._raises_from = self._drive.bench.entries + after_entry
        asked = self.asked
        with unlogged_hook_errors():
            self._drive.attempt(outcome)
        self._raises_from = None
        if self.asked > asked:
            self._drive.note(f"in that call the {self._what} raised")

    def must_have_raised(self) -> None:
        """Leave out a breaker that never asked: nothing was tried then."""
        if not self.asked:
            raise NotPossibleError(f"the breaker did not ask its {self._what} here")


def _predicate(drive: Drive) -> None:
    need(drive, "judge_by", "add a predicate for errors")
    predicate = _Raising(drive, "predicate")
    drive.bench.adapter.judge_by(predicate.judge)
    half_open(drive)
    for _ in range(places(drive)):
        predicate.during("failure")
    predicate.must_have_raised()
    must_recover(drive)


def _listening(drive: Drive) -> _Raising:
    need(drive, "listen", "add a listener")
    listener = _Raising(drive, "listener")
    drive.bench.adapter.listen(listener.listen)
    return listener


def _listener_in_probe(drive: Drive) -> None:
    listener = _listening(drive)
    half_open(drive)
    for _ in range(places(drive)):
        listener.during("ok")
    drive.outlast_open()
    for _ in range(places(drive)):
        listener.during("failure", after_entry=True)
    listener.must_have_raised()
    must_recover(drive)


def _listener_in_trip(drive: Drive) -> None:
    listener = _listening(drive)
    for _ in range(drive.traits.threshold):
        listener.during("failure", after_entry=True)
    listener.must_have_raised()
    drive.healthy(1, enter=False)


def _listener_order(drive: Drive) -> None:
    need(drive, "listen", "add a listener")
    told: list[str] = []
    drive.bench.adapter.listen(told.append)
    drive.trip()
    drive.recover()
    states = tuple(event[len("state ") :].replace("-", "_") for event in told if event.startswith("state "))
    if not states:
        raise NotPossibleError("its listeners are not told of states")
    if states != CYCLE:
        raise Mismatch(
            f"expected the listener to be told {' > '.join(CYCLE)}, but it was {' > '.join(states)}"
        )


def _listener_calls_breaker(drive: Drive) -> None:
    need(drive, "listen", "add a listener")
    bench = drive.bench
    if bench.way == "async":
        raise NotPossibleError("a listener is a function and cannot await a call")

    telling = False

    def listen(event: str) -> None:
        nonlocal telling
        if event.startswith("state ") and not telling:
            telling = True
            with suppress(Exception):
                bench.adapter.call(str)

    bench.adapter.listen(listen)
    for _ in range(drive.traits.threshold):
        if drive.attempt("failure").blocked:
            raise Mismatch("expected a listener to be able to use the breaker, but both wait for each other")


def _stream_does_not_open(drive: Drive) -> None:
    drive.bench.check("closed", "generator")
    for _ in range(drive.traits.threshold):
        stream = drive.take_off(kind="generator")
        drive.land(stream, "closed")
        if stream.raised is not None:
            raise Mismatch(f"expected a stream to be closed quietly, but it raised {stream.raised!r}")
    drive.healthy(1, enter=True)


def _stream_keeps_no_slot(drive: Drive) -> None:
    probes_that_end(drive, "closed", places(drive), kind="generator")
    must_recover(drive)


def _failing_streams_open(drive: Drive) -> None:
    drive.bench.check("failure", "generator")
    for _ in range(drive.traits.threshold):
        drive.land(drive.take_off(kind="generator"), "failure")
    drive.healthy(1, enter=False)


def _coroutine_function(drive: Drive) -> None:
    need(drive, "wrap", "decorate a function")
    entered = 0

    async def dependency() -> None:
        nonlocal entered
        entered += 1
        raise drive.traits.failure("the dependency is down")

    for _ in range(drive.traits.threshold + 1):
        before = entered
        if (
            isinstance(drive.bench.by_hand(lambda: _await(drive, dependency)).raised, TypeError)
            and not entered
        ):
            drive.note("refused to wrap a coroutine function")
            return
        drive.note(f"failing coroutine {'entered' if entered > before else 'rejected'}")
    if entered > drive.traits.threshold:
        raise Mismatch(
            f"expected a coroutine function to be rejected after {drive.traits.threshold} failures"
        )


def _await(drive: Drive, dependency: Callable[[], Awaitable[None]]) -> object:
    """Call a decorated coroutine function as its users do."""
    result = drive.bench.adapter.wrap(dependency)()
    if not inspect.isawaitable(result):
        return result

    async def wait() -> object:
        return await cast("Awaitable[object]", result)

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(wait())
    finally:
        loop.close()


HOOKS = (
    Hazard(
        "slot_lost_by_raising_predicate",
        "wrong",
        "A predicate that raises in a probe does not cost the breaker its place for probes.",
        _predicate,
    ),
    Hazard(
        "slot_lost_by_raising_listener",
        "wrong",
        "A listener that raises in a probe does not cost the breaker its place for probes.",
        _listener_in_probe,
    ),
    Hazard(
        "kept_closed_by_raising_listener",
        "wrong",
        "A listener that raises does not keep the breaker from opening.",
        _listener_in_trip,
    ),
    Hazard(
        "listener_order",
        "wrong",
        "Listeners are told of the states in the order in which the breaker takes them, each once.",
        _listener_order,
    ),
    Hazard(
        "deadlock_with_listener",
        "wrong",
        "A listener may use the breaker that tells it something.",
        _listener_calls_breaker,
    ),
    Hazard(
        "closed_streams_open",
        "wrong",
        "A consumer that stops reading a stream early is no failure of the dependency.",
        _stream_does_not_open,
    ),
    Hazard(
        "slot_lost_by_closed_stream",
        "wrong",
        "A probe whose stream is closed early gives its place back.",
        _stream_keeps_no_slot,
    ),
    Hazard(
        "failing_streams_missed",
        "wrong",
        "Streams that fail on their way open the breaker as calls that fail do.",
        _failing_streams_open,
    ),
    Hazard(
        "coroutine_function_missed",
        "wrong",
        "A decorated coroutine function is guarded or refused, and not taken for one that always succeeds.",
        _coroutine_function,
    ),
)
