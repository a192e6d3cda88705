"""--soak-resume=auto: the command line of a job that may be restarted, which goes on or begins."""

import signal
from pathlib import Path

import pytest
from distributed_soaks import XDIST, read_of, workers
from plugin_soaks import NO_CHAOS, NO_MEMORY, Finished, Project, finish, run, running, wait_for
from test_distributed_resume import MORE, iterations
from test_plugin_resume import error_of

from pytest_resilience.plugin.resumption import course_of
from pytest_resilience.settings import Settings
from pytest_resilience.soak.stored_settings import difference
from pytest_resilience.store.layout import newest_first
from pytest_resilience.store.run_data import RunData

INI = NO_MEMORY + NO_CHAOS
AUTO = "--soak-resume=auto"
BEGINS = "resilience: --soak-resume=auto found no run to go on with, so a new one begins: "


def job(*arguments: str, duration: str = "3s", files: dict[str, str] | None = None) -> Project:
    """Return the command line of a job, which is the same whenever it is started."""
    return Project((f"--soak-duration={duration}", AUTO, *arguments), INI, files or {}, plugins=XDIST)


def begun(finished: Finished) -> str:
    """Return why a new run was begun, as one line tells it."""
    (line,) = (one for one in finished.output.splitlines() if one.startswith(BEGINS))
    assert line.removeprefix("resilience: ") in finished.run.log.read_text()
    return line.removeprefix(BEGINS)


def runs(folder: Path) -> list[str]:
    return [one.test_id for one in newest_first(folder / ".resilience")]


def looped(data: RunData) -> bool:
    return iterations(data) > 20


def cut_short(folder: Path, project: Project, number: signal.Signals = signal.SIGKILL) -> None:
    """Start a job and end it by a signal once it loops."""
    before = len(runs(folder))
    with running(folder, project) as process:
        wait_for(folder, lambda data: len(runs(folder)) > before and looped(data))
        process.send_signal(number)
        finish(folder, process)


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "workers"])
def test_a_job_that_is_restarted_goes_on(tmp_path: Path, workers: tuple[str, ...]) -> None:
    """The first begins and says so, the second goes on after a kill, the third begins as that is complete."""
    cut_short(tmp_path, job(*workers))
    killed = read_of(tmp_path)
    assert (BEGINS + f"there is none in {tmp_path / '.resilience' / 'runs'}").removeprefix(
        "resilience: "
    ) in [note.text for note in killed.notes]
    second = run(tmp_path, job(*workers))
    assert second.code == 0, second.output
    assert second.report["test_id"] == killed.run.test_id
    assert (second.report["status"], second.report["seed"]) == ("complete", killed.run.seed)
    assert [row["number"] for row in second.report["attempts"]] == [1, 2]
    assert f"resumes {killed.run.test_id} at " in second.output
    assert BEGINS not in second.output
    third = run(tmp_path, job(*workers))
    assert third.code == 0, third.output
    assert begun(third) == f"the newest, {killed.run.test_id}, is complete"
    assert runs(tmp_path) == [third.report["test_id"], killed.run.test_id]
    (repeat,) = (line for line in third.output.splitlines() if line.startswith("Repeat with: "))
    assert "--soak-resume" not in repeat


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """The folder of a run of ten seconds that was interrupted."""
    cut_short(tmp_path, job("--resilience-seed=5", duration="10s"), signal.SIGTERM)
    return tmp_path


@pytest.mark.parametrize(
    ("duration", "arguments", "differs"),
    [
        ("2s", ("--resilience-seed=5",), "--soak-duration 10.0, not 2.0"),
        ("10s", ("--resilience-seed=6", "-x"), "--resilience-seed 5, not 6"),
        ("10s", ("--soak-rate=5/s", "-x"), "--soak-rate left out, not '5/s'"),
    ],
)
def test_another_command_line_begins_another_run(
    interrupted: Path, duration: str, arguments: tuple[str, ...], differs: str
) -> None:
    """A run is only gone on with by the options that it was begun with; the old one stays as it is."""
    before = read_of(interrupted)
    broken = "import pytest\n\n@pytest.mark.soak\ndef test_quote(): assert False\n"
    again = run(interrupted, job(*arguments, duration=duration, files={"test_shop.py": broken}))
    assert begun(again) == f"the newest, {before.run.test_id}, was begun with {differs}"
    assert len(runs(interrupted)) == 2
    assert again.report["status"] == "aborted"


def test_other_tests_begin_another_run(tmp_path: Path) -> None:
    """What has changed is named. Workers of the new run have names that none of a later attempt will have."""
    cut_short(tmp_path, job("-n2", duration="10s"))
    old = read_of(tmp_path).run.test_id
    changed = job("-n2", duration="10s", files={"test_more.py": MORE})
    cut_short(tmp_path, changed)
    new = read_of(tmp_path)
    assert new.run.test_id != old
    (told,) = (note.text for note in new.notes if "a new one begins" in note.text)
    assert told.endswith(
        f"{old} cannot be resumed: its soak tests have changed (test_more.py::test_more is new)."
    )
    names = set(workers(tmp_path))
    cut_short_again = iterations(new)
    with running(tmp_path, changed) as process:
        wait_for(tmp_path, lambda data: iterations(data) > cut_short_again + 20)
        process.send_signal(signal.SIGTERM)
        left = finish(tmp_path, process)
    assert left.report["test_id"] == new.run.test_id
    later = set(workers(tmp_path)) - names
    assert len(later) == 2
    assert iterations(read_of(tmp_path)) > cut_short_again


def test_a_run_that_is_going_on_is_not_doubled(tmp_path: Path) -> None:
    """A job that is started while the one before is still there would be a second load."""
    with running(tmp_path, job(duration="30s")) as process:
        wait_for(tmp_path, looped)
        second = run(tmp_path, job(duration="30s"))
        assert error_of(second).endswith(
            f" is not over: process {process.pid} is running it. Wait for its end, or end it."
        )


def test_auto_needs_to_know_what_it_would_begin(tmp_path: Path) -> None:
    """Else the same command line would work or not, depending on what is there."""
    assert error_of(run(tmp_path, Project((AUTO,), INI))) == (
        "--soak-resume=auto may have to begin a run. Add --soak-hours=4 or --soak-duration=90s."
    )


def test_what_differs_is_named_as_users_name_it() -> None:
    """Where a run is kept and how it was resumed is no difference, nor is a seed that nobody asked for."""
    one = Settings(duration_seconds=60.0, seed=5)
    assert difference(one, Settings(duration_seconds=60.0, resume="auto", directory=Path("x"))) == ""
    assert difference(one, Settings(duration_seconds=60.0, scenario_lines=("latency_spike",))) == (
        "resilience_scenarios left out, not ('latency_spike',)"
    )
    assert difference(one, Settings(duration_seconds=60.0, soak_all=True)) == (
        "--soak-all left out, not True"
    )


def test_settings_go_to_workers_whole(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker takes what its controller sends, whatever its own command line and ini say."""
    sent = Settings(duration_seconds=60.0, seed=5, resume="latest", rate="5/s", phase_lines=("A = 1s",))
    handed = {"resilience_settings": sent.to_json()}
    monkeypatch.setattr(pytestconfig, "workerinput", handed, raising=False)
    course = course_of(pytestconfig, Settings(resume="latest"))
    assert (course.settings, course.resumed) == (sent, None)
