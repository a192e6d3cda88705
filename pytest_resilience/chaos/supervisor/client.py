"""The test process's hold on its supervisor: start, stop and look at effects outside of it."""

import atexit
from collections.abc import Callable

from pytest_resilience.chaos.supervisor.effects import Info
from pytest_resilience.chaos.supervisor.launch import Launcher
from pytest_resilience.chaos.supervisor.messages import (
    Holds,
    ListHeld,
    Look,
    Refused,
    Saw,
    Start,
    Started,
    Stop,
)
from pytest_resilience.chaos.supervisor.session import Death, Session
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.errors import ScenarioError

__all__ = ["Death", "Supervisor"]

START_SECONDS = 10.0
ANSWER_SECONDS = 5.0


class Supervisor:
    """Holds effects outside the test process, in a process that is started when it is first needed.

    Usable from any thread, in a signal handler, and after an interrupt at any instant. When the test process
    ends, however it does, all effects are undone within two seconds and the supervisor ends. In a fork of the
    test process nothing can be started, and stopping does nothing.

    Args:
        on_death: called, on a thread of the supervisor's own, when its process ended without being told to;
            it must be quick. Later requests for what was lost raise ScenarioError; a new effect starts a new
            process.
        launcher: how a process is started.
    """

    def __init__(
        self, *, on_death: Callable[[Death], None] | None = None, launcher: Launcher | None = None
    ) -> None:
        self._on_death = on_death
        self._launcher = launcher or Launcher()
        self._sessions: dict[int, Session] = {}
        self._stopped_before: dict[str, None] = {}
        self._closed = False

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """The id of the process; None if none runs."""
        session = self._running()
        return None if session is None else session.pid

    @property
    def troubles(self) -> tuple[str, ...]:
        """What broke in the supervisor outside of requests: tracebacks, the latest last."""
        return tuple(text for session in tuple(self._sessions.values()) for text in tuple(session.troubles))

    def start(self, effect_id: str, spec: object, timeout: float = START_SECONDS) -> Info:
        """Start the effect that `spec` describes and return what it tells, within `timeout` seconds.

        Whatever happens, a `stop` of the id undoes it. An id is used once.

        Raises:
            ScenarioError: the effect cannot be (its own text), or the supervisor does not answer.
        """
        session = self._session_to_start_in()
        session.may_hold[effect_id] = spec
        # read after there is a session, to which a stop that comes later would send a request
        if effect_id in self._stopped_before:
            session.may_hold.pop(effect_id, None)
            raise ScenarioError(f"{effect_id!r} was removed already. Give each effect an id of its own.")
        answer = session.ask(Start(effect_id, spec), timeout)
        if not isinstance(answer, Started):
            session.may_hold.pop(effect_id, None)
            raise _refusal(answer)
        return dict(answer.info)

    def stop(self, effect_id: str) -> Touched:
        """Undo an effect and return its last evidence; doing it again changes nothing.

        An id that was never started will not start any more. After `close` the evidence is empty.

        Raises:
            ScenarioError: it could not be undone (then asking again tries again), or, once, the supervisor
                died with it.
        """
        session = self._session_of(effect_id) or self._running()
        if session is None:
            self._stopped_before[effect_id] = None
            session = self._running()  # there may be one meanwhile, which did not see this
        if session is None or session.closing or session.is_foreign:
            return Touched()
        try:
            answer = session.ask(Stop(effect_id), ANSWER_SECONDS)
        finally:
            if session.ended:
                session.may_hold.pop(effect_id, None)
        if not isinstance(answer, Saw):
            raise _refusal(answer)
        session.may_hold.pop(effect_id, None)
        return answer.touched

    def touched(self, effect_id: str) -> Touched:
        """Return the evidence of an effect so far; of a stopped one, the last.

        Raises:
            ScenarioError: there was no such effect, or the supervisor died with it.
        """
        session = self._session_of(effect_id) or self._running()
        if session is None:
            raise ScenarioError(f"No effect {effect_id!r} is active. Start it first.")
        answer = session.ask(Look(effect_id), ANSWER_SECONDS)
        if not isinstance(answer, Saw):
            raise _refusal(answer)
        return answer.touched

    def held(self) -> tuple[str, ...]:
        """Return the ids of the effects that the supervisor holds, oldest first."""
        session = self._running()
        if session is None:
            return ()
        answer = session.ask(ListHeld(), ANSWER_SECONDS)
        if not isinstance(answer, Holds):
            raise _refusal(answer)
        return answer.effect_ids

    def close(self) -> None:
        """Undo everything and end the process, within two seconds; doing it again changes nothing."""
        self._closed = True
        for session in tuple(self._sessions.values()):
            session.close()
        atexit.unregister(self.close)

    def _running(self) -> Session | None:
        for session in tuple(self._sessions.values())[-1:]:
            if not (session.ended or session.closing or session.is_foreign):
                return session
        return None

    def _session_of(self, effect_id: str) -> Session | None:
        sessions = tuple(self._sessions.values())
        return next((session for session in sessions if effect_id in session.may_hold), None)

    def _session_to_start_in(self) -> Session:
        count = len(self._sessions)
        latest = self._sessions.get(count - 1)
        if latest is None:
            atexit.register(self.close)
        if latest is None or latest.ended:
            latest = self._sessions.setdefault(count, Session(self._launcher, self._on_death))
        if self._closed:  # read after there is a session: who closes later finds it
            raise ScenarioError("The supervisor of faults is closed: nothing can be injected any more.")
        return latest


def _refusal(answer: object) -> ScenarioError:
    return ScenarioError(answer.text if isinstance(answer, Refused) else f"Unexpected answer: {answer!r}")
