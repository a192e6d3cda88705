"""--soak-resume and --soak-report as a user meets them: real runs, killed and interrupted for real."""

import shutil
import signal
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from plugin_soaks import NO_MEMORY, Finished, Project, finish, run, running, wait_for

from pytest_resilience.store.reader import read
from pytest_resilience.store.run_data import RunData

INI = (
    f"{NO_MEMORY}resilience_criteria =\n    injection_seconds < 9\n    mean_recovery_seconds < 60\n"
    "    recovery_success_rate >= 0.5\n"
    "soak_phases =\n    BASELINE_ESTABLISHMENT = 1s\n    CHAOS_INJECTION = 9s\n    RECOVERY_VALIDATION = 1s\n"
    "resilience_scenarios =\n    latency_spike\n    valuation_exception\n    provider_timeout\n"
)
SOAK = ("--soak-duration=12s", "--resilience-seed=5")
PROJECT = Project(SOAK, ini=INI)
RESUME = Project(("--soak-resume", "test_shop.py"), ini=INI)


def second_fault_is_active(data: RunData) -> bool:
    return sum(one.fired > 0 for one in data.events) > 1 and data.events[-1].removed_at is None


def read_again(finished: Finished, *arguments: str) -> Finished:
    """Run pytest in the folder once more."""
    return run(finished.folder, Project(arguments, ini=INI))


def error_of(finished: Finished) -> str:
    """Return the one line that pytest refused to run with."""
    assert finished.code == 4, finished.output
    assert "INTERNALERROR" not in finished.output
    (line,) = (one for one in finished.output.splitlines() if one.startswith("ERROR: "))
    return line.removeprefix("ERROR: ")


@dataclass(frozen=True)
class Story:
    """A run that was killed in the middle of a fault, reported, resumed, and reported again."""

    killed: RunData
    half: Finished
    resumed: Finished
    again: Finished
    resume_again: Finished


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("resume")
    with running(folder, PROJECT) as process:
        wait_for(folder, second_fault_is_active)
        process.send_signal(signal.SIGKILL)
        left = finish(folder, process)
    assert left.code == -signal.SIGKILL
    killed = read(left.run.database)
    half = read_again(left, "--soak-report=latest")
    half.report
    resumed = run(folder, RESUME)
    resumed.report
    again = read_again(left, f"--soak-report={left.run.test_id}", "--junitxml=again.xml")
    return Story(killed, half, resumed, again, read_again(left, "--soak-resume"))


def test_a_killed_run_is_reported_as_partial_with_what_it_has(story: Story) -> None:
    """Its phases, counts and verdicts so far; nothing is run, and the exit code is 1."""
    report = story.half.report
    assert story.half.code == 1, story.half.output
    assert (report["overall_result"], report["status"]) == ("PARTIAL", "running")
    assert report["iterations"] == sum(one.iterations for one in story.killed.tallies) > 0
    assert "The run has not ended: it was killed, or is still going on." in story.half.output
    assert f"--soak-resume={report['test_id']}" in story.half.output
    assert story.half.verdicts["failures_outside_faults"] == "met"
    assert story.half.verdicts["permanent_degradation"] == "inconclusive"


def test_a_resumed_run_goes_on_in_its_folder_and_ends(story: Story) -> None:
    """The newest unfinished run, though a path stands behind the bare flag; its settings are the stored."""
    report = story.resumed.report
    assert report["test_id"] == story.killed.run.test_id
    assert (report["status"], report["seed"], report["planned_seconds"]) == ("complete", 5, 12.0)
    assert story.resumed.code == 0, story.resumed.output
    assert report["overall_result"] == "PASSED"
    assert f"resumes {report['test_id']} at " in story.resumed.output
    assert {row["status"] for row in report["phases"]} <= {"done", "skipped"}
    assert 11.5 < report["seconds"] < 16
    assert "1 deselected" in story.resumed.output, "the path was collected"


