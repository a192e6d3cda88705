"""Several runners led as one: on a manual clock, with real faults on functions of each worker's own."""

from collections.abc import Callable, Mapping
from functools import partial

from crew_stage import CrewStage

from pytest_resilience.services import Service
from pytest_resilience.soak import messages
from pytest_resilience.soak.evidence import worker_crashes
from pytest_resilience.soak.outcome import Status

QUOTE = "test_shop.py::test_quote"
Bodies = Mapping[str, Callable[[], object]]


def shop(stage: CrewStage, seconds: float = 0.5) -> tuple[Bodies, Service]:
    """Return a soak test and the service that it calls, a function of its own as in each process."""

    def fetch(key: str) -> str:
        return key.upper()

    def body(work: float) -> None:
        stage.clock.pass_by(work)
        assert fetch("a") == "A"

    service = Service(
        "odds", calls=[fetch], errors=[ConnectionResetError], timeout=0.2, timeout_error=TimeoutError
    )
    return {QUOTE: partial(body, seconds)}, service


def crew(duration: float = 600.0, workers: int = 2, identity: str = "", **fields: object) -> CrewStage:
    """Return a soak of some workers that are alike."""
    stage = CrewStage(duration, **fields)  # type: ignore[arg-type]
    for number in range(workers):
        bodies, service = shop(stage, 0.5 + 0.2 * number)
        stage.worker(f"gw{number}", bodies, [service], identity=identity)
    return stage


def test_an_event_is_one_whoever_takes_part() -> None:
    """Counts are summed, it has recovered when the last worker has, and there is one record."""
    stage = crew(workers=3).play()
    assert stage.reason == ""
    events = stage.data.events
    assert len(events) >= 6
    for event in events:
        parts = [part for one in stage.workers.values() for part in _injections(one, event.event_id)]
        assert len(parts) == 3
        assert event.fired == sum(part for part in parts) > 0
        assert event.removed_at is not None
        assert event.recovered_at is not None
        assert event.recovered_at >= event.removed_at


def _injections(worker: object, event_id: str) -> list[int]:
    """Return how often a worker's part of an event fired."""
    chaos = worker.world.chaos  # type: ignore[attr-defined]
    mine = [one for one in worker.commands if isinstance(one, messages.Inject)]  # type: ignore[attr-defined]
    place = [one.event_id for one in mine].index(event_id)
    return [chaos.injections[place].fired]


def test_what_workers_did_is_summed_and_kept_apart() -> None:
    """Tallies by worker; progress over all; a round is over when the slowest has done it."""
    stage = crew().play()
    tallies = stage.data.tallies
    assert {one.worker for one in tallies} == {"gw0", "gw1"}
    progress = stage.conductor.state.progress
    assert progress.iterations == sum(one.iterations for one in tallies)
    rounds = [worker.runner._completed_rounds for worker in stage.workers.values() if worker.runner]
    assert progress.rounds <= min(rounds) + 1
    assert stage.data.phase("RECOVERY_VALIDATION").status == "done"  # type: ignore[union-attr]
    assert worker_crashes(stage.data).fact == "0 of 2 workers crashed"  # type: ignore[union-attr]


def test_seams_are_counted_over_all_workers() -> None:
    """One record for each seam, whoever reached it."""
    stage = crew().play()
    (seam,) = stage.data.seams
    baseline = [one for one in stage.data.tallies if one.phase == "BASELINE_ESTABLISHMENT"]
    assert len(baseline) == 2
    assert 0 <= seam.reached + 2 - sum(one.iterations for one in baseline) <= 4


def test_what_is_shared_is_hit_once_and_its_failures_belong_to_it() -> None:
    """One worker injects; the others only suffer, and their failures are the event's all the same."""
    stage = CrewStage(400.0, chosen=("valuation_exception",))
    bodies, service = shop(stage)
    for name in ("gw0", "gw1"):
        stage.worker(name, bodies, [service], identity="one process")
    stage.play()
    injected = {
        name: [one for one in worker.commands if isinstance(one, messages.Inject)]
        for name, worker in stage.workers.items()
    }
    assert injected["gw0"]
    assert not injected["gw1"]
    assert any(isinstance(one, messages.Overlap) for one in stage.workers["gw1"].commands)
    failures = [one for one in stage.data.failures if one.worker == "gw1"]
    assert failures
    assert all(one.event_id for one in failures)
    assert all(event.recovered_at is not None for event in stage.data.events)


def test_a_worker_that_replaces_another_enters_the_current_phase() -> None:
    """It is told where the run is before it loops, and what the dead one did stays."""
    stage = crew(1200.0)

    def lose() -> None:
        stage.workers["gw0"].kill()
        bodies, service = shop(stage)
        stage.worker("gw2", bodies, [service])

    stage.at(700.0, lose)  # in the memory soak
    stage.play()
    assert stage.reason == ""
    assert stage.record("gw0").status == "crashed"
    assert stage.record("gw0").reason == "it was killed"
    assert stage.record("gw2").replaces == "gw0"
    phases = {one.phase for one in stage.data.tallies if one.worker == "gw2"}
    assert "INITIALIZATION" not in phases
    assert "RECOVERY_VALIDATION" in phases
    assert any(one.worker == "gw0" for one in stage.data.tallies)
    assert worker_crashes(stage.data).low == 1  # type: ignore[union-attr]


