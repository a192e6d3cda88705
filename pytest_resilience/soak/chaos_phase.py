"""The chaos phase: one scenario after the other, each until the suite has recovered."""

import random
from collections.abc import Sequence
from itertools import count
from typing import Protocol

from pytest_resilience.chaos.records import NotRun
from pytest_resilience.soak import messages
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.recovery import LIMIT_ROUNDS, LIMIT_SECONDS
from pytest_resilience.soak.script import Script, Until
from pytest_resilience.soak.state import RunnerState
from pytest_resilience.store.records import Record
from pytest_resilience.units import format_duration

MIN_WINDOW_SECONDS = 2.0
MIN_WINDOW_ROUNDS = 2
MAX_WINDOW_SECONDS = 300.0
BEGUN_ROUND = 1
"""The round that is under way when a fault is armed or removed counts for nothing."""

PASSES = 3
STRETCH = 3
SPARE = 1.5

Pair = tuple[str, str]


class Stage(Protocol):
    """What the phase needs of the conductor."""

    state: RunnerState
    duration: float

    def now(self) -> float: ...
    def send(self, message: Message) -> None: ...
    def put(self, record: Record) -> None: ...


class ChaosPhase:
    """Injects each (scenario, service) pair, in an order drawn by `rng`, until `end` (run seconds)."""

    def __init__(self, stage: Stage, pairs: Sequence[Pair], end: float, rng: random.Random) -> None:
        self._stage, self._pairs, self._end, self._rng = stage, list(pairs), end, rng
        self._began = stage.now()
        self._numbers = count(1)
        self._ran: set[Pair] = set()
        share = (end - stage.now()) / (2 * PASSES * max(1, len(pairs)))
        self._window = min(MAX_WINDOW_SECONDS, max(MIN_WINDOW_SECONDS, share))

    def script(self) -> Script:
        """Pass over all pairs again and again while there is room; list what never had any."""
        try:
            while self._pairs and self._has_room():
                self._rng.shuffle(self._pairs)
                for pair in tuple(self._pairs):
                    if self._has_room():
                        yield from self._event(*pair)
        finally:
            for pair in sorted(set(self._pairs) - self._ran):
                self._stage.put(self._not_run(*pair))

    def _event(self, scenario: str, service: str) -> Script:
        event_id = f"{scenario}-{next(self._numbers)}"
        state = self._stage.state
        self._stage.send(messages.Inject(event_id, scenario, service))
        if event_id not in state.events:
            self._pairs.remove((scenario, service))  # what cannot be injected once is not tried again
            self._stage.put(NotRun(scenario, service, "; ".join(state.troubles[-1:]), possible=True))
            return
        self._ran.add((scenario, service))
        try:
            yield from self._strike(event_id)
        finally:
            self._stage.send(messages.Remove(event_id))
        if not state.events[event_id].fired:
            self._stage.send(messages.Settle(event_id))  # there is nothing to recover from
            return
        limit = max(LIMIT_SECONDS, LIMIT_ROUNDS * state.progress.longest_round)
        self._stage.put(state.update_event(event_id, limit_seconds=limit))
        yield Until(self._end, lambda: state.awaited() is None)

    def _strike(self, event_id: str) -> Script:
        """Wait for the window, at least two rounds, and (within reason) until the fault has fired."""
        started, state = self._stage.now(), self._stage.state
        enough_rounds = state.progress.rounds + BEGUN_ROUND + MIN_WINDOW_ROUNDS

        def struck() -> bool:
            waited = self._stage.now() >= started + self._window
            return waited and state.progress.rounds >= enough_rounds and state.events[event_id].fired > 0

        yield Until(min(self._end, started + STRETCH * self._needed()), struck)

    def _needed(self) -> float:
        """Return the seconds that one event takes: its window and the first whole round after it."""
        longest = self._stage.state.progress.longest_round
        whole_round = (BEGUN_ROUND + 1) * longest
        return max(self._window, (BEGUN_ROUND + MIN_WINDOW_ROUNDS) * longest) + whole_round

    def _has_room(self) -> bool:
        """Tell whether one more event fits in; into a suite that is still ill it would prove nothing."""
        recovered = self._stage.state.unrecovered() is None
        return recovered and self._stage.now() + self._needed() <= self._end

    def _not_run(self, scenario: str, service: str) -> NotRun:
        ill = self._stage.state.unrecovered()
        if ill:
            reason = f"the suite had not recovered from {ill.event_id}"
            return NotRun(scenario, service, reason, possible=True)
        reason = "no room in the budget of CHAOS_INJECTION"
        return NotRun(scenario, service, reason, self._more_room(), possible=True)

    def _more_room(self) -> str:
        """Say what would be enough: a budget, and the soak that has it."""
        needed = SPARE * self._needed() * len(self._pairs)
        share = (self._end - self._began) / self._stage.duration
        soak = f"--soak-duration={format_duration(needed / share)}" if share else "a longer soak"
        return f"Use {soak}, or CHAOS_INJECTION = {format_duration(needed)} in soak_phases."
