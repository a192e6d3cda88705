"""The table of scenarios, their intensities, what they need, and what is wrong with parameters."""

import math
from itertools import pairwise
from typing import Any, cast

import chaos_subjects as subjects
import pytest

from pytest_resilience.chaos import cascade
from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.faults import Delay
from pytest_resilience.chaos.network.toxics import Latency, Slots
from pytest_resilience.chaos.parameters import Parameters
from pytest_resilience.chaos.plans import Planner
from pytest_resilience.chaos.records import NotRun
from pytest_resilience.chaos.scenario import CustomScenario
from pytest_resilience.chaos.scenarios import BUILT_IN, TEN, Catalogue, lacking, service_ways
from pytest_resilience.chaos.seams import SeamKind
from pytest_resilience.chaos.shares import EVERY_CALL, INTENSITIES, Shares, shares_at
from pytest_resilience.chaos.triggers import first, nth, share
from pytest_resilience.chaos.works import CallWork, CascadeWork, ToxicWork
from pytest_resilience.clock import ManualClock
from pytest_resilience.errors import ScenarioError
from pytest_resilience.services import Service

CALLS = ["chaos_subjects:fetch"]
FULL = Service(
    "odds_provider",
    calls=CALLS,
    errors=[ConnectionError],
    timeout=2.0,
    endpoint="127.0.0.1:9",
    process=1,
)


def lack(scenario: str, service: Service, seam: SeamKind = SeamKind.CALLS, given: Any = ()) -> NotRun | None:
    """Return what a service lacks for a scenario at a seam."""
    named = Catalogue().named(scenario)
    way = named.way(seam)
    assert way is not None
    return lacking(named, way, service, given)


def test_the_ten_scenarios_have_their_impacts() -> None:
    """Names and impacts are those of the plan; every soak injects them."""
    assert {scenario.name: scenario.impact for scenario in TEN} == {
        "provider_timeout": "medium",
        "valuation_exception": "high",
        "latency_spike": "medium",
        "memory_pressure": "high",
        "cpu_saturation": "high",
        "network_partition": "critical",
        "database_slowdown": "high",
        "cascading_failure": "critical",
        "resource_exhaustion": "critical",
        "intermittent_errors": "medium",
    }
    assert all(scenario.soaked for scenario in TEN)


def test_intensities_are_those_of_the_plan() -> None:
    """Shares of calls for timeouts, exceptions, latency and intermittent errors."""
    plan = {
        "low": (0.05, 0.2, 0.02, 0.1),
        "medium": (0.1, 0.5, 0.05, 0.1),
        "high": (0.2, 0.7, 0.1, 0.1),
        "extreme": (0.3, 0.9, 0.15, 0.1),
    }
    assert list(INTENSITIES) == list(plan)
    for intensity, expected in plan.items():
        shares = shares_at(intensity)
        found = (shares.provider_timeout, shares.valuation_exception, shares.latency_spike)
        assert (*found, shares.intermittent_errors) == expected
        assert shares.of("valuation_exception") == expected[1]
        assert shares.of("network_partition") == 1


def test_higher_intensities_are_stronger() -> None:
    """In everything that they decide."""
    levels = list(INTENSITIES.values())
    for weaker, stronger in pairwise(levels):
        assert (weaker.cpu, weaker.memory, weaker.at_once) < (stronger.cpu, stronger.memory, stronger.at_once)


def test_an_unknown_scenario_gets_a_suggestion() -> None:
    """By the nearest name."""
    with pytest.raises(ScenarioError) as wrong:
        Catalogue().named("latency_spik")
    assert str(wrong.value) == "There is no scenario 'latency_spik'. Did you mean 'latency_spike'?"


def test_an_unknown_intensity_is_refused() -> None:
    """The error lists the intensities."""
    with pytest.raises(ScenarioError) as wrong:
        shares_at("hihg")
    assert str(wrong.value) == "intensity must be one of low, medium, high, extreme, not 'hihg'."


@pytest.mark.parametrize("scenario", BUILT_IN, ids=lambda scenario: scenario.name)
def test_a_full_service_lacks_nothing(scenario: Any) -> None:
    """A service that declares everything can take every scenario in every way."""
    assert [lacking(scenario, way, FULL) for way in service_ways(scenario)] == [None] * len(
        service_ways(scenario)
    )


