"""The conductor: clock and decisions of a soak; it never runs a test itself.

`script` is a generator that sends commands and yields what it waits for, so that a thread can drive it in
real time and a test with a manual clock.
"""

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from pytest_resilience.chaos.records import NotRun, Seam
from pytest_resilience.clock import Clock
from pytest_resilience.soak import messages
from pytest_resilience.soak.candidates import Candidate
from pytest_resilience.soak.chaos_phase import ChaosPhase, not_run
from pytest_resilience.soak.checkpoints import (
    PLACES_AFTER,
    PLACES_BEFORE,
    SHARE,
    SHARE_WHERE_JUDGED,
    due_times,
)
from pytest_resilience.soak.evidence import unreached_fix
from pytest_resilience.soak.link import Link
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.pacing import NO_LIMIT, Load, too_few_rounds
from pytest_resilience.soak.phases import PHASES, PhaseName
from pytest_resilience.soak.recovery import LIMIT_ROUNDS, LIMIT_SECONDS, PATIENCE
from pytest_resilience.soak.resume import Past
from pytest_resilience.soak.script import Abort, Script, Until
from pytest_resilience.soak.state import RunnerState
from pytest_resilience.store.records import Note, Phase, Record
from pytest_resilience.units import format_duration

CHECKPOINTS = 240


