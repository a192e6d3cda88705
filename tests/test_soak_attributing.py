"""Behind the checkpoints of a soak: from a suspicion on, looks are taken, spaced, in time, and kept."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from plugin_soaks import Finished, Project, run

from pytest_resilience.clock import ManualClock
from pytest_resilience.memory.attribute import Attribution, Views
from pytest_resilience.memory.census import Census
from pytest_resilience.memory.processes import WatchedProcess
from pytest_resilience.memory.records import ATTRIBUTION, ITSELF, Culprit, Observer, OwnSlope, Tracing
from pytest_resilience.memory.suspicion import Suspect
from pytest_resilience.memory.traced import Line
from pytest_resilience.soak.attributing import Attributing, Surroundings
from pytest_resilience.soak.checkpoints import Checkpoints


class Readings:
    """A sampler whose checkpoints cost what is said."""

    def __init__(self) -> None:
        self.cost = 1.0

    def checkpoint(self) -> float:
        return self.cost

    def calibrate(self, run_empty: Callable[[], None]) -> Sequence[OwnSlope]:
        run_empty()
        return (OwnSlope("blocks", 1.0, 10),)


class Stage:
    """An Attributing on a manual clock; each look sees one descriptor more, and takes `look_seconds`."""

    def __init__(self, look_seconds: float = 0.1, processes: Sequence[WatchedProcess] = ()) -> None:
        self.clock = ManualClock()
        self.looks: list[float] = []
        self.look_seconds = 0.0
        self.kept: list[Culprit | Observer | Tracing] = []
        self.complaints: list[str] = []
        self.judged, self.round_seconds = True, 0.0
        self.checkpoints = Checkpoints()
        own = Attribution(Views(handles={"fds": self.list_descriptors}), clock=self.clock.now)
        self.attributing = Attributing(
            Readings(),
            processes,
            Surroundings(
                self.kept.append,
                self.complaints.append,
                self.clock.now,
                judged=lambda: self.judged,
                round_seconds=lambda: self.round_seconds,
            ),
            self.checkpoints,
            duration=60.0,
            own=own,
        )
        self.attributing.checkpoint()  # the first lists what is open before anything leaks
        self.looks.clear()
        self.look_seconds = look_seconds

    def list_descriptors(self) -> dict[str, int]:
        self.looks.append(self.clock.now())
        self.clock.advance(self.look_seconds)
        return {"file /tmp/a": len(self.looks)}

    def suspect(self, **changes: object) -> None:
        found = Suspect("fds", ITSELF, self.clock.now(), trips=True)
        self.attributing.suspect(replace(found, **changes))  # type: ignore[arg-type]

    def pass_time(self, seconds: float, step: float = 0.25) -> None:
        until = self.clock.now() + seconds
        while self.clock.now() < until:
            self.attributing.checkpoint()
            self.clock.advance(step)

    @property
    def culprits(self) -> list[Culprit]:
        return [one for one in self.kept if isinstance(one, Culprit)]


def test_nobody_looks_before_a_signal_trips() -> None:
    """A clean run pays nothing, and its checkpoints cost what they cost."""
    stage = Stage()
    stage.pass_time(10)
    assert (stage.looks, stage.kept) == ([], [])
    assert stage.attributing.checkpoint() == 1.0


def test_looks_are_spaced_and_get_rarer() -> None:
    """One look each second, then each second second, and so on to the end of the run."""
    stage = Stage()
    stage.suspect()
    stage.pass_time(59)
    gaps = [round(later - earlier, 3) for earlier, later in pairwise(stage.looks)]
    assert len(stage.looks) == 6 + 3 + 3 + 3
    assert gaps == sorted(gaps)
    assert 1.0 <= gaps[0] < 2.0 <= gaps[6] < 4.0 <= gaps[9] < 8.0 <= gaps[12]
    assert [one.grew for one in stage.culprits[:4]] == [2, 3, 4, 5]
    assert stage.culprits[-1].noun == "file /tmp/a"
    assert stage.culprits[-1].at > stage.culprits[0].at


def test_looks_are_at_least_a_round_apart() -> None:
    """Or half of them would see nothing of what one test of a long round leaks."""
    stage = Stage()
    stage.round_seconds = 2.5
    stage.suspect()
    stage.pass_time(40)
    gaps = [later - earlier for earlier, later in pairwise(stage.looks)]
    assert all(2.5 <= gap < 3.5 for gap in gaps[:5])
    assert gaps[6] >= 5.0


def test_what_only_may_leak_is_sought_where_growth_is_judged() -> None:
    """What has tripped is sought in the phase behind it too."""
    stage = Stage()
    stage.suspect(trips=False)
    stage.pass_time(5)
    looked = len(stage.looks)
    stage.judged = False
    stage.pass_time(5)
    assert len(stage.looks) == looked > 0
    stage.suspect()
    stage.pass_time(5)
    assert len(stage.looks) > looked


def test_the_time_for_looking_lasts_to_the_end() -> None:
    """Looks that take long get rarer still: the last ones are late in the run, and time is left over."""
    stage = Stage(look_seconds=0.5)
    stage.suspect()
    stage.pass_time(59)
    assert 8 <= len(stage.looks) <= 10
    assert stage.looks[-1] > 45


def test_checkpoints_come_sooner_while_somebody_is_sought() -> None:
    """The first at once, the others as often as the looks; once these have ended, as their cost asks for."""
    stage = Stage()
    stage.checkpoints.plan(0.0, 100.0, ())
    stage.checkpoints.taken(0.0, 50.0)
    stage.suspect()
    assert stage.checkpoints.next == 0.0
    assert stage.attributing.checkpoint() == pytest.approx(0.02)
    stage.look_seconds = 10.0
    stage.pass_time(30)
    assert stage.attributing.checkpoint() == 1.0


def test_no_look_is_begun_that_would_delay_a_checkpoint_that_is_due() -> None:
    """Growth is judged by checkpoints in time: looks make room for them, and go on afterwards."""
    stage = Stage(look_seconds=0.5)
    stage.checkpoints.plan(0.0, 100.0, due=(4.0, 5.0))
    stage.suspect()
    stage.pass_time(3.99)
    before = len(stage.looks)
    assert all(look + 0.75 <= 4.0 for look in stage.looks)
    stage.pass_time(1.0)
    stage.checkpoints.taken(5.0, 0.0)
    stage.pass_time(20)
    assert 0 < before < len(stage.looks)


def test_what_looking_cost_is_told() -> None:
    """An observer of its own: it is no part of the sampler's share of a core."""
    stage = Stage()
    stage.suspect()
    stage.pass_time(30)
    observers = [one for one in stage.kept if isinstance(one, Observer)]
    assert {one.name for one in observers} == {ATTRIBUTION}
    assert observers[-1].cpu_seconds == pytest.approx(0.1 * len(stage.looks))


