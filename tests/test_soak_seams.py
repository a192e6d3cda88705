"""Endpoints as seams of a soak: watched and hit through a real proxy, named with their own fix if unused."""

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest
from soak_stage import Stage, fetch

from pytest_resilience.chaos.records import EventMetrics, NotRun
from pytest_resilience.services import Service
from pytest_resilience.soak.evidence import unreached_fix
from pytest_resilience.soak.phases import PhaseName

CALLS = ["soak_stage:fetch"]
CHOSEN = ("latency_spike", "network_partition", "cascading_failure")
TIMEOUT_SECONDS = 5.0


class Echo(socketserver.StreamRequestHandler):
    """Answers each line with itself."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """Run a real server; return its endpoint."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        running = threading.Thread(target=server.serve_forever, args=[0.01])
        running.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        running.join()


@pytest.fixture
def stages() -> Iterator[list[Stage]]:
    """Collect soaks, and end afterwards what they have outside of this process."""
    played: list[Stage] = []
    yield played
    for stage in played:
        stage.chaos.close()


def ask(address: tuple[str, int]) -> None:
    """Connect, ask, and check the answer."""
    with socket.create_connection(address, timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(b"odds?\n")
        assert connection.recv(100) == b"odds?\n"


def soak(endpoint: str, *, through_proxy: bool, duration: float = 300.0) -> Stage:
    """Return a soak whose only test asks a service by its proxy, or past it, and calls a function of it."""
    db = Service("db", calls=CALLS, errors=[OSError], endpoint=endpoint)
    stage = Stage(duration, services=[db], chosen=CHOSEN)
    host, _, port = endpoint.rpartition(":")
    address = host, int(port)
    if through_proxy:
        proxy = stage.chaos.address("db")
        address = proxy.host, proxy.port

    def body() -> None:
        stage.clock.pass_by(0.5)
        fetch("a")
        ask(address)

    stage.bodies["test_shop.py::test_db"] = body
    return stage


def not_run(stage: Stage) -> dict[tuple[str, str], NotRun]:
    """Return what had no turn, by scenario and seam."""
    return {(one.scenario, one.seam): one for one in stage.data.not_run}


def test_an_endpoint_that_the_suite_reaches_is_counted_timed_and_hit(echo: str, stages: list[Stage]) -> None:
    """At both seams of the one service, each by itself, and the suite is back after each."""
    stage = soak(echo, through_proxy=True)
    stages.append(stage)
    stage.play()
    seams = {seam.kind: seam for seam in stage.data.seams}
    assert set(seams) == {"calls", "endpoint"}
    assert (seams["endpoint"].service, seams["endpoint"].target) == ("db", echo)
    assert seams["endpoint"].reached >= seams["calls"].reached > 10
    assert seams["endpoint"].normal_seconds is not None
    events = stage.data.events
    pairs = {("latency_spike", "calls"), ("latency_spike", "endpoint")}
    pairs |= {("network_partition", "calls"), ("network_partition", "endpoint")}
    assert {(event.scenario, event.seam) for event in events} == pairs
    assert all(event.fired > 0 and event.recovered_at is not None for event in events)
    assert "connection" in next(event.detail for event in events if event.seam == "endpoint")
    assert set(not_run(stage)) == {("cascading_failure", "topology")}
    assert stage.said == []


def test_an_endpoint_that_nobody_connects_to_through_the_proxy_is_named_with_its_own_fix(
    echo: str, stages: list[Stage]
) -> None:
    """After the baseline, once; the faults there are listed, the calls of the same service are hit."""
    stage = soak(echo, through_proxy=False)
    stages.append(stage)
    stage.play()
    assert stage.said == [f"the suite never reaches {echo} of db: no fault can fire there"]
    assert {event.seam for event in stage.data.events} == {"calls"}
    listed = not_run(stage)
    for scenario in ("latency_spike", "network_partition"):
        one = listed[scenario, "endpoint"]
        assert one.reason == "the suite never reaches the endpoint of db"
        assert one.fix == "Connect the code to the fixture service_address instead of the endpoint."
        assert one.possible
    assert stage.phase(PhaseName.RECOVERY).status == "done"


def test_calls_that_nobody_makes_are_named_with_theirs(echo: str, stages: list[Stage]) -> None:
    """While the endpoint of the same service is hit."""
    stage = soak(echo, through_proxy=True)
    stages.append(stage)
    proxy = stage.chaos.address("db")

    def body() -> None:
        stage.clock.pass_by(0.5)
        ask((proxy.host, proxy.port))

    stage.bodies["test_shop.py::test_db"] = body
    stage.play()
    assert {event.seam for event in stage.data.events} == {"endpoint"}
    one = not_run(stage)["latency_spike", "calls"]
    assert one.reason == "the suite never reaches the calls of db"
    assert (
        one.fix == unreached_fix("calls") == "Call it in a soak test, or take it out of Service(calls=[…])."
    )


def test_a_seam_that_nobody_can_watch_has_no_fix_and_is_tried() -> None:
    """A process, the host and the topology are there whether the suite knows it or not."""
    assert [unreached_fix(seam) for seam in ("process", "host", "topology")] == ["", "", ""]


def test_a_cascade_is_an_event_of_the_topology(stages: list[Stage]) -> None:
    """Its target is the service where it starts; what it takes along is told in words."""
    db = Service("db", calls=CALLS)
    api = Service("api", calls=["soak_stage:recall"], needs=["db"])
    stage = Stage(600.0, services=[db, api], chosen=["cascading_failure"])
    stage.test(0.5, calls=True)
    stages.append(stage)
    stage.play()
    events = stage.data.events
    assert {(event.service, event.seam, event.impact) for event in events} == {("db", "topology", "critical")}
    assert all(event.fired >= 1 and "of 2 services failed" in event.detail for event in events)
    assert all(event.recovered_at is not None for event in events)


def test_the_test_process_is_measured_before_during_and_after_each_event(
    echo: str, stages: list[Stage]
) -> None:
    """Under the event's own name in this run, and with real values."""
    stage = soak(echo, through_proxy=True, duration=120.0)
    stages.append(stage)
    stage.play()
    events = {event.event_id for event in stage.data.events}
    assert events
    moments = {(one.event_id, one.moment) for one in stage.data.event_metrics}
    assert moments == {(name, moment) for name in events for moment in ("before", "during", "after")}
    assert all(one.rss > 0 and one.threads > 0 and one.fds > 0 for one in stage.data.event_metrics)
    assert all(isinstance(one, EventMetrics) and one.cpu_percent >= 0 for one in stage.data.event_metrics)