def test_counts_and_events_go_on_where_they_were(story: Story) -> None:
    """No event is lost or done twice, and the one that was active is known to be cut off."""
    before, events = story.killed.events, story.resumed.report["events"]
    assert [one["event_id"] for one in events[: len(before)]] == [one.event_id for one in before]
    numbers = [int(one["event_id"].rpartition("-")[2]) for one in events]
    assert numbers == list(range(1, len(events) + 1))
    assert len(events) > len(before)
    cut = events[len(before) - 1]
    assert (cut["outcome"], cut["recovery_seconds"], cut["waited_seconds"]) == ("unknown", None, None)
    assert story.resumed.report["iterations"] > sum(one.iterations for one in story.killed.tallies)
    row = next(one for one in story.resumed.report["criteria"] if one["criterion"] == "mean_recovery_seconds")
    assert "1 event cut off by the end of a process left out" in row["detail"]


def test_the_report_shows_the_gap(story: Story) -> None:
    """How often the run was resumed, and how long nothing ran."""
    first, second = story.resumed.report["attempts"]
    assert (first["number"], first["began"], first["gap_seconds"]) == (1, 0.0, 0.0)
    assert 0 < second["gap_seconds"] < 60
    assert second["began"] == pytest.approx(first["seconds"])
    assert "Resumed 1 time: nothing ran for " in story.resumed.output


def test_a_report_can_be_made_again_from_the_record_alone(story: Story) -> None:
    """The same file, the same section, JUnit too; the exit code is that of the run."""
    assert story.again.code == 0, story.again.output
    assert story.again.report == story.resumed.report
    section = story.resumed.output.partition("= resilience =")[2].partition("Report: ")[0]
    assert section.strip("= \n") in story.again.output
    assert 'value="PASSED"' in (story.again.folder / "again.xml").read_text()
    assert "collected" not in story.again.output


def test_a_run_that_is_complete_is_not_resumed(story: Story) -> None:
    """There is nothing left to do, and that is said in one line."""
    root = story.resumed.folder / ".resilience" / "runs"
    assert error_of(story.resume_again) == (
        f"There is no unfinished run in {root}. Begin a new one, without --soak-resume, "
        "or choose another --resilience-dir."
    )
    test_id = story.resumed.report["test_id"]
    assert error_of(read_again(story.resumed, f"--soak-resume={test_id}")) == (
        f"{test_id} cannot be resumed: it is complete. Begin a new run; "
        f"pytest --soak-report={test_id} shows its report."
    )


# What can be wrong

