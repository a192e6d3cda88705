"""Cascades through real breakers: contained, healed, closed, for any topology."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from breaker_samples import SAMPLES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pybreaker import CircuitBreaker

from pytest_resilience.breakers.cascade import run_cascades
from pytest_resilience.breakers.cascade_report import CascadeReport
from pytest_resilience.breakers.limits import MOST_CALLS
from pytest_resilience.breakers.modes import MODES, Calling
from pytest_resilience.breakers.outages import OUTAGES
from pytest_resilience.breakers.own import BreakerAdapter
from pytest_resilience.breakers.records import Cascade
from pytest_resilience.breakers.topology import (
    MOST_SERVICES,
    Needs,
    calls_per_request,
    closing_edges,
    edges,
    entries,
    longest_chain,
    read_topology,
)
from pytest_resilience.errors import ResilienceError

EXECUTION_PLAN: dict[str, list[str]] = {
    "frontend": ["api_gateway"],
    "api_gateway": ["auth_service", "data_service"],
    "auth_service": ["database"],
    "data_service": ["database", "external_api"],
    "database": [],
    "external_api": [],
}
RING = {"a": ["b"], "b": ["c"], "c": ["a"]}

NAMES = "abcdefg"
TOPOLOGIES = st.dictionaries(
    st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES), max_size=4), min_size=1
).map(
    lambda drawn: {name: [need for need in sorted(needs) if need in drawn] for name, needs in drawn.items()}
)
CALLINGS = st.builds(Calling, st.sampled_from(["in_turn", "parallel"]), st.integers(0, 2))


def cascades(
    topology: Mapping[str, Sequence[str]],
    source: object = CircuitBreaker,
    seed: int = 1,
    mode: str = "outage",
    calling: Calling | None = None,
) -> dict[str, Cascade]:
    report = run_cascades(
        topology, source, seed=seed, modes=[mode], calling=calling, max_services_down=MOST_SERVICES
    )
    return {cascade.kind: cascade for cascade in report.cascades}


def failing_edges(needs: Needs, down: Iterable[str]) -> frozenset[tuple[str, str]]:
    """Return the edges whose calls fail while `down` are down; what is down makes no calls itself."""
    dead, closing = frozenset(down), closing_edges(needs)
    callers = [edge for edge in edges(needs) if edge[0] not in dead]
    failing: frozenset[tuple[str, str]] = frozenset()
    while True:
        lost = {service for service, _ in failing}
        grown = frozenset(
            edge for edge in callers if edge[1] in dead or (edge[1] in lost and edge not in closing)
        )
        if grown == failing:
            return failing
        failing = grown


def test_all_five_types_in_all_five_modes() -> None:
    """Every type runs in every mode, and a topology without a cycle has no place for the circular one."""
    report = run_cascades(EXECUTION_PLAN, CircuitBreaker, seed=1)
    assert [(one.kind, one.mode) for one in report.cascades] == [
        (kind, mode) for kind in OUTAGES for mode in MODES
    ]
    assert report.passed
    assert {one.kind for one in report.with_verdict("not_applicable")} == {"circular"}
    assert report.verdict == (
        "breaker 'cascade': 20 of 20 cascades contained and healed, at most 5 services down, "
        "all closed after at most 1m07s"
    )


def test_in_parallel_all_ways_to_the_outage_fall() -> None:
    """A dead database opens the five breakers on its ways and takes five services down; all close again."""
    branched = cascades(EXECUTION_PLAN)["branched"]
    assert (branched.verdict, branched.opened, branched.edges, branched.services_down) == ("passed", 5, 6, 5)
    assert branched.detail == (
        "outage of database: 5 of 6 breakers opened, 5 of 6 services down; all closed 57.6s after the heal"
    )


def test_in_turn_the_first_failure_shields_the_rest() -> None:
    """A service that asks in turn never gets to the second way, so that three breakers open, not five."""
    branched = cascades(EXECUTION_PLAN, calling=Calling("in_turn"))["branched"]
    assert (branched.verdict, branched.opened, branched.services_down) == ("passed", 3, 4)


def test_the_measures_of_an_outage() -> None:
    """Each number follows from the breaker's settings and from requests twenty times per open time."""
    branched = cascades(EXECUTION_PLAN, lambda: CircuitBreaker(5, 60))["branched"]
    step = 60 * 1.01 / 20
    assert branched.seconds_to_detect == pytest.approx(4 * step)
    assert branched.calls_wasted == 26  # five for each breaker, and two probes on a way that was not yet shut
    assert branched.entered_while_open == 0
    assert branched.most_probes == 1
    assert branched.amplification == 1.0
    assert branched.seconds_to_closed == branched.seconds_to_first_answer == pytest.approx(19 * step)
    assert branched.flips == 10