@pytest.mark.parametrize(
    ("scenario", "service", "reason", "declaration"),
    [
        ("provider_timeout", Service("db", calls=CALLS), "no timeout", "timeout=2.0"),
        ("latency_spike", Service("db"), "no calls", 'calls=["your.module:Client.method"]'),
        ("valuation_exception", Service("db", calls=CALLS), "no errors", "errors=[ConnectionError]"),
        (
            "intermittent_errors",
            Service("db"),
            "no calls and no errors",
            'calls=["your.module:Client.method"], errors=[ConnectionError]',
        ),
    ],
)
def test_what_a_scenario_lacks_is_said_with_the_line_to_add(
    scenario: str, service: Service, reason: str, declaration: str
) -> None:
    """The record of a scenario that cannot run says why and what to write."""
    found = lack(scenario, service)
    assert found is not None
    assert found.reason == f"service 'db' declares {reason}"
    assert found.fix == f"Add it in resilience_services: Service('db', {declaration}, …)."


@pytest.mark.parametrize(
    ("seam", "declaration"),
    [(SeamKind.ENDPOINT, 'endpoint="127.0.0.1:5432"'), (SeamKind.PROCESS, "process=server")],
)
def test_other_seams_are_asked_for_too(seam: SeamKind, declaration: str) -> None:
    """With the way to write them."""
    found = lack("provider_timeout", Service("db"), seam)
    assert found is not None
    assert (found.reason, found.seam) == (f"service 'db' declares no {seam}", seam.value)
    assert found.fix == f"Add it in resilience_services: Service('db', {declaration}, …)."


def test_a_parameter_stands_in_for_a_declaration() -> None:
    """An injection that brings its own errors needs none declared."""
    assert lack("valuation_exception", Service("db", calls=CALLS), given=["errors"]) is None


SHARE = "a share of the calls above 0 and up to 1"
TAKEN = "probability, trigger, when, scope, delay, jitter, factor"
FACTOR = "a number above 1, or a range of two such as (2, 10)"


@pytest.mark.parametrize(
    ("scenario", "parameters", "message"),
    [
        (
            "latency_spike",
            {"delai": 1},
            "Scenario 'latency_spike' takes no parameter 'delai'. Did you mean 'delay'?",
        ),
        (
            "latency_spike",
            {"errors": [KeyError]},
            f"Scenario 'latency_spike' takes no parameter 'errors'. It takes: {TAKEN}.",
        ),
        ("latency_spike", {"delay": 0}, "delay must be a number of seconds above 0, not 0."),
        ("latency_spike", {"delay": math.nan}, "delay must be a number of seconds above 0, not nan."),
        ("latency_spike", {"delay": "1s"}, "delay must be a number of seconds above 0, not '1s'."),
        ("latency_spike", {"probability": 0}, f"probability must be {SHARE}, not 0."),
        ("latency_spike", {"probability": 1.1}, f"probability must be {SHARE}, not 1.1."),
        ("latency_spike", {"factor": 1}, f"factor must be {FACTOR}, not 1."),
        ("latency_spike", {"factor": (10, 2)}, f"factor must be {FACTOR}, not (10, 2). Write (2, 10)."),
        (
            "latency_spike",
            {"delay": 1, "factor": 2},
            "delay and factor exclude each other. Give one of them.",
        ),
        (
            "latency_spike",
            {"probability": 1, "trigger": nth(1)},
            "probability and trigger exclude each other. Give one of them.",
        ),
        (
            "latency_spike",
            {"trigger": 3},
            "trigger must be share(p), nth(n), every(n), first(n) or window(start, stop), not 3.",
        ),
        ("provider_timeout", {"timeout": -1}, "timeout must be a number of seconds above 0, not -1."),
        (
            "valuation_exception",
            {"errors": []},
            "errors must be a list of exceptions, not []. Write errors=[ConnectionError].",
        ),
        (
            "valuation_exception",
            {"errors": ["down"]},
            "errors must be an exception type, an instance or a factory, not 'down'.",
        ),
        ("latency_spike", {"duration": math.inf}, "duration must be a number of seconds above 0, not inf."),
        (
            "latency_spike",
            {"jitter": 0.1},
            "jitter varies a delay, and none is given. Give delay=, or factor=(low, high).",
        ),
        (
            "latency_spike",
            {"when": "always"},
            (
                "when must be a function of the call's arguments, not 'always'. "
                "Write when=lambda self, key: key == 1, with the parameters of the call."
            ),
        ),
        ("latency_spike", {"scope": "test"}, "scope must be 'process' or 'task', not 'test'."),
        (
            "database_slowdown",
            {"seam": "endpoint", "rate": 0},
            "rate must be a number of bytes per second above 0, not 0.",
        ),
        ("network_partition", {"mode": "cut"}, "mode must be 'reset' or 'black_hole', not 'cut'."),
        (
            "resource_exhaustion",
            {"connections": -1},
            "connections must be a whole number of at least 0, not -1.",
        ),
        (
            "process_kill",
            {"restart": "redis-server"},
            (
                "restart must be a command as a list of words, or a function, not 'redis-server'. "
                'Write restart=["redis-server", "--port", "6379"].'
            ),
        ),
        (
            "provider_timeout",
            {"seam": "host"},
            "Scenario 'provider_timeout': seam must be 'calls' or 'endpoint' or 'process', not 'host'.",
        ),
    ],
)
def test_wrong_parameters_are_named(scenario: str, parameters: Any, message: str) -> None:
    """Each wrong name or value gives the value, the constraint and the fix, and nothing is patched."""
    chaos = Chaos([FULL], seed=1)
    with pytest.raises(ScenarioError) as wrong:
        chaos.inject(scenario, "odds_provider", **parameters)
    assert str(wrong.value) == message
    assert chaos.injections == ()


