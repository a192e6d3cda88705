"""The samples of all libraries, checked once for all tests that look at what was found."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from breaker_samples import SAMPLES

from pytest_resilience.breakers.adapter import Traits
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.subject import subject_of
from pytest_resilience.breakers.verify import BreakerReport, verify
from pytest_resilience.clock import SystemClock


@dataclass(frozen=True)
class Checked:
    """A breaker of the samples, and what the checks found."""

    sample: str
    library: str
    traits: Traits
    report: BreakerReport
    clock: str

    @property
    def kind(self) -> str:
        return self.sample.removeprefix(self.library).strip(" ()")

    @property
    def heading(self) -> str:
        return "<br>".join(filter(None, (self.library, version(self.library), self.kind)))

    @property
    def verdicts(self) -> dict[str, tuple[str, str]]:
        """Return the verdict and the detail of each scenario and hazard."""
        scenarios = {one.scenario: (one.verdict, one.detail) for one in self.report.results}
        return scenarios | {one.hazard: (one.verdict, one.detail) for one in self.report.hazards}


@cache
def checked() -> tuple[Checked, ...]:
    """Run everything, once."""
    return tuple(_check(sample) for sample in SAMPLES)


def _check(sample: str) -> Checked:
    subject = subject_of(sample, SAMPLES[sample])
    with subject.borrowed(Hands()) as lend:
        traits = lend().traits
    clock = "moved in its modules" if subject.library.clocks else "injected"
    report = verify(sample, SAMPLES[sample], clock=SystemClock())
    return Checked(sample, subject.library.name, traits, report, clock)