def test_breakers_close_one_open_time_after_the_heal_not_one_per_service() -> None:
    """However long the chain, the time to all closed is about the largest open time, not the sum."""
    names = [f"s{number}" for number in range(10)]
    chain = {name: names[at + 1 : at + 2] for at, name in enumerate(names)}
    linear = cascades(chain, lambda: CircuitBreaker(5, 60))["linear"]
    assert linear.seconds_to_closed is not None
    assert linear.seconds_to_closed <= 61


def test_retries_trip_the_whole_path_at_once_and_amplify() -> None:
    """With two retries the first request opens every breaker on its way; it gets five calls for one."""
    branched = cascades(EXECUTION_PLAN, calling=Calling("in_turn", retries=2))["branched"]
    assert (branched.opened, branched.seconds_to_detect) == (3, 0.0)
    assert branched.amplification == 5.0
    assert cascades(EXECUTION_PLAN, mode="retry_storm")["branched"].amplification == 5.0


def test_time_outs_are_detected_later_than_errors() -> None:
    """A call that fails slowly costs its time, again at each level of callers that wait for it."""
    seconds = {mode: cascades(EXECUTION_PLAN, mode=mode)["linear"].seconds_to_detect for mode in MODES}
    assert seconds["outage"] is not None
    assert seconds["slow"] == pytest.approx(2 * seconds["outage"])


def test_flapping_makes_breakers_flip() -> None:
    """What comes and goes opens and closes its breakers again and again."""
    assert cascades(EXECUTION_PLAN)["linear"].flips == 2 * 3
    assert cascades(EXECUTION_PLAN, mode="flapping")["linear"].flips > 2 * 3


def test_a_cold_service_is_overrun_by_waiting_users() -> None:
    """Under load a service that comes back is knocked over by all who waited: closing takes longer."""
    healing = cascades(EXECUTION_PLAN, lambda: CircuitBreaker(2, 60), mode="heal_under_load")["branched"]
    plain = cascades(EXECUTION_PLAN, lambda: CircuitBreaker(2, 60))["branched"]
    assert healing.verdict == "passed"
    assert healing.flips > plain.flips
    assert healing.seconds_to_closed is not None
    assert plain.seconds_to_closed is not None
    assert healing.seconds_to_closed > plain.seconds_to_closed + 60


def test_too_many_services_down_at_once_is_a_failure() -> None:
    """The blast radius has a limit, whose name and value the failure tells."""
    report = run_cascades(EXECUTION_PLAN, CircuitBreaker, seed=1, modes=["outage"], max_services_down=4)
    failed = report.with_verdict("failed")
    assert {one.kind for one in failed} == {"branched"}
    assert failed[0].detail.endswith("more services down at once than max_services_down=4")
    assert not report.passed
    assert str(report).splitlines() == [report.verdict, f"  branched, outage: failed: {failed[0].detail}"]


def test_linear_takes_the_longest_chain_alone() -> None:
    """Of the plan's topology, a chain of four services with three breakers falls and recovers."""
    linear = cascades(EXECUTION_PLAN)["linear"]
    assert (linear.verdict, linear.opened, linear.edges, linear.services_down) == ("passed", 3, 3, 4)


def test_dependency_loses_all_that_one_service_needs() -> None:
    """The service with the most dependencies loses all of them at once."""
    dependency = cascades(EXECUTION_PLAN)["dependency"]
    assert dependency.detail.startswith(
        "outage of auth_service, data_service: 3 of 6 breakers opened, 4 of 6"
    )


