"""Actions: carry a work out, take it away again, and tell what it touched."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from pytest_resilience.chaos.asking import written
from pytest_resilience.chaos.countdown import Countdown
from pytest_resilience.chaos.host.descriptors import Descriptors
from pytest_resilience.chaos.host.specs import (
    AFTER_RESTART,
    CpuSpec,
    FullSpec,
    KillSpec,
    MemorySpec,
    PauseSpec,
)
from pytest_resilience.chaos.network.specs import ToxicsSpec
from pytest_resilience.chaos.outside import Outside
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.supervisor.client import Supervisor
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.clock import Clock
from pytest_resilience.errors import ScenarioError
from pytest_resilience.units import counted

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line


NOT_CHECKED = "it was removed before it was checked. Keep it for 0.1 s or longer."


class Action(Protocol):
    """Something that an injection does; `stop` may come at any instant, also twice, also without `start`."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def settle(self) -> None:
        """Learn where the injected errors were caught; called where none is on its way."""

    def touched(self) -> Touched:
        """Return the evidence so far; after `stop`, the last one."""

    def unfired(self) -> str:
        """Say why it touched nothing, and what to do; asked only if it fired nothing."""

    @property
    def observed(self) -> str:
        """Where the code under test caught the injected error, or an empty string."""
        return ""

    @property
    def mistake(self) -> str:
        """What a function that the user gave did wrong, or an empty string."""
        return ""


class _NoErrors:
    """What raises no error is caught nowhere."""

    observed = mistake = ""

    def settle(self) -> None:
        """There is nothing to learn."""


@dataclass(frozen=True, slots=True)
class Unfired:
    """What to say of an effect that never fired: where nothing came by, and where something did."""

    unreached: str
    missed: str


class SupervisedAction(_NoErrors):
    """An effect that lives in the supervisor; `afterwards` is called once it is undone.

    `spec` is asked for when it starts, as it may first have to start a proxy.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        effect_id: str,
        spec: "Callable[[], ToxicsSpec | CpuSpec | MemorySpec | PauseSpec | KillSpec | FullSpec]",
        unfired: Unfired,
        afterwards: Callable[[], object] | None = None,
    ) -> None:
        self._supervisor, self._effect_id, self._spec = supervisor, effect_id, spec
        self._unfired, self._afterwards = unfired, afterwards
        self._started = False
        self._last: Touched | None = None

    def start(self) -> None:
        spec = self._spec()
        self._started = True
        self._supervisor.start(self._effect_id, spec)

    def stop(self) -> None:
        if not self._started:
            return
        if self._last is None:
            self._last = self._supervisor.stop(self._effect_id)
        if self._afterwards is not None:
            self._restart(self._afterwards)

    def _restart(self, function: Callable[[], object]) -> None:
        """Call it until it has returned or failed: one that was interrupted is called again."""
        try:
            function()
        except Exception as wrong:
            self._afterwards = None
            said = f"{type(wrong).__name__}: {wrong}"
            raise ScenarioError(f"restart={written(function)} raised {said}. {AFTER_RESTART}") from wrong
        self._afterwards = None

    def touched(self) -> Touched:
        if self._last is not None:
            return self._last
        return self._supervisor.touched(self._effect_id) if self._started else Touched()

    def unfired(self) -> str:
        touched = self.touched()
        text = self._unfired.missed if touched.reached else self._unfired.unreached
        return f"{text} ({touched.detail})" if touched.detail else text


class DescriptorAction(_NoErrors):
    """This process is out of descriptors."""

    def __init__(self, spare: int) -> None:
        self._descriptors = Descriptors(spare)
        self._over = False

    def start(self) -> None:
        self._descriptors.start()

    def stop(self) -> None:
        self._over = True
        self._descriptors.stop()

    def settle(self) -> None:
        """Look again, between two tests; afterwards there is nothing to see."""
        if not self._over:
            self._descriptors.check()

    def touched(self) -> Touched:
        return self._descriptors.touched()

    def unfired(self) -> str:
        return "This process could still open files."


class CascadeAction:
    """One action after the other, `delay` seconds apart, from a thread of its own; counts services."""

    def __init__(self, outages: Sequence[Action], delay: float, release: Release, clock: Clock) -> None:
        self._outages, self._delay = outages, delay
        self._release, self._clock = release, clock
        self._down = 0
        self._failure: Exception | None = None
        self._countdown = Countdown(0.0, self._spread, release, clock)

    @property
    def observed(self) -> str:
        return next((outage.observed for outage in self._outages if outage.observed), "")

    @property
    def mistake(self) -> str:
        return next((outage.mistake for outage in self._outages if outage.mistake), "")

    def start(self) -> None:
        self._next()
        self._countdown.start()

    def stop(self) -> None:
        self._release.set()
        self._countdown.finish()
        with ExitStack() as undo:
            for outage in self._outages:
                undo.callback(outage.stop)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def settle(self) -> None:
        for outage in self._outages:
            outage.settle()

    def touched(self) -> Touched:
        touched = [outage.touched() for outage in self._outages[: self._down]]
        struck = [one for one in touched if one.fired]
        firsts = [one.first_fired_at for one in struck if one.first_fired_at is not None]
        lasts = [one.last_fired_at for one in struck if one.last_fired_at is not None]
        detail = f"{len(struck)} of {counted(len(self._outages), 'service')} failed"
        return Touched(len(touched), len(struck), min(firsts, default=None), max(lasts, default=None), detail)

    def unfired(self) -> str:
        return "; ".join(outage.unfired() for outage in self._outages[: self._down])

    def _next(self) -> None:
        outage = self._outages[self._down]
        self._down += 1
        outage.start()

    def _spread(self) -> None:
        try:
            while self._down < len(self._outages) and not self._clock.wait(self._release, self._delay):
                self._next()
        except Exception as failure:  # raised again where the cascade is stopped
            self._failure = failure


def full_disk(outside: Outside, effect_id: str) -> SupervisedAction:
    """Fill the small disk."""

    return SupervisedAction(
        outside.supervisor,
        outside.new_id(effect_id),
        lambda: FullSpec(outside.disk()[0]),
        Unfired(NOT_CHECKED, "the disk was not full."),
    )
