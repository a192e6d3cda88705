"""The watchdog: an iteration that hangs is shown with all stacks, ended, and counted as a failure."""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple, NoReturn, Protocol

from pytest_resilience.clock import Clock
from pytest_resilience.errors import ResilienceError
from pytest_resilience.soak.limits import Limit
from pytest_resilience.soak.outcome import Outcome, Status
from pytest_resilience.store.records import Hang
from pytest_resilience.units import format_duration

LONGEST_GRACE_SECONDS = 30.0
SHORTEST_GRACE_SECONDS = 1.0
LONGEST_POLL_SECONDS = 1.0
POLLS = 20
"""In the shortest limit, so that a hang is noticed at most 5 % late."""

STALLED_SECONDS = 5.0
"""A watchdog that is this late was stopped, with the whole process: that time is no hang."""

HUNG = "hung"
STILL_HANGING = "still hanging"
INTERRUPTED = "interrupted"
ENDED_BY_ITSELF = "it ended by itself"
NOT_INTERRUPTED = "it could not be interrupted, so {}"


class HungIteration(BaseException):
    """Raised in an iteration that hangs, to end it."""


class Iteration(NamedTuple):
    """An iteration under way; `started` in run seconds."""

    test: str
    phase: str
    started: float


class Timer(NamedTuple):
    """A time that the test was given for itself, in seconds; `started` in run seconds."""

    started: float
    seconds: float

    @property
    def verdict(self) -> str:
        return f"the iteration hung: it took longer than its own timeout ({format_duration(self.seconds)})"


class _Hung(NamedTuple):
    iteration: Iteration
    record: Hang
    verdict: str
    grace: float


class Rescue(Protocol):
    """What can be done about an iteration that hangs, where the tests run."""

    watchdog: "Watchdog | None"

    @property
    def last_resort(self) -> str:
        """Say what `give_up` does."""

    def is_debugged(self) -> bool:
        """Tell whether somebody looks at the tests with a debugger: then nothing hangs."""

    def stacks(self) -> str:
        """Return the stacks of all threads and tasks."""

    def interrupt(self) -> None:
        """Let the iteration raise HungIteration, if the watchdog still wants it; may be called again."""

    def give_up(self, hang: Hang) -> None:
        """End the run, or this process's part in it, though the iteration hangs on; may not return."""