def test_a_worker_that_joins_under_a_fault_takes_part_in_it() -> None:
    """Its calls are hit too, and its failures belong to the event."""
    stage = crew(1200.0, chosen=("valuation_exception",))
    joined: list[str] = []

    def lose_when_armed() -> None:
        if joined:
            return
        active = stage.conductor.state.active()
        if not active:
            stage.at(stage.conductor.now() + 1, lose_when_armed)
            return
        joined.append(active[0].event_id)
        stage.workers["gw0"].kill()
        bodies, service = shop(stage)
        stage.worker("gw2", bodies, [service])

    stage.at(130.0, lose_when_armed)
    stage.play()
    taken = [one.event_id for one in stage.workers["gw2"].commands if isinstance(one, messages.Inject)]
    assert taken[0] == joined[0]
    event = next(one for one in stage.data.events if one.event_id == joined[0])
    assert event.recovered_at is not None
    assert all(one.event_id for one in stage.data.failures)


def test_an_event_outlives_all_who_saw_it() -> None:
    """When the last that must recover dies, the one that takes its place is what recovers."""
    stage = CrewStage(1200.0, chosen=("valuation_exception",))
    bodies, service = shop(stage)
    stage.worker("gw0", bodies, [service])

    def lose_when_over() -> None:
        awaited = stage.conductor.state.awaited()
        if awaited is None:
            stage.at(stage.conductor.now() + 0.25, lose_when_over)
            return
        stage.workers["gw0"].kill()
        more, another = shop(stage)
        stage.worker("gw1", more, [another])

    stage.at(130.0, lose_when_over)
    stage.play()
    assert any(isinstance(one, messages.AwaitRecovery) for one in stage.workers["gw1"].commands)
    assert all(event.recovered_at is not None for event in stage.data.events)


def test_one_worker_does_a_task_for_all_and_another_if_it_dies() -> None:
    """Breakers are verified once; Finished comes when the task is really done."""
    began: list[str] = []
    stage = CrewStage(600.0)

    def verify(world: object) -> list[messages.Message]:
        mine = next(name for name, worker in stage.workers.items() if worker.world is world)
        began.append(mine)
        if mine == "gw0":
            stage.clock.pass_by(20)
        return []

    stage.tasks = {"VerifyBreakers": verify, "RunCascades": lambda world: []}
    for name in ("gw0", "gw1"):
        bodies, service = shop(stage)
        stage.worker(name, bodies, [service], breakers=["circuit"])

    def lose_when_begun() -> None:
        if began:
            stage.workers["gw0"].kill()
        else:
            stage.at(stage.conductor.now() + 0.25, lose_when_begun)

    stage.at(100.0, lose_when_begun)
    stage.play()
    assert began == ["gw0", "gw1"]
    assert stage.data.phase("CIRCUIT_BREAKER_TESTING").status == "done"  # type: ignore[union-attr]


def test_workers_that_declare_otherwise_are_named() -> None:
    """In a mode in which all loop the same tests, that is a mistake somewhere."""
    stage = CrewStage(120.0)
    bodies, service = shop(stage)
    stage.worker("gw0", bodies, [service])
    more, _ = shop(stage)
    stage.worker("gw1", more)
    stage.play()
    assert "gw1 does not declare the services odds, as other workers do" in stage.said


def test_a_silent_worker_is_ended_and_a_paused_leader_blames_nobody() -> None:
    """Silence counts only while somebody listened."""
    stage = crew(300.0)
    stage.at(100.0, partial(stage.clock.advance, 60.0))  # as when the whole machine slept
    stage.at(200.0, partial(setattr, stage.workers["gw1"], "send", lambda message: None))
    stage.play()
    assert stage.record("gw0").status == "ended"
    assert stage.record("gw1").status == "crashed"
    assert stage.record("gw1").reason.startswith("it stopped answering for 8")
    assert stage.record("gw1").ended_at is not None
    assert 200 < (stage.record("gw1").ended_at or 0) <= 270


def test_skipped_tests_of_one_worker_are_no_failure() -> None:
    """Each worker is judged by its own outcomes."""
    stage = CrewStage(120.0)

    def skip() -> Status:
        stage.clock.pass_by(0.5)
        return Status.SKIPPED

    bodies, service = shop(stage)
    stage.worker("gw0", bodies, [service])
    stage.worker("gw1", {QUOTE: skip})
    stage.play()
    assert sum(one.skipped for one in stage.data.tallies if one.worker == "gw1") > 50
    assert sum(one.failures for one in stage.data.tallies if one.worker == "gw1") == 0