def test_circular_spreads_around_the_cycle() -> None:
    """All of a ring are down, but the dead service itself calls nobody."""
    circular = cascades(RING)["circular"]
    assert (circular.verdict, circular.opened, circular.services_down) == ("passed", 2, 3)


def test_what_the_topology_has_no_place_for_is_not_applicable() -> None:
    """A shape that is missing is named and is no success."""
    lonely = cascades({"alone": []})
    assert {cascade.verdict for cascade in lonely.values()} == {"not_applicable"}
    assert {kind: cascade.detail for kind, cascade in lonely.items()} == {
        "linear": "no service needs another",
        "branched": "no service is needed by two others",
        "circular": "the topology has no cycle",
        "random": "no service needs another",
        "dependency": "no service needs another",
    }


def test_a_threshold_out_of_reach_is_not_applicable() -> None:
    """A breaker that takes too many calls to open is not driven that far."""
    linear = cascades(EXECUTION_PLAN, lambda: CircuitBreaker(MOST_CALLS + 1))["linear"]
    assert (linear.verdict, linear.opened) == ("not_applicable", 0)
    assert "fail_max=10001 is more than" in linear.detail


def test_a_seed_repeats_its_random_cascade() -> None:
    """The same seed gives the same cascade, and seeds differ from each other."""
    runs = [cascades(EXECUTION_PLAN, seed=seed)["random"] for seed in range(12)]
    assert runs == [cascades(EXECUTION_PLAN, seed=seed)["random"] for seed in range(12)]
    assert len({run.detail for run in runs}) > 1


def test_an_instance_is_copied_and_not_touched() -> None:
    """Cascades run on twins: an instance that is open stays open, on the same state."""
    breaker = CircuitBreaker(fail_max=2)
    breaker.open()
    before = dict(vars(breaker))
    assert cascades(RING, breaker)["circular"].verdict == "passed"
    assert vars(breaker) == before


def test_a_factory_that_returns_one_breaker_again_and_again() -> None:
    """Each edge has a breaker of its own, though the factory always gives the same one."""
    shared = CircuitBreaker()
    assert cascades(EXECUTION_PLAN, lambda: shared)["branched"].opened == 5


@settings(max_examples=60, deadline=None)
@given(
    topology=TOPOLOGIES,
    fail_max=st.integers(1, 4),
    successes=st.integers(1, 3),
    seed=st.integers(0, 99),
    mode=st.sampled_from(list(MODES)),
    calling=CALLINGS,
)
@example(RING, 2, 3, 1, "outage", Calling())
@example({"a": ["a"], "b": ["a", "b"]}, 1, 1, 1, "outage", Calling())
@example({"a": ["b", "c"], "b": ["c"], "c": ["a"]}, 1, 2, 1, "heal_under_load", Calling("in_turn", 2))
def test_right_breakers_contain_and_recover_in_any_topology(
    topology: Mapping[str, Sequence[str]],
    fail_max: int,
    successes: int,
    seed: int,
    mode: str,
    calling: Calling,
) -> None:
    """Cycles end, no call enters while open, one probe at a time, and all close, however services fail."""
    report = run_cascades(
        topology,
        lambda: CircuitBreaker(fail_max, 30, successes),
        seed=seed,
        modes=[mode],
        calling=calling,
        max_services_down=7,
    )
    assert [cascade.detail for cascade in report.with_verdict("failed")] == []
    for cascade in report.with_verdict("passed"):
        assert 1 <= cascade.services_down <= len(topology)
        assert 1 <= cascade.opened <= cascade.edges
        assert cascade.most_probes <= successes
        assert cascade.amplification <= 1 + max(calling.retries, MODES[mode].retries) + fail_max