@pytest.mark.parametrize(
    ("scenario", "parameters", "message"),
    [
        ("cpu_saturation", {"load": 1.5}, "load must be a share above 0 and up to 1, not 1.5."),
        ("cpu_saturation", {"cores": 0}, "cores must be a whole number of at least 1, not 0."),
        ("memory_pressure", {"size": 1.5}, "size must be a whole number of at least 1, not 1.5."),
        ("resource_exhaustion", {"spare": -1}, "spare must be a whole number of at least 0, not -1."),
        (
            "resource_exhaustion",
            {"resource": "sockets"},
            "resource must be 'descriptors' or 'disk', not 'sockets'.",
        ),
        (
            "disk_full",
            {"probability": 0.5},
            "Scenario 'disk_full' takes no parameter 'probability'. It takes none.",
        ),
        ("latency_spike", {}, "Scenario 'latency_spike' needs a target: the name of a service."),
    ],
)
def test_wrong_parameters_of_the_host_are_named(scenario: str, parameters: Any, message: str) -> None:
    """Scenarios of the host need no target; those of services do."""
    with pytest.raises(ScenarioError) as wrong:
        Chaos([FULL], seed=1).inject(scenario, **parameters)
    assert str(wrong.value) == message


def test_a_scenario_of_the_host_has_no_service() -> None:
    """The target is left out."""
    with pytest.raises(ScenarioError) as wrong:
        Chaos([FULL], seed=1).inject("cpu_saturation", "odds_provider")
    assert str(wrong.value) == (
        "Scenario 'cpu_saturation' acts on the host, not on service 'odds_provider'. Leave the target out."
    )


def test_the_way_is_chosen_by_what_is_declared_and_given() -> None:
    """The preferred seam that can act and takes all parameters; else the one that is asked for."""
    service = Service("db", calls=CALLS, endpoint="127.0.0.1:1", errors=[ConnectionError], timeout=1)
    planner = Planner({"db": service}, Shares(1, 1, 1))

    def seam(scenario: str, asked: str | None = None, **parameters: Any) -> str:
        plan = planner.plan(Catalogue().named(scenario), "db", asked, cast("Parameters", parameters))
        return plan.seam.value

    assert seam("latency_spike") == "calls"
    assert seam("latency_spike", "endpoint") == "endpoint"
    assert seam("database_slowdown") == "endpoint"
    assert seam("database_slowdown", trigger=nth(1)) == "endpoint"
    assert seam("database_slowdown", when=lambda game: True) == "calls"
    assert seam("resource_exhaustion") == "endpoint"
    only_calls = Planner({"db": Service("db", calls=CALLS)}, Shares(1, 1, 1))
    assert only_calls.plan(Catalogue().named("network_partition"), "db", None, {}).seam is SeamKind.CALLS


def test_a_cascade_spreads_to_what_needs_the_target() -> None:
    """The nearest first; what has no seam is passed over."""
    services = {
        service.name: service
        for service in (
            Service("frontend", calls=CALLS, needs=["api"]),
            Service("api", needs=["database", "cache"]),
            Service("database", endpoint="127.0.0.1:5432"),
            Service("cache", process=1),
        )
    }
    assert cascade.spreading("database", services) == ["database", "api", "frontend"]
    assert cascade.starts(services) == ["database", "cache"]
    assert cascade.most_needed(services) == "database"
    plan = Planner(services, Shares(1, 1, 1)).plan(Catalogue().named("cascading_failure"), None, None, {})
    assert isinstance(plan.work, CascadeWork)
    assert [type(outage) for outage in plan.work.outages] == [ToxicWork, CallWork]
    assert plan.work.delay == cascade.PROPAGATION_SECONDS


