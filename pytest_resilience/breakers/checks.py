"""Run a script on a fresh breaker, in each way that it can be called, and judge it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from pytest_resilience.breakers.adapter import Adapter, Traits
from pytest_resilience.breakers.bench import Bench, ways_of
from pytest_resilience.breakers.drive import Drive, Mismatch
from pytest_resilience.breakers.flight import NotPossibleError, Way
from pytest_resilience.breakers.hands import Hands, RealHands
from pytest_resilience.breakers.hazards.hazard import Hazard
from pytest_resilience.breakers.limits import MOST_CALLS_OF_HAZARDS, MOST_REAL_SECONDS, REAL_OPEN_SECONDS
from pytest_resilience.breakers.records import BreakerResult, HazardResult
from pytest_resilience.breakers.scenarios import SCENARIOS, Script
from pytest_resilience.breakers.self_check import check_clock
from pytest_resilience.breakers.subject import Subject
from pytest_resilience.errors import ResilienceError, requirement

T = TypeVar("T")

Verdict: TypeAlias = Literal["passed", "failed", "not_applicable"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one script showed of one breaker."""

    verdict: Verdict
    detail: str


NEEDED_BY_HAZARDS = ("failure_threshold", "half_open_recovery")


class Checker:
    """Checks one breaker.

    Args:
        subject: what to check; each script has a breaker of its own, or the instance as if it were new.
        real_time: really wait, instead of moving the clock that the breaker reads.

    Raises:
        ResilienceError: it cannot be checked; VacuousClockError, if its clock cannot be reached.
    """

    def __init__(self, subject: Subject, *, real_time: bool = False) -> None:
        self._subject = subject
        self._real_time = real_time
        with subject.borrowed(self._hands()) as lend:
            adapter = lend()
            self.ways = ways_of(adapter)
            self.lacks: Mapping[str, str] = adapter.traits.lacks
            self._far = _out_of_reach(adapter.traits)
        self._scenarios: dict[str, BreakerResult] = {}
        for way in self.ways:
            self._with_drive(way, lambda drive: check_clock(subject.name, drive))

    def scenario(self, name: str) -> BreakerResult:
        """Run one of the seven scenarios, once."""
        if name not in self._scenarios:
            judgement = self._judge(name, SCENARIOS[name])
            self._scenarios[name] = BreakerResult(
                self._subject.name, name, judgement.verdict, judgement.detail
            )
        return self._scenarios[name]

    def hazard(self, hazard: Hazard, strictness: str = "scenarios") -> HazardResult:
        """Try one hazard, unless it would say nothing; `strictness` says whether it counts."""
        reason = self._far or self._begun_wrong()
        spare = Judgement("not_applicable", reason)
        judgement = spare if reason else self._judge(hazard.name, hazard.script)
        detail = judgement.detail
        if judgement.verdict == "failed":
            detail = f"{hazard.explanation} {detail[0].upper()}{detail[1:]}"
        return HazardResult(
            breaker=self._subject.name,
            hazard=hazard.name,
            level=hazard.level,
            verdict=judgement.verdict,
            detail=detail,
            counts=counts(hazard.level, strictness),
        )

    def _begun_wrong(self) -> str:
        """Return why no hazard says anything about this breaker, or nothing."""
        broken = [name for name in NEEDED_BY_HAZARDS if self.scenario(name).verdict == "failed"]
        return f"it fails {' and '.join(broken)}, which each hazard begins with" if broken else ""

    def _judge(self, name: str, script: Script) -> Judgement:
        if name in self.lacks:
            return Judgement("not_applicable", self.lacks[name])
        return merged({way: self._with_drive(way, lambda drive: judged(script, drive)) for way in self.ways})

    def _with_drive(self, way: Way, act: Callable[[Drive], T]) -> T:
        hands = self._hands()
        with self._subject.borrowed(hands) as lend:
            adapter = lend()
            if self._real_time:
                shorten(self._subject.name, adapter)
            with Bench(adapter, hands, way) as bench:
                return act(Drive(bench))

    def _hands(self) -> Hands:
        return RealHands() if self._real_time else Hands()


def _out_of_reach(traits: Traits) -> str:
    """Return why the hazards of a breaker are not tried, or nothing."""
    for name in ("threshold", "successes_to_close", "failures_to_reopen"):
        if (calls := getattr(traits, name)) > MOST_CALLS_OF_HAZARDS:
            most = f"the {MOST_CALLS_OF_HAZARDS} for which hazards are tried"
            return f"{name.replace('_', ' ')}: {calls} calls are more than {most}"
    return ""


def counts(level: str, strictness: str) -> bool:
    """Tell whether a hazard of this level decides where one is so strict."""
    return strictness == "strict" or strictness == level


def judged(script: Script, drive: Drive) -> Judgement:
    """Play a script, and say how it went."""
    try:
        script(drive)
    except NotPossibleError as reason:
        return Judgement("not_applicable", str(reason))
    except Mismatch as mismatch:
        return Judgement("failed", _remarked(f"{mismatch}; calls: {drive.story}", drive))
    return Judgement("passed", _remarked(drive.story, drive))


def _remarked(detail: str, drive: Drive) -> str:
    return f"{detail} ({drive.traits.remark})" if drive.traits.remark else detail


def merged(judgements: Mapping[Way, Judgement]) -> Judgement:
    """Return the worst of the ways to call a breaker; one that does not apply is no success."""
    if len(judgements) == 1:
        return next(iter(judgements.values()))
    for verdict in ("failed", "passed", "not_applicable"):
        found = {way: one for way, one in judgements.items() if one.verdict == verdict}
        if found:
            break
    details = {one.detail for one in found.values()}
    if len(details) == 1 and len(found) == len(judgements):
        return next(iter(found.values()))
    way, worst = next(iter(found.items()))
    return Judgement(worst.verdict, f"{way}: {worst.detail}")


def shorten(name: str, adapter: Adapter) -> None:
    """Give a breaker an open time that can be waited for."""
    if "set_open_seconds" in adapter.traits.can:
        adapter.set_open_seconds(REAL_OPEN_SECONDS)
    elif adapter.traits.open_seconds > MOST_REAL_SECONDS:
        fix = "Give it a short open time for this check, or check it in virtual time."
        allowed = f"at most {MOST_REAL_SECONDS:g} in real time"
        raise ResilienceError(
            requirement(f"The open time of breaker {name!r}", allowed, adapter.traits.open_seconds, fix)
        )
