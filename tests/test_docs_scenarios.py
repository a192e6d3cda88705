"""docs/scenarios.md is what the code gives; `python tests/test_docs_scenarios.py` writes it anew."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, cast, get_args

import pytest

from pytest_resilience.chaos import call_ways, cascade, endpoint_ways, faults, triggers
from pytest_resilience.chaos.host.cores import usable_cores
from pytest_resilience.chaos.network import toxics
from pytest_resilience.chaos.network.toxics import AnyToxic, Toxic, WholeConnection
from pytest_resilience.chaos.parameters import Parameters, check
from pytest_resilience.chaos.plans import Planner
from pytest_resilience.chaos.scenario import Scenario, Way
from pytest_resilience.chaos.scenarios import EXTRA, TEN, service_ways
from pytest_resilience.chaos.seams import COUNTED, DECLARATIONS, SeamKind
from pytest_resilience.chaos.shares import EVERY_CALL, INTENSITIES, Shares
from pytest_resilience.chaos.works import CallWork, CascadeWork, ToxicWork, Work
from pytest_resilience.errors import ScenarioError
from pytest_resilience.services import Service

PAGE = Path(__file__).parents[1] / "docs" / "scenarios.md"
NORMAL_SECONDS = 0.01
"""The normal latency for which the page shows what ways are made of."""

MOST_FLOAT = 10_000
WHICH_CALLS = ("trigger", "when", "scope")

SERVICES = {
    "database": Service(
        "database",
        calls=["json:loads"],
        errors=[ConnectionResetError],
        timeout=2.0,
        endpoint="127.0.0.1:5432",
        process=1,
    ),
    "api": Service("api", calls=["json:dumps"], needs=["database"]),
}

SEAMS = {
    SeamKind.CALLS: "the Python calls through which your code reaches a service",
    SeamKind.ENDPOINT: "the connections that go through `service_address` (a proxy in a process of its own)",
    SeamKind.PROCESS: "the process of the service",
    SeamKind.HOST: "the machine, or this process: no target is named",
    SeamKind.TOPOLOGY: "several services, along their `needs`: a target is where it begins, if one is named",
}

PARAMETERS = {
    "probability": "the share of the calls (on endpoints: of the exchanges) that are hit, drawn by the seed",
    "trigger": "which calls are hit, instead of a share",
    "when": "hit only the calls for which this says so; it gets the call's arguments",
    "scope": 'whose calls: `"task"` are those of the task or thread that injected it, and what it starts',
    "timeout": "how long a call hangs",
    "error": "what it raises then",
    "delay": "how much later; for a cascade: between two steps",
    "jitter": "give or take up to so many seconds of `delay`",
    "factor": "how many times its normal latency it takes, instead of a `delay`",
    "rate": "how much passes on each connection",
    "errors": "what calls raise, in turn",
    "mode": "cut connections off, or let nothing through",
    "cores": "how many are kept busy",
    "load": "for which share of the time",
    "size": "how many bytes are taken",
    "resource": "what runs out",
    "spare": "how many descriptors may still be opened",
    "connections": "how many may be open at once",
    "restart": "what brings it back: a command as a list of words, or a function, run at the removal",
}

SPIKE, SLOWDOWN = call_ways.SPIKE_FACTORS, call_ways.SLOWDOWN_FACTOR
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "provider_timeout": {"timeout": 2.0, "error": TimeoutError, "probability": 1.0},
    "valuation_exception": {"errors": [ConnectionResetError], "probability": 1.0},
    "latency_spike": {"factor": SPIKE, "probability": 1.0},
    "cpu_saturation": {"cores": usable_cores(), "load": EVERY_CALL.cpu},
    "network_partition": {"mode": "reset", "errors": [ConnectionResetError], "probability": 1.0},
    "database_slowdown": {"factor": SLOWDOWN, "rate": endpoint_ways.SLOW_RATE, "probability": 1.0},
    "cascading_failure": {"delay": cascade.PROPAGATION_SECONDS},
    "resource_exhaustion": {"resource": "descriptors", "spare": 0, "connections": 0},
    "intermittent_errors": {"errors": [ConnectionResetError], "probability": EVERY_CALL.intermittent_errors},
    "lost_acknowledgement": {"errors": [ConnectionResetError], "probability": 1.0},
    "dns_failure": {"probability": 1.0},
}
"""What an ordinary test gets; a test proves that giving it changes nothing."""

OWN = {
    "timeout": "the service's `timeout`",
    "error": "the service's `timeout_error`",
    "errors": "the service's `errors`",
    "cores": "all",
    "trigger": "",
    "when": "",
    "jitter": "0",
    "restart": "it stays dead",
    "size": "the share of the table above",
}
"""Defaults that no number tells."""

TOXIPROXY = {
    "Latency": "latency (latency, jitter: ms)",
    "Bandwidth": "bandwidth (rate: KB/s)",
    "SlowClose": "slow_close (delay: ms)",
    "Timeout": "timeout (timeout: ms)",
    "ResetPeer": "reset_peer (timeout: ms)",
    "Slicer": "slicer (average_size, size_variation: bytes; delay: µs)",
    "LimitData": "limit_data (bytes)",
    "Down": "enabled=false",
}
"""How Toxiproxy calls them, and its units."""


def page() -> str:
    """Return docs/scenarios.md as the tables of scenarios, faults and toxics give it."""
    parts = [
        OPENING,
        _table(("seam", "where a fault acts", "declared by", "`reached` and `fired` count"), _seam_rows()),
        _overview(),
        _strengths(),
        "## The ten\n\nEach soak injects those that have a target.",
        *map(_section, TEN),
        MORE,
        *map(_section, EXTRA),
        _parameter_part(),
        _fault_part(),
        _toxic_part(),
    ]
    return "\n\n".join(parts) + "\n"


OPENING = """# Scenarios

