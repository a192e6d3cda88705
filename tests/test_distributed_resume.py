"""Runs of several workers that are killed for real, and go on in workers, in one process, and back."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from distributed_soaks import XDIST, is_alive, looping, read_of, seconds_until_gone, workers
from plugin_soaks import Finished, Project, finish, run, running, wait_for
from test_plugin_resume import INI, LEAVE_OUT, SOAK, error_of, second_fault_is_active

from pytest_resilience.soak.resume import CUT
from pytest_resilience.store.run_data import RunData

RATE = 100.0
PACED = (*SOAK, f"--soak-rate={RATE:g}/s")
SHORT = ("--soak-duration=20s", "--resilience-seed=5")
BROKEN = "import pytest\n\n@pytest.mark.soak\ndef test_quote(): raise ConnectionError\n"
MORE = "import pytest\n\n@pytest.mark.soak\ndef test_more(): pass\n"


def project(*arguments: str, ini: str = INI, files: dict[str, str] | None = None) -> Project:
    return Project(arguments, ini=ini, files=files or {}, plugins=XDIST)


def iterations(data: RunData) -> int:
    return sum(one.iterations for one in data.tallies)


def kill_all(folder: Path, leader: int) -> None:
    """Kill the workers and who leads them at once, so that none sees another die."""
    pids = [one.pid for one in workers(folder).values() if one.status == "running"]
    for pid in (leader, *pids):
        os.kill(pid, signal.SIGSTOP)
    for pid in (leader, *pids):
        os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True)
class Story:
    """A run of two workers whose controller was killed under a fault, and that two others resumed."""

    killed: RunData
    pids: list[int]
    resumed: Finished

    @property
    def data(self) -> RunData:
        return read_of(self.resumed.folder)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("distributed")
    with running(folder, project(*PACED, "-n2")) as process:
        wait_for(folder, second_fault_is_active)
        process.send_signal(signal.SIGKILL)
        finish(folder, process)
    killed = read_of(folder)
    resumed = run(folder, project("--soak-resume", "-n2"))
    return Story(killed, [one.pid for one in killed.workers], resumed)


def test_a_run_of_workers_is_resumed_by_workers(story: Story) -> None:
    """It is the same run: its seed, its settings, its time, its phases; and it passes."""
    report = story.resumed.report
    assert story.resumed.code == 0, story.resumed.output
    assert report["test_id"] == story.killed.run.test_id
    assert (report["status"], report["seed"], report["planned_seconds"]) == ("complete", 5, 12.0)
    assert f"resumes {report['test_id']} at " in story.resumed.output
    assert {row["status"] for row in report["phases"]} <= {"done", "skipped"}
    assert 11.5 < report["seconds"] < 16
    assert "Resumed 1 time: nothing ran for " in story.resumed.output
    assert 0 < report["attempts"][1]["gap_seconds"] < 60


def test_the_workers_of_each_attempt_have_names_of_their_own(story: Story) -> None:
    """So what each has counted stays and adds up; those before have ended with their controller."""
    known = {one.name: one for one in story.data.workers}
    assert [(one.name, one.status, one.attempt) for one in known.values()] == [
        ("gw0", "ended", 1),
        ("gw1", "ended", 1),
        ("a2-gw0", "ended", 2),
        ("a2-gw1", "ended", 2),
    ]
    assert known["gw0"].reason == known["gw1"].reason == CUT
    assert story.resumed.verdicts["worker_crashes"] == "met"
    before = {(one.worker, one.test, one.phase): one for one in story.killed.tallies}
    after = {(one.worker, one.test, one.phase): one for one in story.data.tallies}
    assert before.items() <= after.items(), "nothing is lost"
    assert {worker for worker, _, _ in after.keys() - before.keys()} == {"a2-gw0", "a2-gw1"}
    assert story.resumed.report["iterations"] == iterations(story.data) > iterations(story.killed)
    assert not any(map(is_alive, story.pids)), "their controller is gone, and so are they"


def test_the_faults_go_on_where_they_were(story: Story) -> None:
    """The one that was active is cut off; the others follow in their order."""
    before, events = story.killed.events, story.data.events
    assert [one.event_id for one in events[: len(before)]] == [one.event_id for one in before]
    assert [int(one.event_id.rpartition("-")[2]) for one in events] == list(range(1, len(events) + 1))
    assert len(events) > len(before)
    assert [one.cut for one in events] == [one is events[len(before) - 1] for one in events]
    assert all(one.recovered_at is not None for one in events if not one.cut)


def test_the_settings_of_the_run_reach_the_workers(story: Story) -> None:
    """The rate that the run was begun with holds, though the command line that resumed it has none."""
    (second,) = [one for one in story.data.attempts if one.number == 2]
    lasted = story.data.elapsed - second.began
    count = iterations(story.data) - iterations(story.killed)
    assert 0.5 * RATE * lasted < count < 1.05 * RATE * lasted


def test_a_run_may_change_between_workers_and_one_process(tmp_path: Path) -> None:
    """Two workers, all killed at once; then one process, interrupted as by CI; then three workers."""
    with running(tmp_path, project(*PACED, "-n2")) as process:
        wait_for(tmp_path, looping)
        wait_for(tmp_path, lambda data: any(one.fired for one in data.events))
        kill_all(tmp_path, process.pid)
        finish(tmp_path, process)
    seconds_until_gone([one.pid for one in workers(tmp_path).values()], within=2)
    counted = iterations(read_of(tmp_path))
    with running(tmp_path, project("--soak-resume")) as process:
        wait_for(tmp_path, lambda data: iterations(data) > counted + 50)
        process.send_signal(signal.SIGTERM)
        half = finish(tmp_path, process)
    assert half.code == 2, half.output
    assert half.report["iterations"] > counted
    assert any(line.startswith("Resume with: ") for line in half.output.splitlines())
    done = run(tmp_path, project("--soak-resume", "-n3"))
    assert done.report["status"] == "complete", done.output
    assert "unmet" not in done.verdicts.values()
    data = read_of(tmp_path)
    assert {one.worker for one in data.tallies} == {
        *("gw0", "gw1"),
        "main",
        *("a3-gw0", "a3-gw1", "a3-gw2"),
    }
    assert done.report["iterations"] == iterations(data)
    assert [row["number"] for row in done.report["attempts"]] == [1, 2, 3]
    assert 11.5 < done.report["seconds"] < 16


# What keeps a run from going on


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run of two workers that was ended by SIGTERM, as a preempted machine does it."""
    folder = tmp_path_factory.mktemp("interrupted")
    with running(folder, project(*SHORT, "-n2", ini="")) as process:
        wait_for(folder, looping)
        process.send_signal(signal.SIGTERM)
        left = finish(folder, process)
    assert left.code == 2, left.output
    return left


