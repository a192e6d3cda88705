"""Cascades through real breakers: contained, healed, closed, for any topology."""

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pybreaker import CircuitBreaker

from pytest_resilience.breakers.cascade import run_cascades
from pytest_resilience.breakers.limits import MOST_CALLS
from pytest_resilience.breakers.outages import OUTAGES
from pytest_resilience.breakers.records import Cascade
from pytest_resilience.breakers.topology import (
    MOST_SERVICES,
    closing_edges,
    failing_edges,
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


def cascades(
    topology: Mapping[str, Sequence[str]], source: object = CircuitBreaker, seed: int = 1
) -> dict[str, Cascade]:
    return {cascade.kind: cascade for cascade in run_cascades(topology, source, seed=seed)}


def test_the_topology_of_the_execution_plan() -> None:
    """A dead database opens the five breakers on its ways and takes five services down; all close again."""
    found = cascades(EXECUTION_PLAN)
    assert list(found) == list(OUTAGES)
    branched = found["branched"]
    assert (branched.verdict, branched.opened, branched.edges, branched.services_down) == ("passed", 5, 6, 5)
    assert branched.seconds_to_closed == pytest.approx(60.6)
    assert branched.detail == (
        "outage of database: 5 of 6 breakers opened, 5 of 6 services down; all closed 60.6 s after the heal"
    )


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
@given(TOPOLOGIES, st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
@example(RING, 2, 3, 1)
@example({"a": ["a"], "b": ["a", "b"]}, 1, 1, 1)
def test_right_breakers_contain_and_recover_in_any_topology(
    topology: Mapping[str, Sequence[str]], fail_max: int, successes: int, seed: int
) -> None:
    """Cycles end, exactly the breakers on the ways to the outage open, and all close."""
    found = run_cascades(topology, lambda: CircuitBreaker(fail_max, 30, successes), seed=seed)
    assert [cascade.detail for cascade in found if cascade.verdict == "failed"] == []
    for cascade in found:
        if cascade.verdict == "passed":
            assert 1 <= cascade.services_down <= len(topology)
            assert cascade.opened <= cascade.edges


def test_a_chain_of_the_most_services_fits_the_call_stack() -> None:
    """The longest chain that is accepted is driven to its end."""
    names = [f"s{number}" for number in range(MOST_SERVICES)]
    chain = {name: names[at + 1 : at + 2] for at, name in enumerate(names)}
    linear = cascades(chain)["linear"]
    assert (linear.verdict, linear.opened) == ("passed", MOST_SERVICES - 1)


def test_it_takes_no_real_waiting() -> None:
    """All cascades of the plan's topology take a fraction of the two seconds that they may."""
    begun = time.monotonic()
    cascades(EXECUTION_PLAN, lambda: CircuitBreaker(reset_timeout=3600))
    assert time.monotonic() - begun < 2.0


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


def test_failing_edges_are_those_on_the_ways_to_the_outage() -> None:
    """What is down calls nobody, and what does not need it is not touched."""
    failing = failing_edges(read_topology(EXECUTION_PLAN), ["data_service"])
    assert failing == {("api_gateway", "data_service"), ("frontend", "api_gateway")}


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
