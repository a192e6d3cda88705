"""The workers of a distributed soak, led as if they were one runner."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from pytest_resilience.chaos.records import ChaosEvent, EventMetrics, Seam
from pytest_resilience.clock import Clock
from pytest_resilience.memory.records import Culprit, Observer, OwnSlope, Reading, Sample, Tracing
from pytest_resilience.soak import messages
from pytest_resilience.soak.crew_faults import CrewFaults
from pytest_resilience.soak.crew_sums import (
    disagreement,
    whole_declared,
    whole_progress,
    whole_seams,
)
from pytest_resilience.soak.crew_tasks import Tasks
from pytest_resilience.soak.legacy import Estate
from pytest_resilience.soak.link import Handler
from pytest_resilience.soak.member import Member, Port, Standing
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.orders import Orders
from pytest_resilience.soak.resume import Past
from pytest_resilience.soak.roster import Roster, silence
from pytest_resilience.store.codec import KINDS
from pytest_resilience.store.records import Failure, Hang, Note, Tally
from pytest_resilience.units import format_duration

REFUSALS = (messages.USAGE, messages.DECLARATION, messages.COLLECTION)
OWNED = (Tally, Failure, Hang, Sample, Reading, OwnSlope, Tracing, Culprit, EventMetrics, Observer)
"""Records that must not be mixed with those of other workers."""

EARLIER = ""
"""Stands for all workers of the attempts before, where those of this one have their names."""

STOPPERS = (messages.INTERRUPTED, messages.EXIT, messages.FAILED, messages.BROKEN)


class Crew:
    """The conductor's link to all workers: what it sends goes to those concerned, what comes is summed up.

    `receive` and `gone` are called on the threads of the connections, `send` on the conductor's, `look_after`
    and `welcome` on a thread each, four times a second.

    Args:
        mode: how pytest-xdist distributes tests (its option --dist).
        get_rid: ends the process of a worker that does not answer, or its connection; may learn its stacks.
        cause_of: says what ended a worker's process, as far as that can be known.
        note: shows the user a line, and keeps it once there is a run.
    """

    def __init__(
        self,
        clock: Clock,
        mode: str,
        *,
        get_rid: Callable[[Member], None],
        cause_of: Callable[[Member], str],
        note: Callable[[str], None],
    ) -> None:
        self._clock, self._note = clock, note
        self._get_rid, self._cause_of = get_rid, cause_of
        self._origin: float | None = None
        self._lock, self._commanding = threading.RLock(), threading.RLock()
        self._orders = Orders(clock.now, self._is_late)
        self._early: list[Message] = []
        self._handler: Handler = self._early.append
        self._phase: messages.EnterPhase | None = None
        self._watching = self._stopped = False
        self._past: Past | None = None
        self._estate = Estate()
        self._progress: dict[str, messages.Progress] = {}
        self._seams: list[Seam] = []
        self._unburied: list[Member] = []
        self._buried: list[Member] = []
        self._whole: messages.Declared | None = None
        self.roster = Roster(clock.now, mode, note)
        self._tasks = Tasks(self.roster)
        self._faults = CrewFaults(self.roster, self._orders, self._lock, self.now, self._emit, note)
        self.ending: messages.Ended | None = None
        self.teardowns: list[str] = []

    def now(self) -> float:
        """Return the seconds since the run began; 0 before."""
        return 0.0 if self._origin is None else self._clock.now() - self._origin

    def attach(self, handler: Handler) -> None:
        """Let the conductor's side have what all workers report."""
        with self._lock:
            self._handler = handler
            for message in self._early:
                handler(message)

    # Who comes and goes

    def add(self, name: str, port: Port) -> None:
        """Have a worker that is being started."""
        with self._lock:
            self.roster.add(name, port)

    def begin(self, origin: float, past: Past | None = None) -> None:
        """Let the run begin, or go on behind its past, now, for all that are ready."""
        with self._commanding:
            if past is not None:
                self._past, self._estate = past, Estate(past.data)
                self.roster.attempt = past.attempt.number
                self._progress[EARLIER] = past.progress
            self._origin = origin
            self._begin_ready()

    def look_after(self) -> None:
        """End the silent and bury the dead."""
        with self._lock:
            silent = self.roster.silent()
        for member in silent:
            self._end(member, silence(member, self._clock.now()))
        self._bury()

    def welcome(self) -> None:
        """Let those begin that have joined; may wait for them, as well as for the conductor."""
        with self._commanding:
            self._welcome()

    def _welcome(self) -> None:
        if self._stopped:
            newcomers = self.roster.standing(Standing.JOINED, Standing.ASSIGNED, Standing.READY)
            for member in newcomers:
                member.standing = Standing.IDLE
            self._orders.give(newcomers, messages.Stop(), wait=False)
            return
        with self._lock:
            assigned = self.roster.assign()
        for member in assigned:
            self._orders.give([member], messages.Assign(member.share), wait=False)
        if self._origin is not None:
            self._begin_ready()
            for command in self._tasks.abandoned():
                self._begin_task(command)

    def _begin_ready(self) -> None:
        for member in self.roster.standing(Standing.READY):
            self._begin(member)

    def _begin(self, member: Member) -> None:
        """Bring a worker to where the others are, then let it loop."""
        member.began_at = self.now()
        member.head_start = self._rounds()
        self._emit(self.roster.enrol(member, member.began_at))
        self._orders.give([member], self._beginning(member))
        for command in (self._phase, messages.WatchSeams(active=True) if self._watching else None):
            if command is not None:
                self._orders.give([member], command)
        self._faults.join(member)
        if member.replaces:
            self._note(f"worker {member.name} takes the place of {member.replaces}")
        with self._lock:
            if member.standing is Standing.READY:
                member.standing = Standing.LOOPING
        self._orders.give([member], messages.Loop(), wait=False)

    def _beginning(self, member: Member) -> messages.Begin:
        """Return what a worker takes over; while nobody has declared anything, a resumed run is tried out."""
        with self._lock:
            trial = self._past is not None and self._whole is None
            return self._estate.legacy(member.head_start, trial=trial).told_at(self.now())

    def _rounds(self) -> int:
        before = self._past.attempt.rounds if self._past else 0
        return min((member.rounds for member in self.roster.standing(Standing.LOOPING)), default=before)

    def gone(self, name: str) -> None:
        """The connection to a worker has ended; once more changes nothing."""
        with self._lock:
            member = self.roster.get(name)
            if member.standing is Standing.GONE:
                return
            member.standing = Standing.GONE
            self._orders.drop(name)
            self._faults.gone(name)
            if member.ended is None or (member.ended.how in REFUSALS and self._origin is not None):
                self.roster.vacate(member)
                self._unburied.append(member)
            self._declare()

    def _bury(self) -> None:
        """Tell the crashes, and what caused them; they are recorded once the run has begun."""
        while self._unburied:
            member = self._unburied.pop(0)
            refusal = member.ended.text if member.ended else ""
            member.blame = member.blame or refusal or self._cause_of(member)
            self._note(f"worker {member.name} crashed: {member.blame}")
            self._buried.append(member)
        while self._buried and self._origin is not None:
            member = self._buried.pop(0)
            with self._lock:
                self._emit(self.roster.strike(member, self.now(), "crashed", member.blame))

    def _end(self, member: Member, blame: str) -> None:
        """End a worker that is of no use any more."""
        with self._lock:
            if member.blame or member.standing is Standing.GONE:
                return
            member.blame = blame
        with suppress(OSError):
            self._get_rid(member)

    def _is_late(self, member: Member, command: Message) -> None:
        self._end(member, f"it is alive, but did not carry out {type(command).__name__}")

    @property
    def is_deserted(self) -> bool:
        """Tell whether no worker is left."""
        return not any(member.standing is not Standing.GONE for member in self.roster)

    def hurry(self) -> None:
        """Have less patience from now on with workers that do not answer."""
        self._orders.hurry()

    def halt(self) -> None:
        """End all loops now, also in the middle of an iteration."""
        self._stopped = True
        self._orders.give([one for one in self.roster if one.is_here], messages.Halt(), wait=False)

    def wait_for_end(self, seconds: float) -> None:
        """Wait until all workers have said their last word, or this long."""
        give_up = threading.Event()
        until = self._clock.now() + seconds
        while self._clock.now() < until and self.roster.standing(Standing.LOOPING, Standing.READY):
            self._clock.wait(give_up, 0.05)
        self._bury()

    # What the conductor says

    def send(self, command: Message) -> None:
        """Give a command to all workers that it concerns, and wait until they have carried it out."""
        with self._commanding:
            match command:
                case messages.Inject():
                    self._faults.inject(command)
                case messages.Remove(event_id):
                    self._faults.remove(event_id)
                case messages.Settle(event_id):
                    self._faults.settle(event_id)
                case messages.WatchSeams(active):
                    self._watch(command, active)
                case messages.VerifyBreakers() | messages.RunCascades():
                    self._begin_task(command)
                case messages.Stop():
                    self._stopped = True
                    self._orders.give([one for one in self.roster if one.is_here], command, wait=False)
                case _:
                    self._phase = command if isinstance(command, messages.EnterPhase) else self._phase
                    self._orders.give(self._looping(), command)
                    self._faults.tell_troubles()

    def _looping(self) -> list[Member]:
        return self.roster.standing(Standing.LOOPING)

    def _watch(self, command: Message, active: bool) -> None:
        self._watching = active
        self._orders.give(self._looping(), command)
        self._faults.tell_troubles()
        with self._lock:
            seams, self._seams = self._seams, []
            for seam in whole_seams(seams):
                self._estate.take(seam)
                self._emit(seam)

    def _begin_task(self, command: Message) -> None:
        with self._lock:
            members = self._tasks.share_out(command)
        self._orders.give(members, command)

    # What the workers report

    def receive(self, name: str, message: Message) -> None:
        """Have what a worker says."""
        with self._lock:
            member = self.roster.get(name)
            if isinstance(message, (messages.Broken, messages.Mistaken)):
                self._emit(message)
            if member.standing is not Standing.GONE:
                member.heard = self._clock.now()
            if isinstance(message, KINDS):
                self._record(member, message)
            else:
                self._report(member, message)
        if isinstance(message, messages.Stuck):
            member.stacks = message.stacks
            took = format_duration(message.seconds)
            self._end(member, f"{message.test} hung for {took} and could not be interrupted")

    def _record(self, member: Member, record: Message) -> None:
        if isinstance(record, Seam):
            self._seams.append(record)
        elif isinstance(record, ChaosEvent):
            self._faults.take(member.name, record)
        elif isinstance(record, OWNED):
            owned = replace(record, worker=member.name)
            if isinstance(owned, Tally):
                self._estate.take(owned)
            self._emit(owned)
        elif isinstance(record, Note):
            self._emit(replace(record, text=f"{member.name}: {record.text}"))
        else:
            self._emit(record)

    def _report(self, member: Member, report: Message) -> None:
        match report:
            case messages.Done(number):
                self._orders.answered(number)
            case messages.Joined() | messages.Ready() | messages.Declared():
                self._introduce(member, report)
            case messages.Progress():
                member.progress = self._progress[member.name] = report
                looping = (one.rounds for one in self._looping())
                self._emit(whole_progress(self._progress, looping))
            case messages.Trouble(text):
                self._faults.trouble(member.name, text)
            case messages.Finished(task):
                if self._tasks.finished(member.name, task):
                    self._emit(report)
            case messages.Ended():
                self._take_end(member, report)
            case messages.Fired() | messages.Recovered():
                self._faults.take(member.name, report)

    def _introduce(self, member: Member, report: Message) -> None:
        match report:
            case messages.Joined():
                member.joined, member.standing = report, Standing.JOINED
            case messages.Ready(reach):
                member.reach = {(scenario, target, seam): it for scenario, target, seam, it in reach}
                member.standing = Standing.READY
            case messages.Declared():
                member.declared = report
                self._declare()
                self._compare(member)

    def _declare(self) -> None:
        """Tell what all declare, as soon as all do; who comes later is compared with that."""
        looping = self._looping()
        declared = [one.declared for one in looping if one.declared is not None]
        if self._whole is None and declared and len(declared) == len(looping):
            self._whole = whole_declared(declared)
            self._emit(self._whole)
            for member in looping[:-1]:
                self._compare(member)

    def _compare(self, member: Member) -> None:
        """Say what a worker declares otherwise; with a share of its own it may."""
        if member.declared is not None and self._whole is not None and member.share is None:
            text = disagreement(member.name, member.declared, self._whole)
            if text:
                self._note(text)

    def _take_end(self, member: Member, end: messages.Ended) -> None:
        if end.how == messages.TEARDOWN:
            self.teardowns.append(f"{member.name}: {end.text}")
        if member.ended is None or member.ended.how == messages.DONE:
            member.ended = end
        member.standing = Standing.ENDED
        if end.how == messages.DONE and member.record is not None:
            self._emit(self.roster.strike(member, self.now(), "ended"))
        refused = end.how in REFUSALS and self._origin is None
        if self.ending is None and (refused or end.how in STOPPERS):
            self.ending = end

    def _emit(self, message: Message) -> None:
        with self._lock:
            self._handler(message)
