"""A counted dependency: results are judged by which calls got into it."""

import threading
from contextlib import suppress

# Calls that a breaker lets in together meet within this time; one that lets them in singly costs it once.
MEETING_SECONDS = 0.02


class Dependency:
    """Records each entry; succeeds while `healthy`, else raises `failure`."""

    def __init__(self, failure: type[Exception]) -> None:
        self.healthy = True
        self._failure = failure
        self._entered: list[bool] = []
        self._meeting: threading.Barrier | None = None

    @property
    def entries(self) -> int:
        """Return how many calls have entered."""
        return len(self._entered)

    def gather(self, calls: int) -> None:
        """Hold the next calls inside until `calls` of them are there, or MEETING_SECONDS have passed."""
        self._meeting = threading.Barrier(calls, timeout=MEETING_SECONDS)

    def disperse(self) -> None:
        """Hold calls no longer."""
        self._meeting = None

    def __call__(self) -> str:
        healthy, meeting = self.healthy, self._meeting
        self._entered.append(healthy)  # append is atomic, so no entry is lost between threads
        if meeting is not None:
            with suppress(threading.BrokenBarrierError):
                meeting.wait()
        if not healthy:
            raise self._failure("the dependency is down")
        return "answer"