def test_a_suite_that_no_longer_works_leaves_the_run_as_it_was(interrupted: Finished) -> None:
    """No worker counts anything, and the run can be resumed when the suite works again."""
    before = iterations(read_of(interrupted.folder))
    again = run(interrupted.folder, project("--soak-resume", "-n2", ini="", files={"test_shop.py": BROKEN}))
    assert again.code == 1, again.output
    assert "The run was not resumed: test_shop.py::test_quote fails at once in the process" in again.output
    assert again.report["status"] == "interrupted"
    assert iterations(read_of(interrupted.folder)) == before


def test_what_contradicts_the_run_is_refused(interrupted: Finished) -> None:
    """Before a worker is started."""
    again = run(interrupted.folder, project("--soak-resume", "-n2", "--resilience-seed=6", ini=""))
    test_id = interrupted.run.test_id
    assert error_of(again) == f"--resilience-seed must be 5, as {test_id} was begun, not 6. {LEAVE_OUT}"
    assert "workers" not in again.output


def test_other_tests_are_not_the_same_run(interrupted: Finished) -> None:
    """The workers tell what they have collected; the run stays as it is."""
    before = read_of(interrupted.folder)
    again = run(interrupted.folder, project("--soak-resume", "-n2", ini="", files={"test_more.py": MORE}))
    (interrupted.folder / "test_more.py").unlink()
    assert error_of(again) == (
        f"{interrupted.run.test_id} cannot be resumed: its soak tests have changed "
        "(test_more.py::test_more is new). Select the same tests, or begin a new run."
    )
    assert read_of(interrupted.folder) == before
