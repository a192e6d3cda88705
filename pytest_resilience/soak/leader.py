"""The thread that drives the conductor's script in real time."""

import threading
import time
from collections.abc import Callable

from pytest_resilience.clock import Clock
from pytest_resilience.errors import ResilienceError
from pytest_resilience.soak import messages
from pytest_resilience.soak.conductor import Conductor
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.script import Abort, Script, Until

POLL_SECONDS = 0.25


class Leader:
    """Drives `conductor` on a thread of its own until its script ends, aborts or is cancelled.

    `abort_reason` is asked while the script waits; when it gives a reason, the run ends. Afterwards `reason`
    says why the script did not end by itself, or is empty, `error` holds a defect of ours, and `cpu_seconds`
    is what the thread has cost. `beat` is called each time that it looks, at least every quarter of a second.
    """

    def __init__(
        self,
        conductor: Conductor,
        clock: Clock,
        abort_reason: Callable[[], str],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._conductor, self._clock, self._abort_reason = conductor, clock, abort_reason
        self._beat = beat
        self._news = threading.Event()
        self._cancelled = False
        self._thread = threading.Thread(target=self._work, name="resilience-conductor", daemon=True)
        self.reason = ""
        self.error: BaseException | None = None
        self.cpu_seconds = 0.0

    def start(self) -> None:
        self._thread.start()

    def take(self, message: Message) -> None:
        """Have what the runner reports, and let the script see it."""
        self._conductor.take(message)
        self._news.set()

    @property
    def is_over(self) -> bool:
        """Tell whether the thread has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def cancel(self) -> None:
        """End the script now, and wait until its clean-up is done."""
        self._cancelled = True
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        try:
            self._drive(self._conductor.script())
        except (Abort, ResilienceError) as end:
            self.reason = str(end)
        except BaseException as defect:  # raised again on the main thread
            self.error = defect
        finally:
            self._conductor.send(messages.Stop())
            self.cpu_seconds = time.thread_time()

    def _drive(self, script: Script) -> None:
        wait = next(script, None)
        while wait is not None:
            if self._cancelled:
                script.close()
                return
            self._conductor.tick()
            self.cpu_seconds = time.thread_time()
            self._beat()
            reason = self._conductor.broken() or self._abort_reason()
            if reason:
                script.throw(Abort(reason))
            wait = next(script, None) if self._over(wait) else self._wait(wait)

    def _over(self, wait: Until) -> bool:
        return wait.ready() or self._conductor.now() >= wait.deadline

    def _wait(self, wait: Until) -> Until:
        self._news.clear()
        if not self._over(wait):
            self._clock.wait(self._news, min(POLL_SECONDS, wait.deadline - self._conductor.now()))
        return wait
