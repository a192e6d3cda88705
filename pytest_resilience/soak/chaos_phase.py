"""The chaos phase: scenarios, alone or some together, each time until the suite has recovered."""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from pytest_resilience.chaos.records import ChaosEvent, NotRun
from pytest_resilience.soak import messages
from pytest_resilience.soak.candidates import Candidate
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


@dataclass(frozen=True, slots=True)
class ChaosPast:
    """What the phase did before the run was resumed.

    Args:
        began: when it began, in run seconds.
        scenarios: of the injections, by the number that ends the id of their event.
        refused: what was not run, among it what could not be injected.
    """

    began: float
    scenarios: Mapping[int, str] = field(default_factory=dict)
    refused: Sequence[NotRun] = ()

    @property
    def last(self) -> int:
        """Return the highest number that was given to an injection."""
        return max(self.scenarios, default=0)

    def scenario(self, number: int) -> str:
        return self.scenarios.get(number, "")

    def refusal(self, target: Candidate) -> NotRun:
        """Return the record of a target that could not be injected."""
        key = (target.scenario, target.target, target.seam)
        same = (one for one in self.refused if (one.scenario, one.service, one.seam) == key)
        return next(same, not_run(target, "it could not be injected before the run was resumed"))


def chaos_past(began: float, events: Iterable[ChaosEvent], refused: Sequence[NotRun]) -> ChaosPast:
    """Read the past of the phase from the records of its events."""
    numbered = ((event.event_id.rpartition("-")[2], event.scenario) for event in events)
    return ChaosPast(began, {int(number): scenario for number, scenario in numbered}, refused)


class Stage(Protocol):
    """What the phase needs of the conductor."""

    state: RunnerState
    duration: float

    def now(self) -> float: ...
    def send(self, message: Message) -> None: ...
    def put(self, record: Record) -> None: ...
    def change(self, event_id: str, **changes: float) -> None: ...
    def note(self, text: str) -> None: ...