@settings(max_examples=60, deadline=None)
@given(TOPOLOGIES, st.integers(0, 99))
def test_in_parallel_exactly_the_breakers_on_the_ways_to_the_outage_open(
    topology: Mapping[str, Sequence[str]], seed: int
) -> None:
    """Nothing beside these ways is touched, and none of them is spared."""
    needs = read_topology(topology)
    report = run_cascades(
        needs, lambda: CircuitBreaker(2, 30), seed=seed, modes=["outage"], max_services_down=7
    )
    for cascade in report.with_verdict("passed"):
        down = cascade.detail.removeprefix("outage of ").split(":")[0].split(", ")
        links = {service: tuple(needed) for service, needed in needs.items()}
        if cascade.kind == "linear":
            chain = longest_chain(needs)
            links = {**{one: (need,) for one, need in pairwise(chain)}, chain[-1]: ()}
        assert cascade.opened == len(failing_edges(links, down)), cascade


def test_a_chain_of_the_most_services_fits_the_call_stack() -> None:
    """The longest chain that is accepted is driven to its end."""
    names = [f"s{number}" for number in range(MOST_SERVICES)]
    chain = {name: names[at + 1 : at + 2] for at, name in enumerate(names)}
    report = run_cascades(chain, CircuitBreaker, seed=1, modes=["outage"], max_services_down=MOST_SERVICES)
    linear = report.cascades[0]
    assert (linear.verdict, linear.opened) == ("passed", MOST_SERVICES - 1)


class AsyncBreaker:
    """Opens after three failures for a minute; a real coroutine breaker of a few lines."""

    def __init__(self, clock: object) -> None:
        self.clock = clock
        self.failures = 0
        self.opened_at = 0.0

    async def call(self, function: object) -> object:
        if self.failures >= 3 and self.clock() < self.opened_at + 60:  # type: ignore[operator]
            raise RuntimeError("open")
        try:
            result = await function()  # type: ignore[operator]
        except Exception:
            self.failures += 1
            self.opened_at = self.clock()  # type: ignore[operator]
            raise
        self.failures = 0
        return result


def async_breaker() -> BreakerAdapter:
    return BreakerAdapter(
        AsyncBreaker,
        call_async=lambda breaker, function: breaker.call(function),
        threshold=3,
        open_seconds=60,
    )


@pytest.mark.parametrize("mode", MODES)
def test_async_breakers_stand_on_the_edges_too(mode: str) -> None:
    """Coroutine breakers are called on a loop of their own, what is asked in parallel at the same time."""
    found = cascades(EXECUTION_PLAN, async_breaker, mode=mode)
    assert {one.verdict for one in found.values()} == {"passed", "not_applicable"}
    assert found["branched"].opened == 5


@pytest.mark.asyncio
async def test_async_breakers_can_be_tested_while_a_loop_runs() -> None:
    """An async test may run cascades: they have a thread and a loop of their own."""
    assert cascades(RING, async_breaker)["circular"].verdict == "passed"


def test_a_way_that_the_breaker_does_not_have_is_refused() -> None:
    """The error names the ways that it has."""
    with pytest.raises(ResilienceError) as refused:
        run_cascades(RING, async_breaker, seed=1, way="sync")
    assert str(refused.value) == "way must be a way to call this breaker (async), not 'sync'. Leave it out."


@settings(max_examples=100, deadline=None)
@given(TOPOLOGIES)
def test_without_its_closing_edges_a_topology_has_no_cycle(topology: Mapping[str, Sequence[str]]) -> None:
    """Cutting the edges that close a cycle cuts all cycles, and the longest chain is one of its ways."""
    needs = read_topology(topology)
    closing = closing_edges(needs)
    cut = {
        service: tuple(n for n in needed if (service, n) not in closing) for service, needed in needs.items()
    }
    assert closing_edges(cut) == frozenset()
    chain = longest_chain(needs)
    assert len(set(chain)) == len(chain)
    assert all(need in cut[service] for service, need in pairwise(chain))


@settings(max_examples=100, deadline=None)
@given(TOPOLOGIES)
def test_users_reach_every_service_and_every_edge(topology: Mapping[str, Sequence[str]]) -> None:
    """Asked at the entries, a healthy system uses each of its edges."""
    needs = read_topology(topology)
    assert all(calls_per_request(needs, entries(needs)).values())


