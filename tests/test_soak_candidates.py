"""Which scenario can act where, and what the others lack."""

from pytest_resilience.chaos.scenarios import SCENARIOS, available_scenarios
from pytest_resilience.services import Service
from pytest_resilience.soak.candidates import candidates

AVAILABLE = [scenario.name for scenario in available_scenarios()]
OTHERS = [scenario.name for scenario in SCENARIOS if not scenario.available]
FULL = Service("odds", calls=["soak_stage:fetch"], errors=[ConnectionError], timeout=1.0)


def test_a_service_that_declares_everything_can_have_every_scenario() -> None:
    """In the order of the table; then what this version cannot do at all."""
    rows = list(candidates([FULL]))
    assert [row for row in rows if row[1]] == [(name, "odds", "", "") for name in AVAILABLE]
    assert [row[0] for row in rows if not row[1]] == OTHERS
    assert {row[2] for row in rows if not row[1]} <= {"not available in this version"}


def test_what_is_missing_is_named_with_the_fix() -> None:
    """Per scenario: one needs errors, one a timeout."""
    rows = {row[0]: row[2:] for row in candidates([Service("odds", calls=["soak_stage:fetch"])]) if row[1]}
    assert rows["latency_spike"] == ("", "")
    reason, fix = rows["provider_timeout"]
    assert reason == "service 'odds' declares no timeout"
    assert fix == "Add it in resilience_services: Service('odds', timeout=2.0, …)."


def test_a_service_without_calls_is_no_target() -> None:
    """It may be there for the topology alone, so nothing is missing."""
    assert not [row for row in candidates([Service("shop", needs=["odds"])]) if row[1]]


def test_every_scenario_of_the_specification_is_accounted_for() -> None:
    """As possible, as lacking something, or as not available."""
    assert {row[0] for row in candidates([FULL])} == {scenario.name for scenario in SCENARIOS}