def test_a_cascade_needs_two_services_with_seams() -> None:
    """Else nothing can spread, and the error says what to declare."""
    with pytest.raises(ScenarioError) as wrong:
        Chaos([FULL], seed=1).inject("cascading_failure")
    assert str(wrong.value) == (
        "Scenario 'cascading_failure' cannot act: no failure can spread, as no service with a seam needs "
        "another one with a seam. Declare it in resilience_services: "
        'Service(\'odds_provider\', calls=["…"], needs=["database"], …).'
    )
    with pytest.raises(ScenarioError, match=r'needs=."cache"'):
        Chaos([FULL, Service("cache")], seed=1).inject("cascading_failure")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "two words"}, "CustomScenario name must be a name like slow_and_lossy, not 'two words'."),
        (
            {"name": "mine", "impact": "huge"},
            "mine: impact must be low, medium, high or critical, not 'huge'.",
        ),
        (
            {"name": "mine", "fault": None},
            "CustomScenario('mine') does nothing. Give it a fault (for calls) or toxics.",
        ),
        ({"name": "mine", "probability": 2}, "share must be a number above 0 and up to 1, not 2."),
        (
            {"name": "mine", "fault": ConnectionError},
            "mine: fault must be a fault, not <class 'ConnectionError'>. Write fault=faults.Delay(0.2).",
        ),
        (
            {"name": "mine", "fault": Delay},
            (
                "mine: fault must be a fault, not <class 'pytest_resilience.chaos.faults.Delay'>. "
                "Write fault=faults.Delay(0.2)."
            ),
        ),
        (
            {"name": "mine", "toxics": Slots(1)},
            (
                "mine: toxics must be a list of toxics, not Slots(stream='downstream', toxicity=1.0, "
                "trigger=None, per='connection', connections=1). Write toxics=[toxics.Latency(0.2)]."
            ),
        ),
        (
            {"name": "mine", "toxics": ["latency"]},
            "mine: toxics must be a list of toxics, not ['latency']. Write toxics=[toxics.Latency(0.2)].",
        ),
        (
            {"name": "mine", "trigger": 3},
            "mine: trigger must be share(p), nth(n), every(n), first(n) or window(start, stop), not 3.",
        ),
        (
            {"name": "mine", "trigger": nth(2), "probability": 0.5},
            "mine: probability and trigger exclude each other. Give one.",
        ),
    ],
)
def test_wrong_custom_scenarios_are_named(fields: Any, message: str) -> None:
    """A scenario of the user's own is checked when it is made."""
    with pytest.raises(ScenarioError) as wrong:
        CustomScenario(**{"fault": Delay(0.1), **fields})
    assert str(wrong.value) == message


def test_custom_scenarios_have_names_of_their_own() -> None:
    """A built-in name is taken, and what is no scenario is refused."""
    with pytest.raises(ScenarioError) as wrong:
        Chaos([FULL], seed=1, scenarios=[CustomScenario("latency_spike", fault=Delay(0.1))])
    assert str(wrong.value) == "There is already a scenario 'latency_spike'. Give yours another name."
    with pytest.raises(ScenarioError, match="must be a CustomScenario, not 3"):
        Catalogue(cast("Any", [3]))


def test_custom_scenarios_act_on_calls_and_endpoints() -> None:
    """As plain data; given by value, or by name once it is known."""
    mine = CustomScenario("mine", "low", fault=Delay(0.1), toxics=[Latency(0.1)], trigger=nth(2))
    chaos = Chaos([FULL], seed=1, scenarios=[mine], clock=ManualClock())
    with chaos.inject("mine", "odds_provider") as injection:
        assert [subjects.fetch("a"), subjects.fetch("a")]
    assert (injection.reached, injection.fired, injection.impact, injection.seam) == (2, 1, "low", "calls")
    with chaos.inject(mine, "odds_provider", trigger=nth(1)) as again:
        subjects.fetch("a")
    assert again.fired == 1
    assert [way.seam for way in mine.scenario().ways] == [SeamKind.CALLS, SeamKind.ENDPOINT]


@pytest.mark.parametrize(
    ("fields", "given", "expected"),
    [
        ({}, {}, None),
        ({"probability": 0.1}, {}, share(0.1)),
        ({"trigger": nth(2)}, {}, nth(2)),
        ({"trigger": nth(2)}, {"probability": 0.5}, share(0.5)),
        ({"probability": 0.1}, {"trigger": first(3)}, first(3)),
        ({"probability": 0.1}, {"probability": 1}, None),
    ],
)
def test_a_custom_scenario_picks_connections_as_it_picks_calls(
    fields: Any, given: Any, expected: object
) -> None:
    """What the injection says goes first, then the scenario, then each toxic itself."""
    mine = CustomScenario("mine", toxics=[Latency(0.1), Slots(1)], **fields)
    work = (
        Planner({"odds_provider": FULL}, EVERY_CALL).plan(mine.scenario(), "odds_provider", None, given).work
    )
    assert isinstance(work, ToxicWork)
    assert [toxic.trigger for toxic in work.toxics_for(None)] == [expected] * 2
