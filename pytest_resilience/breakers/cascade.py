"""Cascades: failures spread through real breakers, are contained, heal, and every breaker closes."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random

from pytest_resilience.breakers.adapter import Adapter
from pytest_resilience.breakers.bench import Bench, ways_of
from pytest_resilience.breakers.cascade_report import CascadeReport
from pytest_resilience.breakers.cascade_run import CascadeRun
from pytest_resilience.breakers.drive import Drive
from pytest_resilience.breakers.flight import Way
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.modes import MODES, Calling, read_modes
from pytest_resilience.breakers.outages import OUTAGES, NotApplicableError, Outage
from pytest_resilience.breakers.records import Cascade
from pytest_resilience.breakers.self_check import check_clock
from pytest_resilience.breakers.subject import Subject, subject_of
from pytest_resilience.breakers.topology import Needs, edges, read_topology
from pytest_resilience.errors import ResilienceError, requirement
from pytest_resilience.settings import Settings

MOST_SERVICES_DOWN = Settings().max_services_down


def run_cascades(
    topology: Mapping[str, Sequence[str]],
    source: object,
    *,
    seed: int,
    name: str = "cascade",
    modes: Iterable[str] | None = None,
    calling: Calling | None = None,
    way: Way | None = None,
    max_services_down: int = MOST_SERVICES_DOWN,
) -> CascadeReport:
    """Run the five cascade types in each failure mode, in virtual time, with real breakers on every edge.

    Args:
        topology: each service with the services that it needs; cycles are allowed.
        source: a breaker of a supported library, which is copied and not touched, a function that returns
            one, or a BreakerAdapter.
        seed: draws the random cascade.
        name: how the breaker is called in errors and in the report.
        modes: outage, slow, flapping, retry_storm and heal_under_load, or some of them.
        calling: whether services call in turn or in parallel, and how often again after a failure.
        way: "sync" or "async"; the one that the breaker has, or sync, by default.
        max_services_down: a cascade that takes more services down at once fails.

    Raises:
        ResilienceError: the topology, the breaker or a parameter is wrong.
    """
    needs = read_topology(topology)
    _check_limit(max_services_down)
    subject = subject_of(name, source)
    chosen = read_modes(modes)
    _check_clock(subject)
    run = _Runs(subject, needs, calling or Calling(), way, max_services_down)
    found = [run.cascade(kind, mode, seed) for kind in OUTAGES for mode in chosen]
    return CascadeReport(name, tuple(found))


def _check_clock(subject: Subject) -> None:
    """Raise VacuousClockError where breakers would not see the time of the cascades."""
    hands = Hands()
    with subject.borrowed(hands, twins=True) as lend:
        adapter = lend()
        with Bench(adapter, hands, ways_of(adapter)[0]) as bench:
            check_clock(subject.name, Drive(bench))


def _check_limit(limit: object) -> None:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ResilienceError(requirement("max_services_down", "a whole number of at least 1", limit))


class _Runs:
    """Runs cascades, each with fresh breakers on a time of its own."""

    def __init__(
        self, subject: Subject, needs: Needs, calling: Calling, way: Way | None, max_services_down: int
    ) -> None:
        self._subject = subject
        self._needs = needs
        self._calling = calling
        self._way = way
        self._max_services_down = max_services_down

    def cascade(self, kind: str, mode: str, seed: int) -> Cascade:
        """Run one, or say why that is not possible."""
        try:
            outage = OUTAGES[kind](self._needs, Random(f"{kind} {seed}"))
            return self._run(kind, mode, outage)
        except NotApplicableError as missing:
            return Cascade(
                kind, "not_applicable", 0, 0, len(edges(self._needs)), None, str(missing), mode=mode
            )

    def _run(self, kind: str, mode: str, outage: Outage) -> Cascade:
        time = Hands()
        with self._subject.borrowed(time, twins=True) as lend:
            breakers = {edge: lend() for edge in edges(outage.needs)}
            way = _way(next(iter(breakers.values())), self._way)
            run = CascadeRun(outage, MODES[mode], breakers, time, self._calling, way)
            return run.record(kind, mode, self._max_services_down)


def _way(adapter: Adapter, wanted: Way | None) -> Way:
    # All edges have a breaker of the same kind, so that one speaks for all.
    ways = ways_of(adapter)
    if wanted is None:
        return ways[0]
    if wanted not in ways:
        fix = "Leave it out."
        raise ResilienceError(
            requirement("way", f"a way to call this breaker ({', '.join(ways)})", wanted, fix)
        )
    return wanted
