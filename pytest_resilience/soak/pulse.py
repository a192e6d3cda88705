"""The run's signs of life: what a process that is killed has told last."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from pytest_resilience.memory.records import Observer
from pytest_resilience.soak.messages import Progress
from pytest_resilience.store.records import Attempt, Record

PULSE_SECONDS = 0.5


class Pulse:
    """Puts the attempt, and what the observers cost, about twice a second; on one thread.

    Args:
        attempt: the one that runs.
        now: returns run seconds.
        progress: returns how far the runner is.
        observers: returns what the observers of this process have cost so far.
        put: keeps a record.
        before: what the observers of the processes before have cost.
    """

    def __init__(
        self,
        attempt: Attempt,
        now: Callable[[], float],
        progress: Callable[[], Progress],
        observers: Callable[[], Iterable[Observer]],
        put: Callable[[Record], None],
        before: Iterable[Observer] = (),
    ) -> None:
        self._attempt, self._now, self._progress = attempt, now, progress
        self._observers, self._put = observers, put
        self._before = {observer.name: observer.cpu_seconds for observer in before}
        self._due = 0.0

    def tick(self) -> None:
        """Give a sign if one is due."""
        if self._now() >= self._due:
            self.beat()

    def beat(self) -> None:
        """Give a sign now."""
        now, progress = self._now(), self._progress()
        self._due = now + PULSE_SECONDS
        rounds = max(progress.rounds, self._attempt.rounds)
        longest = max(progress.longest_round, self._attempt.longest_round)
        self._put(replace(self._attempt, alive_at=now, rounds=rounds, longest_round=longest))
        for one in self._observers():
            spent = one.cpu_seconds + self._before.get(one.name, 0.0)
            self._put(replace(one, cpu_seconds=spent))
