"""News of faults for the user's hooks: in order, on the tests' thread; an error of a hook stops nothing."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import get_ident

import pytest
from pluggy import HookRelay

from pytest_resilience.chaos.engine import Injection
from pytest_resilience.chaos.records import ChaosEvent
from pytest_resilience.plugin.mistakes import raised_text

EVENT_HOOK = "pytest_resilience_event"
OUTCOMES = (pytest.fail.Exception, pytest.skip.Exception)


class HookNews:
    """Tells the hooks pytest_resilience_event of a change, and keeps the first error that one raises.

    What a hook raises must not keep the fault, or the others, from being removed: so it is told later, in a
    test by `raise_error`. Only a wish to end the session gets through.
    """

    def __init__(self, hooks: HookRelay, say: Callable[[str], None] = lambda text: None) -> None:
        self._hook = hooks.pytest_resilience_event
        self._say = say
        self.error: BaseException | None = None

    def tell(self, event: ChaosEvent, change: str) -> None:
        try:
            self._hook(event=event, change=change)
        except pytest.exit.Exception:
            raise
        except (Exception, *OUTCOMES) as error:
            if self.error is None:
                self.error = error
                self._say(f"a hook {raised_text(EVENT_HOOK, error)}: the soak goes on and will fail")

    def raise_error(self) -> None:
        """Raise the first error of a hook, once."""
        error, self.error = self.error, None
        if error is not None:
            raise error


class InjectionNews:
    """Tells what becomes of a test's injections.

    A fault may be removed on a thread of its own, after its duration: that is told with the next change, or
    by `tell_all`.
    """

    def __init__(self, tell: Callable[[ChaosEvent, str], None]) -> None:
        self._tell = tell
        self._thread = get_ident()
        self._armed: set[str] = set()
        self._changes: SimpleQueue[tuple[ChaosEvent, str]] = SimpleQueue()

    def take(self, injection: Injection, change: str) -> None:
        """Have a change, on any thread; what was never armed is not removed either."""
        event = injection.record(injection.armed_at)
        if change == "armed":
            self._armed.add(event.event_id)
        if event.event_id in self._armed:
            self._changes.put((event, change))
        if get_ident() == self._thread:
            self.tell_all()

    def tell_all(self) -> None:
        """Tell what was not told yet; called on the test's thread."""
        while not self._changes.empty():
            event, change = self._changes.get()
            if change == "removed" and event.fired:
                self._tell(event, "fired")
            self._tell(event, change)