def leave_process(code: int) -> NoReturn:
    """End this process at once, whatever its threads do."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it, or it is closed
            stream.flush()
    os._exit(code)


class Watchdog:
    """Looks from a thread of its own at the iteration under way.

    Time while a fault is armed does not count: a call that a fault lets hang is no hang of the code, as long
    as the fault's end ends it.

    Args:
        limit: how long an iteration may take.
        calm_since: returns since when no fault is armed (run seconds), infinity while one is.
        owner: returns the event that an iteration of a test, from one time to another, belongs to, or "".
        rescue: ends the iteration, or the run.
        keep: keeps a record of the hang, and again when it has changed.
    """

    def __init__(
        self,
        limit: Limit,
        *,
        clock: Clock,
        origin: float,
        calm_since: Callable[[], float],
        owner: Callable[[str, float, float], str],
        rescue: Rescue,
        keep: Callable[[Hang], None],
    ) -> None:
        self.current: Iteration | None = None
        self._timer: Timer | None = None
        self._limit, self._clock, self._origin = limit, clock, origin
        self._calm_since, self._owner = calm_since, owner
        self._rescue, self._keep = rescue, keep
        rescue.watchdog = self
        self._hung: _Hung | None = None
        self._raised = False
        self._looked = self._stalled_until = self._reported = 0.0
        self._stop, self._unclaimed = threading.Event(), threading.Event()
        self._unclaimed.set()
        self._thread = threading.Thread(target=self._work, name="resilience-watchdog", daemon=True)

    # On the tests' thread

    def end(self, outcome: Outcome) -> Outcome:
        """End the current iteration; return its outcome, which is a failure if it hung."""
        iteration, self.current = self.current, None
        hung = self._hung
        if hung is None or hung.iteration is not iteration:
            return outcome
        self._unclaimed.wait()  # for ever, if the run is just being ended
        failure = self.failure()
        self._hung = None
        self._keep(replace(hung.record, ending=INTERRUPTED if self._raised else ENDED_BY_ITSELF))
        return outcome if outcome.status is Status.FAILED else failure

    def wants_interrupt(self) -> bool:
        """Tell whether the iteration under way is to be interrupted; whoever is told so must do it."""
        if self._hung is None or self._hung.iteration is not self.current or self._raised:
            return False
        self._raised = True
        return True

    def set_timer(self, seconds: float) -> None:
        """Give the test under way a time of its own, in which faults are no excuse."""
        self._timer = Timer(self._now(), seconds)

    def cancel_timer(self) -> bool:
        """Take that time back; tell whether there was any."""
        timer, self._timer = self._timer, None
        return timer is not None

    @property
    def verdict(self) -> str:
        """Say what is wrong with the iteration that hangs."""
        return self._hung.verdict if self._hung else ""

    def failure(self) -> Outcome:
        """Return the outcome of an iteration that hung."""
        text = self.verdict
        return Outcome(Status.FAILED, 0.0, "call", HUNG, lambda: text)

    # On the thread of its own

    def start(self) -> None:
        self._looked = self._now()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; it may be called on that thread too."""
        self._stop.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _work(self) -> None:
        period = min(LONGEST_POLL_SECONDS, self._limit.shortest / POLLS)
        while not self._clock.wait(self._stop, period):
            try:
                self.look()
            except ResilienceError:
                return  # the record has failed: the run ends by itself with that

    def look(self) -> None:
        """Do what is due now."""
        now = self._now()
        if now - self._looked > STALLED_SECONDS or self._rescue.is_debugged():
            self._stalled_until = now
        self._looked = now
        iteration = self.current
        if iteration is None:
            return
        if self._hung is not None and self._hung.iteration is iteration:
            self._insist(self._hung, now)
        elif timer := self._expired_timer(now):
            self._report(iteration, now, timer.seconds, timer.verdict)
        elif self._waited(iteration, now) > (limit := self._limit.seconds(iteration.test)):
            self._report(iteration, now, limit, self._limit.verdict(iteration.test))

    def _expired_timer(self, now: float) -> Timer | None:
        timer = self._timer
        if timer is None or now - max(timer.started, self._stalled_until) <= timer.seconds:
            return None
        return timer

    def _waited(self, iteration: Iteration, now: float) -> float:
        return now - max(iteration.started, self._stalled_until, self._calm_since())

    def _report(self, iteration: Iteration, now: float, limit: float, verdict: str) -> None:
        test, phase, started = iteration
        owner = self._owner(test, started, now)
        hang = Hang(test, started, phase, now - started, owner, STILL_HANGING, self._read_stacks())
        self._raised, self._reported = False, now
        self._keep(hang)
        grace = min(LONGEST_GRACE_SECONDS, max(SHORTEST_GRACE_SECONDS, limit))
        self._hung = _Hung(iteration, hang, verdict, grace)
        self._rescue.interrupt()

    def _read_stacks(self) -> str:
        try:
            return self._rescue.stacks()
        except Exception as error:  # whatever is wrong with them, the iteration is to be ended
            return f"The stacks could not be read: {error!r}."

    def _insist(self, hung: _Hung, now: float) -> None:
        """Interrupt again, as long as that had no effect; in the end give up, unless it ends just now."""
        if now - max(self._reported, self._stalled_until) <= hung.grace:
            if not self._raised:
                self._rescue.interrupt()
            return
        self._unclaimed.clear()
        if self.current is not hung.iteration:
            self._unclaimed.set()
            return
        ended = replace(hung.record, ending=NOT_INTERRUPTED.format(self._rescue.last_resort))
        self._keep(ended)
        self._stop.set()
        self._rescue.give_up(ended)

    def _now(self) -> float:
        return self._clock.now() - self._origin