def test_who_is_no_culprit_any_more_is_taken_back() -> None:
    """What stopped to grow leaves its place in the record to nobody."""
    stage = Stage()
    stage.suspect()
    stage.pass_time(3)
    stage.attributing._attributions[ITSELF]._views.handles["fds"] = dict  # type: ignore[index]
    stage.pass_time(10)
    assert [one.name for one in stage.culprits[:1]] == ["file /tmp/a"]
    last = stage.culprits[-1]
    assert (last.signal, last.rank, last.name) == ("fds", 0, "")


def test_what_is_left_open_in_the_end_is_named() -> None:
    """Without a signal that trips: eight more of one name than at the first checkpoint."""
    stage = Stage()
    stage.looks += [0.0] * 6
    stage.attributing.close()
    assert stage.culprits == []
    stage = Stage()
    stage.looks += [0.0] * 8
    stage.attributing.close()
    stage.attributing.close()
    assert [(one.signal, one.noun, one.grew) for one in stage.culprits] == [("fds", "file /tmp/a", 8)]


def test_the_heap_is_not_searched_for_another_process() -> None:
    """What its sizes count is not here; and a process that nobody watches is left out."""
    watched = WatchedProcess("shop", lambda: None)
    stage = Stage(processes=[watched])
    stage.suspect(process="shop", signal="rss")
    stage.suspect(process="unknown")
    stage.pass_time(10)
    assert stage.looks == []
    assert stage.culprits == []
    assert not any(isinstance(one, Observer) and one.cpu_seconds > 1 for one in stage.kept)


def test_a_look_that_fails_is_told_once_and_ends_the_search() -> None:
    """The soak goes on: its checkpoints cost what they cost."""
    stage = Stage()
    stage.suspect()

    def fail() -> dict[str, int]:
        raise RuntimeError("no descriptor for you")

    stage.attributing._attributions[ITSELF]._views.handles["fds"] = fail  # type: ignore[index]
    stage.pass_time(5)
    assert stage.complaints == ["who holds what leaks cannot be told: RuntimeError: no descriptor for you"]
    assert stage.attributing.checkpoint() == 1.0


