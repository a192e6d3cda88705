"""The ten scenarios as one table, a few more that ask to be named, and what each needs of its target."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from pytest_resilience.chaos import call_ways, cascade, endpoint_ways, host_ways
from pytest_resilience.chaos.records import NotRun
from pytest_resilience.chaos.scenario import (
    CALL_PARAMETERS,
    SHARE_PARAMETERS,
    CustomScenario,
    Scenario,
    Way,
)
from pytest_resilience.chaos.seams import DECLARATIONS, SeamKind
from pytest_resilience.errors import ScenarioError, did_you_mean, requirement
from pytest_resilience.services import Service

CALLS, ENDPOINT, PROCESS = SeamKind.CALLS, SeamKind.ENDPOINT, SeamKind.PROCESS
HOST, TOPOLOGY = SeamKind.HOST, SeamKind.TOPOLOGY
DELAY_PARAMETERS = ("delay", "jitter", "factor")

TEN = (
    Scenario(
        "provider_timeout",
        "medium",
        (
            Way(
                CALLS,
                "calls hang up to the service's `timeout`, then raise its `timeout_error`",
                call_ways.hang,
                ("timeout",),
                (*CALL_PARAMETERS, "timeout", "error"),
            ),
            Way(
                ENDPOINT,
                "answers are swallowed (black hole): the client waits for its own time-out",
                endpoint_ways.black_hole,
                parameters=SHARE_PARAMETERS,
            ),
            Way(PROCESS, "the process is stopped (SIGSTOP), later goes on (SIGCONT)", host_ways.pause),
        ),
    ),
    Scenario(
        "valuation_exception",
        "high",
        (
            Way(
                CALLS,
                "calls raise one of the service's `errors`",
                call_ways.raise_errors,
                ("errors",),
                (*CALL_PARAMETERS, "errors"),
            ),
        ),
    ),
    Scenario(
        "latency_spike",
        "medium",
        (
            Way(
                CALLS,
                "calls take 2 to 10 times their measured latency",
                call_ways.spike,
                parameters=(*CALL_PARAMETERS, *DELAY_PARAMETERS),
            ),
            Way(
                ENDPOINT,
                "answers arrive late, with jitter: exchanges take 2 to 10 times their measured latency",
                endpoint_ways.spike,
                parameters=(*SHARE_PARAMETERS, *DELAY_PARAMETERS),
            ),
        ),
    ),
    Scenario(
        "memory_pressure",
        "high",
        (
            Way(
                HOST,
                "a child process takes and touches memory, up to a ceiling 10 points below the critical use",
                host_ways.press,
                parameters=("size",),
                machine_wide=True,
            ),
        ),
    ),
    Scenario(
        "cpu_saturation",
        "high",
        (
            Way(
                HOST,
                "child processes keep the cores busy",
                host_ways.saturate,
                parameters=("cores", "load"),
                machine_wide=True,
            ),
        ),
    ),
    Scenario(
        "network_partition",
        "critical",
        (
            Way(
                ENDPOINT,
                'open connections are reset (RST), new ones refused; mode="black_hole": nothing passes, '
                "and nobody accepts",
                endpoint_ways.partition,
                parameters=("mode",),
            ),
            Way(
                CALLS,
                "every call raises one of the service's `errors`, or ConnectionRefusedError",
                call_ways.refuse,
                parameters=(*CALL_PARAMETERS, "errors"),
            ),
        ),
    ),
    Scenario(
        "database_slowdown",
        "high",
        (
            Way(
                ENDPOINT,
                "each answer is 5 times slower, and bandwidth is limited",
                endpoint_ways.slow_down,
                parameters=(*SHARE_PARAMETERS, *DELAY_PARAMETERS, "rate"),
            ),
            Way(
                CALLS,
                "each call takes 5 times its measured latency",
                call_ways.slow_down,
                parameters=(*CALL_PARAMETERS, *DELAY_PARAMETERS),
            ),
        ),
    ),
    Scenario(
        "cascading_failure",
        "critical",
        (
            Way(
                TOPOLOGY,
                "one service goes down, then what needs it, one step per propagation delay (1 s)",
                cascade.cascade,
                parameters=("delay",),
            ),
        ),
    ),
    Scenario(
        "resource_exhaustion",
        "critical",
        (
            Way(
                HOST,
                'this process can open nothing more (EMFILE); resource="disk": a small disk is full (ENOSPC)',
                host_ways.exhaust,
                parameters=("resource", "spare"),
            ),
            Way(
                ENDPOINT,
                "others have all connection slots: open connections are reset, new ones closed at once",
                endpoint_ways.take_slots,
                parameters=("connections",),
            ),
        ),
    ),
    Scenario(
        "intermittent_errors",
        "medium",
        (
            Way(
                CALLS,
                "10 % of the calls raise the service's `errors` in turn",
                call_ways.raise_errors,
                ("errors",),
                (*CALL_PARAMETERS, "errors"),
            ),
            Way(
                ENDPOINT,
                "10 % of the exchanges end with a reset connection",
                endpoint_ways.reset_some,
                parameters=SHARE_PARAMETERS,
            ),
        ),
    ),
)

EXTRA = (
    Scenario(
        "process_pause",
        "high",
        (Way(PROCESS, "the process is stopped (SIGSTOP), later goes on (SIGCONT)", host_ways.pause),),
        soaked=False,
    ),
    Scenario(
        "process_kill",
        "critical",
        (
            Way(
                PROCESS,
                "the process is killed (SIGKILL); `restart`, a command or a function, is run at the removal",
                host_ways.kill,
                parameters=("restart",),
            ),
        ),
        soaked=False,
    ),
    Scenario(
        "lost_acknowledgement",
        "high",
        (
            Way(
                CALLS,
                "calls take effect and then raise one of the service's `errors`",
                call_ways.raise_after,
                ("errors",),
                (*CALL_PARAMETERS, "errors"),
            ),
        ),
        soaked=False,
    ),
    Scenario(
        "dns_failure",
        "high",
        (Way(CALLS, "calls raise socket.gaierror", call_ways.no_such_host, parameters=CALL_PARAMETERS),),
        soaked=False,
    ),
    Scenario(
        "disk_full",
        "critical",
        (Way(HOST, "the small disk is full (ENOSPC)", host_ways.fill_disk),),
        soaked=False,
    ),
    Scenario(
        "packet_slicing",
        "low",
        (Way(ENDPOINT, "answers arrive in slices of about 64 bytes", endpoint_ways.slice_packets),),
        soaked=False,
    ),
)

BUILT_IN = (*TEN, *EXTRA)

NOT = "not "
"""Before a name in resilience_scenarios: leave it out."""


class Catalogue:
    """The scenarios that can be injected: the built-in ones, and `custom` ones.

    Raises:
        ScenarioError: a custom scenario has a name that is taken, or is none.
    """

    def __init__(self, custom: Iterable[CustomScenario] = ()) -> None:
        self._by_name = {scenario.name: scenario for scenario in BUILT_IN}
        for one in custom:
            if not isinstance(one, CustomScenario):
                raise ScenarioError(requirement("Each of the custom scenarios", "a CustomScenario", one))
            if one.name in self._by_name:
                raise ScenarioError(f"There is already a scenario {one.name!r}. Give yours another name.")
            self._by_name[one.name] = one.scenario()

    def __iter__(self) -> Iterator[Scenario]:
        return iter(self._by_name.values())

    def named(self, name: str) -> Scenario:
        """Return a scenario; raise ScenarioError if there is none of that name."""
        if name not in self._by_name:
            raise ScenarioError(f"There is no scenario {name!r}. {did_you_mean(name, self._by_name)}")
        return self._by_name[name]


def choose(scenarios: Iterable[Scenario], lines: Sequence[str]) -> tuple[Scenario, ...]:
    """Return the scenarios that `lines` name, or all but those named after `not `; all without lines.

    Raise ScenarioError for an unknown name, and where both forms are mixed.
    """
    by_name = {scenario.name: scenario for scenario in scenarios}
    names = [line.removeprefix(NOT).strip() for line in lines]
    for name in names:
        if name not in by_name:
            raise ScenarioError(
                f"resilience_scenarios: there is no scenario {name!r}. {did_you_mean(name, by_name)}"
            )
    excluding = {line.startswith(NOT) for line in lines}
    if len(excluding) > 1:
        raise ScenarioError("resilience_scenarios: names with and without `not` are mixed. Use one form.")
    left_out = True in excluding
    return tuple(one for one in by_name.values() if not lines or (one.name in names) != left_out)


def lacking(scenario: Scenario, way: Way, service: Service, given: Collection[str] = ()) -> NotRun | None:
    """Say what `service` must declare before `scenario` can act on it this way; None if nothing is missing.

    `given` are parameters of the injection: each stands in for the field of its name.
    """
    seam = way.seam.value
    declared = getattr(service, seam, None)
    missing = [] if declared else [seam]
    missing += [field for field in way.needs if not getattr(service, field) and field not in given]
    if not missing:
        return None
    declarations = ", ".join(DECLARATIONS[field] for field in missing)
    return NotRun(
        scenario.name,
        service.name,
        reason=f"service {service.name!r} declares no {' and no '.join(missing)}",
        fix=f"Add it in resilience_services: Service({service.name!r}, {declarations}, …).",
        seam=seam,
    )


def service_ways(scenario: Scenario) -> Sequence[Way]:
    """Return the ways that act on a single service."""
    return [way for way in scenario.ways if way.seam not in (HOST, TOPOLOGY)]


TAKEN_TARGETS: Mapping[str, SeamKind] = {HOST.value: HOST, TOPOLOGY.value: TOPOLOGY}
"""Targets that are no service."""