What can be injected, where it acts, and how strong it is. [recipes.md](recipes.md) has a test for each.

```python
def test_slow_database(shop, chaos):
    with chaos.inject("latency_spike", "database", delay=0.2) as event:
        assert shop.orders() == []
    assert event.fired


@pytest.mark.chaos("latency_spike", target="database", delay=0.2)
def test_slow_database_all_the_time(shop):
    assert shop.orders() == []
```

A scenario acts on a *seam* of its target:"""

MORE = """## More

They act where they are named: in tests, and in soaks whose `resilience_scenarios` names them. `disk_full` is
also part of a soak whose suite uses the fixture `resilience_disk`."""


def _seam_rows() -> Iterator[tuple[str, ...]]:
    declared = {SeamKind.HOST: "", SeamKind.TOPOLOGY: '`needs=["database"]`'}
    for seam, where in SEAMS.items():
        counted = f"{COUNTED[seam]}s{', and new connections' if seam is SeamKind.ENDPOINT else ''}"
        yield seam, where, declared.get(seam) or _code(DECLARATIONS.get(seam, "")), counted


def _overview() -> str:
    seams = tuple(SeamKind)
    rows = [
        (f"[{one.name}](#{one.name})", one.impact, *(_place(one, seam) for seam in seams))
        for one in (*TEN, *EXTRA)
    ]
    return f"""## Overview

Seam 1 is taken if the service declares what it needs and if it takes the parameters that are given, else 2,
then 3; `seam="endpoint"` asks for one. In a soak a *critical* scenario runs alone.

{_table(("scenario", "impact", *seams), rows)}"""


def _place(scenario: Scenario, seam: SeamKind) -> str:
    way = scenario.way(seam)
    return str(scenario.ways.index(way) + 1) if way else ""


def _strengths() -> str:
    levels = (EVERY_CALL, *INTENSITIES.values())
    words = {
        "cpu": "`cpu_saturation`: share of the time that cores are busy",
        "memory": "`memory_pressure`: share of what is free below its ceiling",
        "at_once": "scenarios that a soak injects together",
    }
    rows = [
        (words.get(name, f"`{name}`: share of calls"), *(f"{getattr(level, name):g}" for level in levels))
        for name in (field.name for field in fields(Shares))
    ]
    return f"""## How strong

A test gets what the first column says, a soak what its intensity says (`--resilience-intensity`, medium by
default). On endpoints the shares are those of exchanges.

{_table(("", "test", *INTENSITIES), rows)}