def test_calibration_is_left_to_the_sampler() -> None:
    """What it measures is passed on."""
    ran: list[int] = []
    assert Stage().attributing.calibrate(lambda: ran.append(1))[0].signal == "blocks"
    assert ran == [1]


class Tracer:
    """Allocations that are traced when they are asked for."""

    running = False

    def start(self) -> bool:
        self.running = True
        return True

    def stop(self) -> tuple[Line, ...]:
        self.running = False
        return ()


@pytest.mark.parametrize(
    ("trips", "suspected_at", "expected"),
    [(True, 1.0, 1), (False, 1.0, 0), (True, 50.0, 0)],
)
def test_lines_are_traced_once_a_signal_trips_and_the_record_has_the_time(
    trips: bool, suspected_at: float, expected: int
) -> None:
    """Not for what may be a cycle, and not so late that growth could not be judged any more."""
    stage = Stage()
    views = Views(census=Census, objects=list, heap_bytes=lambda: 0, thaw=lambda: None, handles={})
    own = Attribution(views, clock=stage.clock.now, allocations=Tracer())  # type: ignore[arg-type]
    around = Surroundings(stage.kept.append, stage.complaints.append, stage.clock.now)
    stage.attributing = Attributing(Readings(), (), around, stage.checkpoints, duration=60.0, own=own)
    stage.clock.advance(suspected_at)
    stage.suspect(signal="blocks", trips=trips)
    for _ in range(8):
        stage.attributing.checkpoint()
        stage.clock.advance(1.0)
    stage.attributing.close()
    tracings = [one for one in stage.kept if isinstance(one, Tracing)]
    assert len(tracings) == expected
    assert all(one.ended - one.began == 2.0 for one in tracings)


SERVER = """
import json

kept = []
sessions = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    kept.append(bytearray(20_000))
    if len(kept) % 10 == 0:
        sessions.append(open("/dev/null"))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps({"price": 1.5}).encode()})
"""
WATCHING = """
import http.client, socket, subprocess, sys, time
import pytest
from pytest_resilience import Service

@pytest.fixture(scope="session")
def server():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "server:app", "--port", str(port), "--log-level", "warning"]
    with subprocess.Popen(command) as process:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionError:
                time.sleep(0.05)
        yield process, port
        process.kill()

@pytest.fixture(scope="session")
def resilience_services(server):
    return [Service("quote_service", process=server[0])]

@pytest.fixture(scope="session")
def client(server):
    connection = http.client.HTTPConnection("127.0.0.1", server[1])
    yield connection
    connection.close()
"""
LEAKING = """
import json
import pytest

quotes = {}

@pytest.mark.soak
def test_quote(client):
    client.request("GET", "/")
    assert json.loads(client.getresponse().read())["price"] == 1.5
    number = len(quotes)
    quotes[number] = {f"price {place}": str(number + place) for place in range(20)}
"""
PROJECT = Project(
    ("--soak-duration=30s",),
    "resilience_enable_chaos_testing = false\nsoak_phases =\n    MEMORY_SOAK_TESTING = 80%\n",
    {"server.py": SERVER, "conftest.py": WATCHING, "test_shop.py": LEAKING},
)


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Soak a suite that leaks, and asks a server that leaks too."""
    return run(tmp_path_factory.mktemp("leaking"), PROJECT)


def test_the_holder_of_a_leak_is_named(soak: Finished) -> None:
    """A real soak: type and container."""
    culprits = [one["culprits"] for one in soak.report["leaks"] if one["process"] == ITSELF]
    assert culprits, soak.output
    assert culprits[0][0] == "dict, held by test_shop.quotes", soak.output


def test_a_leak_of_a_watched_process_is_attributed_to_it(soak: Finished) -> None:
    """uvicorn serves quotes and leaks: found under the name of the service, by the target of its descriptors.

    Our own heap is not searched for what it holds.
    """
    leaks = {one["signal"]: one for one in soak.report["leaks"] if one["process"] == "quote_service"}
    assert leaks["fds"]["culprits"] == ["file /dev/null"], soak.output
    assert "held by" not in "".join(name for one in leaks.values() for name in one["culprits"])
    row = next(one for one in soak.report["criteria"] if one["criterion"] == "memory_leak_detected")
    assert "process quote_service: leak: " in row["detail"]
    assert "of file /dev/null" in row["detail"]