SHORT = Project(("--soak-duration=20s", "--resilience-seed=5"))
LEAVE_OUT = "Leave it out to resume that run, or begin a new one."
MISSING = "resilience_test_20260101T000000Z_0000"


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run that was ended by SIGTERM, as a preempted machine does it."""
    folder = tmp_path_factory.mktemp("interrupted")
    with running(folder, SHORT) as process:
        wait_for(folder, lambda data: sum(one.iterations for one in data.tallies) > 20)
        process.send_signal(signal.SIGTERM)
        left = finish(folder, process)
    assert left.code == 2, left.output
    return left


def test_an_interrupted_run_says_how_it_goes_on(interrupted: Finished) -> None:
    """The command stands in the report."""
    test_id = interrupted.report["test_id"]
    assert any(
        line.startswith("Resume with: pytest ") and line.endswith(f" --soak-resume={test_id}")
        for line in interrupted.output.splitlines()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--soak-duration=60s",),
            "--soak-duration must be 20.0, as {id} was begun, not 60.0. " + LEAVE_OUT,
        ),
        (
            ("--resilience-seed=6",),
            "--resilience-seed must be 5, as {id} was begun, not 6. " + LEAVE_OUT,
        ),
        (
            ("-o", "resilience_intensity=high"),
            "resilience_intensity must be 'medium', as {id} was begun, not 'high'. " + LEAVE_OUT,
        ),
        (("--soak-plan",), "--soak-plan shows a new run, --soak-resume goes on with an old one. Give one."),
        (
            ("--soak-report=latest",),
            "--soak-report runs nothing. Give it without --soak-hours and the like.",
        ),
    ],
)
def test_what_contradicts_the_run_is_refused(
    interrupted: Finished, arguments: tuple[str, ...], message: str
) -> None:
    """A resumed run is the run that was begun: exit 4, and the run stays as it is."""
    before = interrupted.run.database.read_bytes()
    again = run(interrupted.folder, Project(("--soak-resume", *arguments)))
    assert error_of(again) == message.format(id=interrupted.run.test_id)
    assert interrupted.run.database.read_bytes() == before


def test_other_tests_are_not_the_same_run(interrupted: Finished) -> None:
    """What was added is named."""
    test = "import pytest\n\n@pytest.mark.soak\ndef test_more(): pass\n"
    again = run(interrupted.folder, Project(("--soak-resume",), files={"test_more.py": test}))
    (interrupted.folder / "test_more.py").unlink()
    assert error_of(again) == (
        f"{interrupted.run.test_id} cannot be resumed: its soak tests have changed "
        "(test_more.py::test_more is new). Select the same tests, or begin a new run."
    )


@pytest.mark.parametrize("option", ["--soak-resume", "--soak-report"])
def test_a_run_that_is_not_there_is_named(interrupted: Finished, option: str) -> None:
    """With what is there; an id is never a path."""
    runs = interrupted.run.path.parent
    words = {"--soak-resume": "latest or auto", "--soak-report": "latest"}[option]
    told = error_of(run(interrupted.folder, Project((f"{option}={MISSING}",))))
    assert told.startswith(f"{option} must be the id of a run in {runs}, or {words}, not '{MISSING}'. ")
    told = error_of(run(interrupted.folder, Project((f"{option}=../{MISSING}",))))
    assert told == (
        f"{option} must be the id of a run, or {words}, not '../{MISSING}'. "
        "The folders in .resilience/runs are named by them."
    )


def test_where_no_run_is_there_is_none_to_go_on_with(tmp_path: Path) -> None:
    """In a fresh folder."""
    runs = tmp_path / ".resilience" / "runs"
    assert error_of(run(tmp_path, Project(("--soak-resume",)))) == (
        f"There is no unfinished run in {runs}. Begin a new one, without --soak-resume, "
        "or choose another --resilience-dir."
    )
    assert error_of(run(tmp_path, Project(("--soak-report=latest",)))) == (
        f"There is no run in {runs}. Run a soak first, for example: pytest --soak-hours=4"
    )


def test_a_run_has_one_process(tmp_path: Path) -> None:
    """While it is going on nobody else can resume it, but its report can be looked at."""
    with running(tmp_path, replace(SHORT, arguments=("--soak-duration=90s",))) as process:
        wait_for(tmp_path, lambda data: bool(data.tallies))
        second = run(tmp_path, Project(("--soak-resume",)))
        assert error_of(second).endswith(
            f" is not over: process {process.pid} is running it. Wait for its end, or end it."
        )
        shown = run(tmp_path, Project(("--soak-report=latest",)))
        assert (shown.code, shown.report["status"]) == (1, "running")
        process.send_signal(signal.SIGINT)
        assert finish(tmp_path, process).code == 2


def test_a_record_of_another_version_is_refused(interrupted: Finished, tmp_path: Path) -> None:
    """Its tables are not those that this version knows."""
    shutil.copytree(interrupted.folder, tmp_path / "copy", symlinks=True)
    found = Finished(tmp_path / "copy", 0, "").run
    with closing(sqlite3.connect(found.database)) as connection:
        connection.execute("PRAGMA user_version = 1")
    told = error_of(run(tmp_path / "copy", Project((f"--soak-resume={found.test_id}",))))
    assert told == (
        f"{found.database} was written by another version of pytest-resilience. "
        "Use the version that wrote it."
    )


def test_a_suite_that_no_longer_works_leaves_the_run_as_it_was(interrupted: Finished) -> None:
    """The run can be resumed again when it does; the failures of the vain attempt count for nothing."""
    broken = "import pytest\n\n@pytest.mark.soak\ndef test_quote(): raise ConnectionError\n"
    again = run(interrupted.folder, Project(("--soak-resume",), files={"test_shop.py": broken}))
    assert again.code == 1, again.output
    assert "The run was not resumed: test_shop.py::test_quote fails at once in the process" in again.output
    assert again.report["status"] == "interrupted"
    assert again.tests["test_quote"]["failures"] == 0
    SHORT.write(interrupted.folder)