def test_where_the_entry_is_down_users_come_in_below() -> None:
    """What nobody that is up can call any more is asked directly."""
    needs = read_topology(EXECUTION_PLAN)
    assert entries(needs) == ("frontend",)
    assert entries(needs, ["api_gateway"]) == ("frontend", "auth_service", "data_service")


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        (
            {},
            "The topology must be a mapping from each service to the list of services that it needs, not {}.",
        ),
        (["a"], "The topology must be a mapping from each service to the list of services that it needs"),
        ({"a": "b", "b": []}, "What 'a' needs must be a list of services, not 'b'. Write ['b']."),
        ({"a": None}, "What 'a' needs must be a list of services, not None."),
        (
            {"api_gateway": [], "frontend": ["api_gatway"]},
            "'api_gatway', which is not in the topology. Did you mean 'api_gateway'?",
        ),
        (
            {str(number): [] for number in range(MOST_SERVICES + 1)},
            "The topology must be one of at most 50 services, not 51.",
        ),
    ],
)
def test_a_wrong_topology_is_refused(topology: Mapping[str, Sequence[str]], message: str) -> None:
    """The error names the value, what is allowed and the fix."""
    with pytest.raises(ResilienceError) as refused:
        run_cascades(topology, CircuitBreaker, seed=1)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_topology_with_too_many_ways_is_refused() -> None:
    """Where each way doubles the calls of a request, its cost is told instead of run."""
    ladder = {f"s{at}": [f"s{at + 1}", f"s{at + 2}"] for at in range(20)} | {"s20": [], "s21": []}
    with pytest.raises(
        ResilienceError, match=r"a request makes at most 1,000 calls, not \d+\. Give the part"
    ):
        run_cascades(ladder, CircuitBreaker, seed=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"modes": ["outrage"]},
            "Each of modes must be a failure mode, not 'outrage'. Did you mean 'outage'?",
        ),
        ({"modes": "outage"}, "modes must be a list of failure modes, not 'outage'. Write ['outage']."),
        ({"modes": []}, "modes must be at least one failure mode, not []. Known: flapping,"),
        ({"max_services_down": 0}, "max_services_down must be a whole number of at least 1, not 0."),
        ({"max_services_down": True}, "max_services_down must be a whole number of at least 1, not True."),
        ({"source": 7}, "Breaker 'cascade' must be a circuit breaker, or a function without arguments"),
    ],
)
def test_a_wrong_parameter_is_refused(wrong: Mapping[str, object], message: str) -> None:
    """The error names the value, what is allowed and the fix."""
    with pytest.raises(ResilienceError) as refused:
        run_cascades(RING, **{"source": CircuitBreaker, "seed": 1, **wrong})  # type: ignore[arg-type]
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Calling("paralel"),
            "fan_out must be one of 'in_turn' and 'parallel', not 'paralel'. Did you mean 'parallel'?",
        ),
        (lambda: Calling(retries=-1), "retries must be a whole number from 0 to 10, not -1."),
        (lambda: Calling(retries=11), "retries must be a whole number from 0 to 10, not 11."),
        (lambda: Calling(retries=True), "retries must be a whole number from 0 to 10, not True."),
    ],
)
def test_a_wrong_calling_is_refused(make: Callable[[], Calling], message: str) -> None:
    """How services call is checked where it is said."""
    with pytest.raises(ResilienceError) as refused:
        make()
    assert str(refused.value) == message


def test_a_report_without_a_cascade_is_no_pass() -> None:
    """A topology without a place for any cascade has shown nothing."""
    report = run_cascades({"alone": []}, CircuitBreaker, seed=1)
    assert not report.passed
    assert report.verdict == "breaker 'cascade': 0 of 0 cascades contained and healed"


def test_a_report_that_never_closed_says_so() -> None:
    """The verdict has no number where there is none."""
    passed = run_cascades(RING, CircuitBreaker, seed=1, modes=["outage"]).with_verdict("passed")[0]
    failed = replace(passed, verdict="failed", seconds_to_closed=None)
    assert CascadeReport("mine", (failed,)).verdict.endswith("all closed after at most never")


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_breakers_of_every_library_contain_and_heal(sample: str) -> None:
    """Whichever library is on the edges, sync or async, with windows or without: calls in a row go right."""
    report = run_cascades(EXECUTION_PLAN, SAMPLES[sample], seed=1)
    assert report.passed, str(report)