class ChaosPhase:
    """Injects each candidate, in an order drawn by `rng`, `at_once` together, until `end` (run seconds).

    With `staying`, no fault is removed before the end, so that only that many can be injected. `past` is what
    the phase did before the run was resumed: the order goes on behind it.
    """

    def __init__(
        self,
        stage: Stage,
        targets: Sequence[Candidate],
        end: float,
        rng: random.Random,
        at_once: int = 1,
        staying: int | None = None,
        past: ChaosPast | None = None,
    ) -> None:
        self._stage, self._targets, self._end, self._rng = stage, list(targets), end, rng
        self._at_once, self._staying = at_once, staying
        self._past = past or ChaosPast(stage.now())
        self._began = self._past.began
        self._numbers = count(1)
        self._replaying = self._past.last > 0
        self._ran: set[Candidate] = set()
        share = (end - self._began) * at_once / (2 * PASSES * max(1, len(targets)))
        self._window = min(MAX_WINDOW_SECONDS, max(MIN_WINDOW_SECONDS, share))

    def script(self) -> Script:
        """Inject while there is room; list what never had any."""
        began_with_room = self._has_room()
        try:
            yield from self._passes() if self._staying is None else self._stay(self._staying)
        finally:
            stayed = began_with_room and self._staying is not None
            for target in sorted(set(self._targets) - self._ran):
                self._stage.put(self._too_many(target) if stayed else self._not_run(target))

    def _passes(self) -> Script:
        """Pass over all candidates again and again."""
        while self._targets and (self._replaying or self._has_room()):
            for salvo in salvos(variety(self._shuffled()), self._at_once):
                left = [target for target in salvo if not self._was_tried(target)]
                if left and self._has_room():
                    yield from self._strike(left)

    def _was_tried(self, target: Candidate) -> bool:
        """Tell whether the next number was given before the run was resumed; learn what became of it."""
        if not self._replaying:
            return False
        number = next(self._numbers)
        self._replaying = number < self._past.last
        if self._past.scenario(number) == target.scenario:
            self._ran.add(target)
        elif number not in self._past.scenarios:  # it could not be injected
            self._targets.remove(target)
            self._stage.put(self._past.refusal(target))
        return True

    def _stay(self, most: int) -> Script:
        """Inject as many as may be active at once, and leave them; critical ones only if no other can be."""
        if not self._has_room():
            return
        self._numbers = count(self._past.last + 1)
        events: list[str] = []
        try:
            together: list[Candidate] = []
            for target in sorted(variety(self._shuffled()), key=lambda target: target.alone):
                if may_join(target, together, most) and (event_ids := self._inject(target)):
                    together.append(target)
                    events += event_ids
            yield Until(self._end)
        finally:
            self._remove(events)
        self._await_recovery(events)

    def _shuffled(self) -> list[Candidate]:
        self._rng.shuffle(self._targets)
        return list(self._targets)

    def _strike(self, salvo: Sequence[Candidate]) -> Script:
        """Inject a salvo, remove it after its window, and wait until the suite is back."""
        events: list[str] = []
        try:
            for target in salvo:
                events += self._inject(target)
            yield from self._wait_for_hits(events)
        finally:
            self._remove(events)
        self._await_recovery(events)
        yield Until(self._end, lambda: self._stage.state.awaited() is None)

    def _inject(self, target: Candidate) -> list[str]:
        """Inject one; return its event, or nothing: what cannot be injected is not tried again."""
        event_id = f"{target.scenario}-{next(self._numbers)}"
        state = self._stage.state
        self._stage.send(messages.Inject(event_id, target.scenario, target.target, target.seam))
        if event_id in state.events:
            self._ran.add(target)
            return [event_id]
        self._targets.remove(target)
        self._stage.put(not_run(target, "; ".join(state.troubles[-1:])))
        return []

    def _remove(self, events: Sequence[str]) -> None:
        """Remove faults, and tell what went wrong with that."""
        troubles = self._stage.state.troubles
        known = len(troubles)
        for event_id in reversed(events):
            self._stage.send(messages.Remove(event_id))
        for text in troubles[known:]:
            self._stage.note(text)

    def _await_recovery(self, events: Iterable[str]) -> None:
        """Set the limits of what fired; the others are over, as there is nothing to recover from."""
        state = self._stage.state
        limit = max(LIMIT_SECONDS, LIMIT_ROUNDS * state.progress.longest_round)
        for event_id in events:
            if state.events[event_id].fired:
                self._stage.change(event_id, limit_seconds=limit)
            else:
                self._stage.send(messages.Settle(event_id))

    def _wait_for_hits(self, events: Collection[str]) -> Script:
        """Wait for the window, at least two rounds, and (within reason) until every fault has fired."""
        if not events:
            return
        started, state = self._stage.now(), self._stage.state
        enough_rounds = state.progress.rounds + BEGUN_ROUND + MIN_WINDOW_ROUNDS

        def struck() -> bool:
            waited = self._stage.now() >= started + self._window
            fired = all(state.events[event_id].fired > 0 for event_id in events)
            return waited and state.progress.rounds >= enough_rounds and fired

        yield Until(min(self._end, started + STRETCH * self._needed()), struck)

    def _needed(self) -> float:
        """Return the seconds that one salvo takes: its window and the first whole round after it.

        How long rounds are under one fault says nothing about the next: the calm ones count.
        """
        longest = self._stage.state.progress.longest_calm_round
        whole_round = (BEGUN_ROUND + 1) * longest
        return max(self._window, (BEGUN_ROUND + MIN_WINDOW_ROUNDS) * longest) + whole_round

    def _has_room(self) -> bool:
        """Tell whether one more salvo fits in; into a suite that is still ill it would prove nothing."""
        recovered = self._stage.state.unrecovered() is None
        return recovered and self._stage.now() + self._needed() <= self._end

    def _not_run(self, target: Candidate) -> NotRun:
        ill = self._stage.state.unrecovered()
        if ill:
            return not_run(target, f"the suite had not recovered from {ill.event_id}")
        return not_run(target, "no room in the budget of CHAOS_INJECTION", self._more_room())

    def _too_many(self, target: Candidate) -> NotRun:
        reason = (
            f"no room beside the faults that stay until the end of CHAOS_INJECTION (at most {self._staying})"
        )
        return not_run(target, reason, "Set resilience_auto_recovery = true.")

    def _more_room(self) -> str:
        """Say what would be enough: a budget, and the soak that has it."""
        needed = SPARE * self._needed() * len(list(salvos(variety(self._targets), self._at_once)))
        share = (self._end - self._began) / self._stage.duration
        soak = f"--soak-duration={format_duration(needed / share)}" if share else "a longer soak"
        return f"Use {soak}, or CHAOS_INJECTION = {format_duration(needed)} in soak_phases."


def variety(targets: Iterable[Candidate]) -> list[Candidate]:
    """Reorder so that each scenario comes once before any comes again: most kinds find room."""
    seen: Counter[str] = Counter()
    turns = []
    for target in targets:
        turns.append((seen[target.scenario], target))
        seen[target.scenario] += 1
    return [target for _, target in sorted(turns, key=lambda turn: turn[0])]


def salvos(targets: Sequence[Candidate], at_once: int) -> Iterable[Sequence[Candidate]]:
    """Yield what is injected together: never two scenarios on one target, and a critical one alone."""
    left = list(targets)
    while left:
        salvo = [left.pop(0)]
        for other in tuple(left):
            if may_join(other, salvo, at_once):
                salvo.append(other)
                left.remove(other)
        yield salvo


def may_join(one: Candidate, others: Sequence[Candidate], at_once: int) -> bool:
    """Tell whether one may be injected while the others are active."""
    if not others:
        return True
    room = len(others) < at_once and not one.alone
    return room and not any(other.alone or other.target == one.target for other in others)


def not_run(target: Candidate, reason: str, fix: str = "") -> NotRun:
    """Return the record of a scenario that could have acted and was not injected."""
    return NotRun(target.scenario, target.target, reason, fix, possible=True, seam=target.seam)
