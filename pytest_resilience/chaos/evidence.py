"""Evidence: what a fault on calls really touched, noted at each call."""

from dataclasses import dataclass, field

from pytest_resilience.chaos.counting import AtomicCounter
from pytest_resilience.chaos.observed import Sight, is_on_its_way
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.errors import ResilienceError


@dataclass(slots=True)
class Evidence:
    """What a fault really touched; the counts are exact across threads, times in seconds of the clock.

    `observed` says where the first error that it raised was caught, once `settle` could tell.
    `mistake` is what a function that the user gave did wrong at a call, in one line. It was raised there, but
    the code under test may have swallowed it: who judges the fault must tell it.
    """

    reached: AtomicCounter = field(default_factory=AtomicCounter)
    fired: AtomicCounter = field(default_factory=AtomicCounter)
    first_fired_at: float | None = None
    last_fired_at: float | None = None
    observed: str | None = None
    mistake: str | None = None
    sight: Sight = field(default_factory=Sight)
    _raised_any: bool = False
    _raised: BaseException | None = None

    def note_firing(self, now: float) -> None:
        next(self.fired.numbers)
        if self.first_fired_at is None:
            self.first_fired_at = now
        self.last_fired_at = now

    def note_raised(self, error: BaseException) -> None:
        """Keep the first error that the fault raises, until `settle`."""
        if not self._raised_any:
            self._raised_any, self._raised = True, error

    def note_mistake(self, mistake: ResilienceError) -> None:
        """Keep the text of the first one."""
        if self.mistake is None:
            self.mistake = str(mistake)

    def settle(self) -> bool:
        """Read where the first error was caught and let go of it, which frees the frames that it holds.

        While a thread still handles it, it may travel on: then nothing changes, and it returns False. So call
        it where the calls under test are over: between iterations, at the removal, and again after the test.
        """
        error = self._raised
        if error is None:
            return True
        if is_on_its_way(error):
            return False
        self.observed = self.sight.catcher(error)
        self._raised = None
        return True

    def touched(self) -> Touched:
        """Return the counts and times as plain data."""
        return Touched(self.reached.value, self.fired.value, self.first_fired_at, self.last_fired_at)