What is not in this table hits all. `probability=` and the other parameters say otherwise. Below, *the same
as* is what a test gets, for a `timeout` of 2 s and a normal latency of 10 ms."""


def _section(scenario: Scenario) -> str:
    head = ("seam", "what happens", "the same as", "the service declares", "parameters (default)")
    rows = [
        (way.seam, way.does, _code(_made_of(scenario, way)), _needs(way), _told(scenario, way))
        for way in scenario.ways
    ]
    return f"### {scenario.name}\n\n{_table(head, rows)}"


def _needs(way: Way) -> str:
    if way.seam is SeamKind.TOPOLOGY:
        return "`needs`"
    own = [way.seam.value] if way.seam is not SeamKind.HOST else []
    return ", ".join(map(_code, (*own, *way.needs)))


def _told(scenario: Scenario, way: Way) -> str:
    """Return the parameters of a way, with their defaults; which calls are hit is told by all of them."""
    return ", ".join(_with_default(scenario, name) for name in way.parameters if name not in WHICH_CALLS)


def _with_default(scenario: Scenario, name: str) -> str:
    given = DEFAULTS.get(scenario.name, {})
    default = OWN[name] if name in OWN else _written(given[name]) if name in given else ""
    return f"`{name}`{f' ({default})' if default else ''}"


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return " to ".join(_written(part) for part in value)
    return f"{value:,}".removesuffix(".0") if isinstance(value, (int, float)) else f'`"{value}"`'


def _made_of(scenario: Scenario, way: Way) -> str:
    """Return the fault or the toxics of a way as code, for a test."""
    work = _work(scenario, way, {})
    if isinstance(work, CallWork):
        return f"faults.{_call(work.fault_for(NORMAL_SECONDS))}"
    if isinstance(work, ToxicWork):
        return ", ".join(f"toxics.{_call(one)}" for one in work.toxics_for(NORMAL_SECONDS))
    return ""


def _call(data: Any) -> str:
    """Write a dataclass as code, without what is a default."""
    given = [(field, getattr(data, field.name)) for field in fields(data) if not field.kw_only]
    named = [(field, getattr(data, field.name)) for field in fields(data) if field.kw_only]
    shown = [_value(value) for field, value in given if value != field.default]
    shown += [f"{field.name}={_value(value)}" for field, value in named if value != field.default]
    return f"{type(data).__name__}({', '.join(shown)})"


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if value < MOST_FLOAT else f"{value:,.0f}".replace(",", "_")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return value.__name__ if isinstance(value, type) else repr(value).replace("'", '"')


def _work(scenario: Scenario, way: Way, parameters: Mapping[str, object]) -> Work:
    """Return what an ordinary test's engine would do."""
    target = "database" if way in service_ways(scenario) else None
    planner = Planner(SERVICES, EVERY_CALL)
    return planner.plan(scenario, target, way.seam.value, cast("Parameters", dict(parameters))).work


def _parameter_part() -> str:
    rows = [(_code(name), words, _constraint(name)) for name, words in PARAMETERS.items()]
    made = (triggers.first, triggers.nth, triggers.every, triggers.window)
    lines = [f"- `{one.__name__}{_signature(one)}`: {_first_line(one)}" for one in made]
    return f"""## Parameters

What acts on calls takes {", ".join(map(_code, WHICH_CALLS))} too. Each injection also takes `seam`,
`duration` (seconds after which the fault is removed by itself) and `must_fire=False` (a fault that hits
nothing does not fail the test).

{_table(("parameter", "what it says", "must be"), rows)}

Triggers come from `pytest_resilience`; calls are counted from 1:

{chr(10).join(lines)}"""


def _constraint(name: str) -> str:
    """Return what a parameter must be, as its error says."""
    return _refusal(lambda: check("any", [name], cast("Parameters", {name: object()})))


def _refusal(make: Callable[[], object]) -> str:
    with pytest.raises(ScenarioError) as refused:
        make()
    found = re.search(r"must be (.+), not <object", str(refused.value))
    assert found, refused.value
    return found[1]


def _fault_part() -> str:
    kinds = [kind for kind in vars(faults).values() if inspect.isclass(kind) and _is_fault(kind)]
    rows = [(_code(f"{kind.__name__}{_signature(kind)}"), _paragraph(kind)) for kind in kinds]
    return f"""## Faults

`from pytest_resilience import faults`: what happens to a call, for scenarios of your own
(`CustomScenario("stale_price", fault=faults.Return(2.5))`). Times are in seconds.

{_table(("fault", "what happens"), rows)}"""


def _is_fault(kind: type) -> bool:
    return kind.__module__ == faults.__name__ and hasattr(kind, "effect") and kind is not faults.Fault