class Conductor:
    """Leads one runner through the phases.

    Args:
        origin: what the clock showed when the run began.
        duration: of the whole run, in seconds.
        budgets: seconds of each timed phase.
        disabled: phases that are switched off, and the option that did it.
        staying: how many faults stay until the end of the chaos phase; None removes each after its window.
        past: what a run that is resumed has behind it; phases that are done stay done.
        store: keeps a record.
        say: shows the user a line.
        rounds_wanted: in the whole run; after the baseline it is said if they are too many.
        load: how many iterations are asked for.
    """

    def __init__(
        self,
        link: Link,
        *,
        clock: Clock,
        origin: float,
        duration: float,
        budgets: Mapping[PhaseName, float],
        disabled: Mapping[PhaseName, str],
        staying: int | None = None,
        seed: int,
        past: Past | None = None,
        store: Callable[[Record], None],
        say: Callable[[str], None],
        rounds_wanted: int = 1,
        load: Load = NO_LIMIT,
    ) -> None:
        self._rounds_wanted, self._load = rounds_wanted, load
        self._link, self._clock, self._store, self._say = link, clock, store, say
        self.duration, self._budgets, self._disabled = duration, budgets, disabled
        self._staying, self._random = staying, random.Random(f"chaos:{seed}")
        self._origin = origin
        self._ends: dict[PhaseName, float] = {}
        self._past = past
        self._unreached: list[Seam] = past.unreached if past else []
        self._taking = threading.Lock()
        self.state = RunnerState()
        self.state.seams += past.data.seams if past else ()
        self.opened = False
        self.phases = {
            kind.name: Phase(kind.name, position, "planned", budgets.get(kind.name, 0.0))
            for position, kind in enumerate(PHASES)
        }
        self.phases.update({PhaseName(phase.name): phase for phase in past.data.phases} if past else {})
        for phase in self.phases.values():
            store(phase)

    def now(self) -> float:
        """Return the seconds since the run began."""
        return self._clock.now() - self._origin

    @property
    def phase(self) -> str:
        """The phase that is under way, or the last one that was."""
        begun = [phase for phase in self.phases.values() if phase.started is not None]
        return begun[-1].name if begun else PhaseName.INITIALIZATION

    def send(self, message: Message) -> None:
        self._link.send(message)

    def put(self, record: Record) -> None:
        self._store(record)

    def change(self, event_id: str, **changes: float) -> None:
        """Change an event; in the store too, before anything newer about it."""
        with self._taking:
            self._store(self.state.update_event(event_id, **changes))

    def note(self, text: str) -> None:
        """Show a line to the user and keep it in the run's log."""
        self._store(Note(self.now(), text))
        self._say(text)

    def take(self, message: Message) -> None:
        """Have what the runner reports, on the thread that sent it; stored in the order in which it came."""
        with self._taking:
            changed = self.state.take(message)
            if changed is not None:
                self._store(changed)

    def broken(self) -> str:
        """Say that the suite failed without a fault before chaos, or that a fault is wrong; else nothing."""
        broken, mistaken = self.state.broken, self.state.mistaken
        if broken is not None:
            return f"{broken.test} {broken.how}: nothing can be said about the resilience of a broken suite"
        return f"{mistaken.event_id} proves nothing: {mistaken.text}" if mistaken is not None else ""

    def tick(self) -> None:
        """Do what time alone asks for: give up an event that does not recover."""
        event = self.state.awaited()
        if event is None or event.removed_at is None:
            return
        patience = PATIENCE * max(LIMIT_SECONDS, LIMIT_ROUNDS * self.state.progress.longest_round)
        if self.now() - event.removed_at > patience:
            self.send(messages.Settle(event.event_id))
            self.change(event.event_id, waited_seconds=self.now() - event.removed_at)

    def enter(self, name: PhaseName) -> None:
        """Begin a phase, or go on with it."""
        started = self.phases[name].started
        self._mark(
            name, status="running", started=self.now() if started is None else started, ended=None, reason=""
        )

    def leave(self, name: PhaseName, status: str = "done", reason: str = "") -> None:
        """End a phase."""
        self._mark(name, status=status, ended=self.now(), reason=reason)

    def script(self) -> Script:
        """Run the phases up to RECOVERY_VALIDATION; raise Abort if that cannot be done."""
        yield from self._open()
        self._schedule()
        self.opened = True
        yield from self._phase(PhaseName.BASELINE, self._baseline())
        yield from self._phase(PhaseName.CHAOS, self._chaos())
        yield from self._phase(PhaseName.BREAKERS, self._task(messages.VerifyBreakers()))
        yield from self._phase(PhaseName.CASCADES, self._task(messages.RunCascades()))
        yield from self._phase(PhaseName.MEMORY, self._loop(PhaseName.MEMORY))
        yield from self._phase(PhaseName.RECOVERY, self._loop(PhaseName.RECOVERY))

    def _open(self) -> Script:
        """Wait until the suite is ready, also where a process before has been through the first phase."""
        if self._is_over(PhaseName.INITIALIZATION):
            yield from self._initialize()
        else:
            yield from self._phase(PhaseName.INITIALIZATION, self._initialize())

    def _is_over(self, name: PhaseName) -> bool:
        return self.phases[name].status in ("done", "skipped")

    def _phase(self, name: PhaseName, body: Script) -> Script:
        if self._is_over(name):
            return
        missing = self._missing(name)
        if missing:
            self._mark(name, status="skipped", reason=missing)
            return
        self.enter(name)
        share = SHARE_WHERE_JUDGED if name is PhaseName.MEMORY else SHARE
        self.send(messages.EnterPhase(name, self.duration / CHECKPOINTS, self._due(name), share))
        try:
            yield from body
        except (Abort, GeneratorExit) as end:
            self.leave(name, "cut", str(end) or "interrupted")
            raise
        self.leave(name)

    def _due(self, name: PhaseName) -> tuple[float, ...]:
        """Return when growth needs a checkpoint: late in the baseline, and late in the memory soak."""
        places = {PhaseName.BASELINE: PLACES_BEFORE, PhaseName.MEMORY: PLACES_AFTER}.get(name, ())
        return due_times(self._started(name), self._ends[name], places) if places else ()

    def _started(self, name: PhaseName) -> float:
        started = self.phases[name].started
        return self.now() if started is None else started

    def _mark(self, name: PhaseName, **changes: str | float | None) -> None:
        self.phases[name] = replace(self.phases[name], **changes)  # type: ignore[arg-type]
        self._store(self.phases[name])

    def _missing(self, name: PhaseName) -> str:
        """Return why a phase has no subject, or an empty string."""
        if name in self._disabled:
            return f"switched off by {self._disabled[name]}"
        declared = self.state.declared
        if declared is None:
            return ""
        if name is PhaseName.CHAOS and not self._targets():
            return "no declared service has a seam that a scenario can use: see resilience_services"
        if name in (PhaseName.BREAKERS, PhaseName.CASCADES) and not declared.breakers:
            return "no circuit breaker is registered: see resilience_breakers"
        if name is PhaseName.CASCADES and not declared.edges:
            return "no service needs another: see Service(needs=[…])"
        return ""

    def _initialize(self) -> Script:
        state = self.state
        deadline = self.now() + self.duration
        yield Until(deadline, lambda: state.declared is not None or state.broken is not None)
        self._check_suite()
        if state.declared is None:
            asked = format_duration(self.duration)
            raise Abort(f"the first round of the soak tests took longer than the whole run of {asked}")

    def _check_suite(self) -> None:
        if reason := self.broken():
            raise Abort(reason)

    def _schedule(self) -> None:
        """Share what INITIALIZATION left of the run among the timed phases."""
        ended = self.phases[PhaseName.INITIALIZATION].ended
        end = self.now() if ended is None else ended
        scale = max(0.0, self.duration - end) / self.duration
        for name, budget in self._budgets.items():
            end += budget * scale
            self._ends[name] = end

    def _loop(self, name: PhaseName) -> Script:
        yield Until(self._ends[name])

    def _baseline(self) -> Script:
        self.send(messages.WatchSeams(active=True))
        first_round = self.state.progress.rounds
        try:
            yield Until(self._ends[PhaseName.BASELINE], lambda: self.state.broken is not None)
        finally:
            self.send(messages.WatchSeams(active=False))
        self._check_suite()
        self._foresee(self.state.progress.rounds)
        if self.state.progress.rounds - first_round > 1:  # at least one of them began in this phase
            self._unreached = [seam for seam in self.state.seams if not seam.reached]
        for seam in self._unreached:
            self.note(f"the suite never reaches {seam.target} of {seam.service}: no fault can fire there")

    def _foresee(self, rounds: int) -> None:
        """Say early that the run will not have the rounds that are wanted of it."""
        rate, now = self._load.rate, self.now()
        asked = rate.iterations_by if rate else float
        foreseen = rounds * asked(self.duration) / asked(now)
        if foreseen < self._rounds_wanted:
            self.note(too_few_rounds(self._rounds_wanted, foreseen))

    def _chaos(self) -> Script:
        declared, end = self.state.declared, self._ends[PhaseName.CHAOS]
        assert declared is not None  # INITIALIZATION waits for it
        for one in self._candidates():
            if one.reason:
                self.put(NotRun(one.scenario, one.target, one.reason, one.fix, seam=one.seam))
        reached = [target for target in self._targets() if self._is_reached(target)]
        for target in self._targets():
            if target not in reached:
                reason = f"the suite never reaches the {target.seam} of {target.target}"
                self.put(not_run(target, reason, unreached_fix(target.seam)))
        at_once = declared.at_once
        past = self._past.chaos if self._past else None
        yield from ChaosPhase(self, reached, end, self._random, at_once, self._staying, past).script()

    def _is_reached(self, target: Candidate) -> bool:
        """Tell whether the suite used the seam while it was watched, or nobody can watch it."""
        seams = [
            seam for seam in self.state.seams if (seam.service, seam.kind) == (target.target, target.seam)
        ]
        return not seams or any(seam not in self._unreached for seam in seams)

    def _candidates(self) -> list[Candidate]:
        declared = self.state.declared
        return [Candidate(*fields) for fields in declared.candidates] if declared else []

    def _targets(self) -> list[Candidate]:
        return [candidate for candidate in self._candidates() if not candidate.reason]

    def _task(self, command: messages.VerifyBreakers | messages.RunCascades) -> Script:
        done = type(command).__name__
        self.send(command)
        yield Until(self._ends[PhaseName.RECOVERY], lambda: done in self.state.finished)
        if done not in self.state.finished:
            raise Abort(f"{done} did not end within the run")