def _toxic_part() -> str:
    kinds = get_args(AnyToxic)
    rows = [(_code(_toxic(kind)), _paragraph(kind), TOXIPROXY.get(kind.__name__, "")) for kind in kinds]
    values = {field.name: _toxic_constraint(kind, field.name) for kind in kinds for field in _own(kind)}
    shared = [f"- `{one.name}={_value(one.default)}`: {_toxic_words(one.name)}" for one in fields(Toxic)]
    whole = ", ".join(_code(kind.__name__) for kind in kinds if issubclass(kind, WholeConnection))
    return f"""## Toxics

`from pytest_resilience import toxics`: what happens to the connections of an endpoint, for scenarios of your
own (`CustomScenario("thin_line", toxics=[toxics.Bandwidth(10_000), toxics.Latency(0.1)])`). The names are
Toxiproxy's; its milliseconds, microseconds and KB/s are seconds and bytes per second here.

{_table(("toxic", "what happens", "Toxiproxy"), rows)}

Values: {"; ".join(f"`{name}` {words}" for name, words in values.items())}. All of them also take:

{chr(10).join(shared)}

{whole} act when a client connects: they take no `per="exchange"`."""


def _toxic(kind: type[Toxic]) -> str:
    parts = [f"{one.name}{'' if one.default is MISSING else f'={one.default}'}" for one in _own(kind)]
    return f"{kind.__name__}({', '.join(parts)})"


def _own(kind: type[Toxic]) -> "list[Field[Any]]":
    return [field for field in fields(kind) if not field.kw_only]


def _toxic_constraint(kind: type[Toxic], name: str) -> str:
    values: dict[str, Any] = {field.name: 1 for field in _own(kind)}
    return _refusal(lambda: kind(**{**values, name: object()}))


def _toxic_words(name: str) -> str:
    """Return what the docstring says of an argument."""
    text = inspect.getdoc(Toxic) or ""
    found = re.search(rf"^    {name}: (.+(?:\n        .+)*)", text, re.MULTILINE)
    assert found
    return " ".join(found[1].split())


def _signature(made: Callable[..., object]) -> str:
    names = inspect.signature(made).parameters.values()
    shown = [one.name if one.default is one.empty else f"{one.name}={_value(one.default)}" for one in names]
    return f"({', '.join(shown)})"


def _first_line(made: object) -> str:
    return (inspect.getdoc(made) or "").partition("\n")[0]


def _paragraph(made: object) -> str:
    """Return a docstring up to its sections."""
    text = (inspect.getdoc(made) or "").partition("\n\nRaises:")[0]
    return " ".join(text.split())


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _evaluated(work: Work) -> object:
    """Return a work as data that can be compared."""
    match work:
        case CallWork(_, trigger, fault_for, when, own_task):
            return trigger, repr(fault_for(NORMAL_SECONDS)), when, own_task
        case ToxicWork(_, toxics_for):
            return toxics_for(NORMAL_SECONDS)
        case CascadeWork(outages, delay):
            return [_evaluated(outage) for outage in outages], delay
    return work


def defaults() -> Iterator[tuple[Scenario, Way, str, object]]:
    """Yield each parameter that has a default, where it is taken."""
    for scenario in (*TEN, *EXTRA):
        for way in scenario.ways:
            given = {"scope": "process", **DEFAULTS.get(scenario.name, {})}
            yield from ((scenario, way, name, given[name]) for name in way.parameters if name in given)


def test_the_page_is_what_the_code_gives() -> None:
    """docs/scenarios.md is up to date; python tests/test_docs_scenarios.py writes it anew."""
    assert PAGE.read_text("utf-8") == page()


@pytest.mark.parametrize(
    ("scenario", "way", "name", "value"),
    [pytest.param(*case, id=f"{case[0].name}-{case[1].seam}-{case[2]}") for case in defaults()],
)
def test_a_default_is_what_leaving_it_out_does(
    scenario: Scenario, way: Way, name: str, value: object
) -> None:
    """Giving the default that the page tells plans the same work as giving nothing."""
    assert _evaluated(_work(scenario, way, {name: value})) == _evaluated(_work(scenario, way, {}))


def test_every_parameter_is_explained_and_every_default_told() -> None:
    """The words of the page are complete, and about nothing else."""
    taken = {name for one in (*TEN, *EXTRA) for way in one.ways for name in way.parameters}
    assert taken == set(PARAMETERS) == set(Parameters.__annotations__)
    told = {*OWN, "scope", *(name for given in DEFAULTS.values() for name in given)}
    assert taken == told


def test_toxiproxys_names_are_those_of_toxics() -> None:
    """Each name stands for a toxic that there is, and seams have their words."""
    assert set(TOXIPROXY) < {kind.__name__ for kind in get_args(AnyToxic)}
    assert all(hasattr(toxics, name) for name in TOXIPROXY)
    assert set(SEAMS) == set(SeamKind)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
