"""Workers that die, stop or hang, with real signals: noted with time and reason, replaced, nothing lost."""

import os
import signal
import time
from pathlib import Path

import pytest
from distributed_soaks import (
    CHAOS,
    distributed,
    is_alive,
    looping,
    read_of,
    seconds_until_gone,
    signal_worker,
    workers,
)
from plugin_soaks import finish, run, running, wait_for

from pytest_resilience.store.reader import read

HANGING = """
import os, time, threading
import pytest
import shop

STARTED = time.monotonic()
hung = []

@pytest.mark.soak
def test_quote():
    if os.environ.get("PYTEST_XDIST_WORKER") == "gw1" and time.monotonic() - STARTED > 4:
        wait_for_nobody()
    assert shop.quote("game-1") > 0

def wait_for_nobody():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
"""
HANGING_ONCE = HANGING.replace("> 4:", "> 4 and not hung:").replace(
    "        wait_for_nobody()", "        hung.append(True)\n        wait_for_nobody()"
)
SWALLOWING = HANGING.replace(
    "    lock.acquire()\n    lock.acquire()",
    """    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass""",
)
HANGING_ALL = HANGING.replace('os.environ.get("PYTEST_XDIST_WORKER") == "gw1" and', "")


def test_a_killed_worker_is_replaced_and_what_it_did_stays(tmp_path: Path) -> None:
    """SIGKILL: noted with time and cause, another one takes its place, and the criterion fails the run."""
    project = distributed("-n2", ini=CHAOS, duration="12s")
    with running(tmp_path, project) as process:
        wait_for(tmp_path, looping)
        signal_worker(tmp_path, "gw0", signal.SIGKILL)
        done = finish(tmp_path, process)
    assert done.code == 1, done.output
    known = workers(tmp_path)
    assert (known["gw0"].status, known["gw1"].status, known["gw2"].status) == ("crashed", "ended", "ended")
    assert known["gw0"].reason == "its process was ended by SIGKILL"
    assert known["gw2"].replaces == "gw0"
    data = read(done.run.database)
    done_by = {one.worker: one.iterations for one in data.tallies}
    assert done_by.keys() == {"gw0", "gw1", "gw2"}
    assert done.report["iterations"] == sum(one.iterations for one in data.tallies)
    assert done.verdicts["worker_crashes"] == "unmet"
    assert done.verdicts["failures_outside_faults"] == "met"
    assert "resilience: worker gw0 crashed: its process was ended by SIGKILL" in done.output
    assert "resilience: worker gw2 takes the place of gw0" in done.output
    assert done.phases["RECOVERY_VALIDATION"]["status"] == "done"


def test_a_stopped_worker_is_noticed_in_ten_seconds(tmp_path: Path) -> None:
    """SIGSTOP: nothing is heard of it, so it is asked for its stacks, killed and replaced."""
    project = distributed("-n2", duration="20s")
    with running(tmp_path, project) as process:
        wait_for(tmp_path, looping)
        pid = signal_worker(tmp_path, "gw0", signal.SIGSTOP)
        took = seconds_until_gone([pid], within=12)
        wait_for(tmp_path, lambda data: looping(data, 2))
        done = finish(tmp_path, process)
    assert took <= 10.5
    stopped = workers(tmp_path)["gw0"]
    assert stopped.status == "crashed"
    assert stopped.reason.startswith("it stopped answering for")
    assert "test_shop.py" in stopped.stacks or "pytest" in stopped.stacks
    assert "gw0 was here:" in done.output
    assert done.verdicts["worker_crashes"] == "unmet"


def test_a_deadlock_is_noticed_in_ten_seconds_and_interrupted(tmp_path: Path) -> None:
    """Its heart beats, its iteration does not end: that one fails, with stacks, and the worker goes on."""
    done = run(tmp_path, distributed("-n2", files={"test_shop.py": HANGING_ONCE}, duration="24s"))
    assert done.code == 1, done.output
    (hang,) = done.report["hangs"]
    assert (hang["worker"], hang["ending"]) == ("gw1", "interrupted")
    assert 9.0 <= hang["seconds"] <= 10.0
    assert "in wait_for_nobody" in hang["stacks"]
    assert "in wait_for_nobody" in done.output
    assert "longer than 9.0s, and its longest pass before took" in done.output
    assert workers(tmp_path)["gw1"].status == "ended"
    assert done.verdicts["worker_crashes"] == "met"
    assert done.verdicts["failures_outside_faults"] == "unmet"


def test_a_worker_that_cannot_be_interrupted_is_replaced(tmp_path: Path) -> None:
    """After a grace as long as the limit, which the user sets; the iteration counts as a failure."""
    project = distributed(
        "-n2", "--soak-iteration-timeout=2s", files={"test_shop.py": SWALLOWING}, duration="20s"
    )
    done = run(tmp_path, project)
    assert done.code == 1, done.output
    (hang,) = done.report["hangs"]
    assert hang["worker"] == "gw1"
    assert hang["ending"] == "it could not be interrupted, so the worker is replaced"
    stuck = workers(tmp_path)["gw1"]
    assert stuck.status == "crashed"
    assert stuck.reason.startswith("test_shop.py::test_quote hung for 2.")
    assert stuck.reason.endswith(" and could not be interrupted")
    assert "in wait_for_nobody" in stuck.stacks
    assert workers(tmp_path)["gw2"].replaces == "gw1"
    assert "in wait_for_nobody" in done.output, done.output
    assert done.verdicts["worker_crashes"] == "unmet"
    assert done.verdicts["failures_outside_faults"] == "unmet"


def test_workers_end_when_their_leader_is_killed(tmp_path: Path) -> None:
    """Within ten seconds and with their faults removed, although a test hangs in each."""
    project = distributed("-n2", files={"test_shop.py": HANGING_ALL}, duration="60s")
    with running(tmp_path, project) as process:
        wait_for(tmp_path, looping)
        time.sleep(5)  # until both hang
        pids = [worker.pid for worker in workers(tmp_path).values()]
        process.send_signal(signal.SIGKILL)
        took = seconds_until_gone(pids, within=12)
    assert took <= 10


def test_workers_tear_down_without_their_leader(tmp_path: Path) -> None:
    """Where no test hangs, faults are removed first and fixtures torn down as ever."""
    project = distributed("-n2", ini=CHAOS, duration="60s")
    with running(tmp_path, project) as process:
        wait_for(tmp_path, lambda data: any(event.fired for event in data.events))
        pids = [worker.pid for worker in workers(tmp_path).values()]
        process.send_signal(signal.SIGKILL)
        seconds_until_gone(pids, within=10)
    assert (tmp_path / "torn_down").read_text() == "untouched"


def test_ctrl_c_removes_the_faults_of_all_workers(tmp_path: Path) -> None:
    """The controller writes the partial report and exits with 2."""
    project = distributed("-n2", ini=CHAOS, duration="60s")
    with running(tmp_path, project) as process:
        wait_for(tmp_path, lambda data: any(event.fired for event in data.events))
        pids = [worker.pid for worker in workers(tmp_path).values()]
        process.send_signal(signal.SIGINT)
        done = finish(tmp_path, process)
    assert done.code == 2, done.output
    assert done.report["status"] == "interrupted"
    assert done.report["overall_result"] == "PARTIAL", done.output
    assert all(event["removed_at"] is not None for event in done.report["events"])
    assert done.torn_down == "untouched"
    assert not any(map(is_alive, pids))


def test_a_ctrl_c_ends_an_iteration_that_hangs(tmp_path: Path) -> None:
    """What all workers have told until then is in the report."""
    project = distributed("-n2", files={"test_shop.py": HANGING_ALL}, duration="60s")
    with running(tmp_path, project) as process:
        wait_for(tmp_path, looping)
        time.sleep(5)  # until both hang
        process.send_signal(signal.SIGINT)
        done = finish(tmp_path, process)
    assert done.code == 2, done.output
    assert done.report["iterations"] > 10


@pytest.mark.parametrize("restarts", ["0"])
def test_the_rest_goes_on_when_no_worker_is_started_any_more(tmp_path: Path, restarts: str) -> None:
    """With --max-worker-restart=0 a crash costs one worker; when the last is gone, the run ends PARTIAL."""
    project = distributed("-n2", f"--max-worker-restart={restarts}", duration="60s")
    with running(tmp_path, project) as process:
        wait_for(tmp_path, looping)
        signal_worker(tmp_path, "gw0", signal.SIGKILL)
        wait_for(tmp_path, lambda data: any(one.status == "crashed" for one in data.workers))
        before = sum(one.iterations for one in read_of(tmp_path).tallies if one.worker == "gw1")
        wait_for(
            tmp_path,
            lambda data: sum(one.iterations for one in data.tallies if one.worker == "gw1") > before + 20,
        )
        signal_worker(tmp_path, "gw1", signal.SIGKILL)
        done = finish(tmp_path, process)
    assert done.code == 1, done.output
    assert done.report["status"] == "aborted"
    assert done.report["reason"].startswith("no worker is left")
    assert "INTERNALERROR" not in done.output


def test_a_ctrl_c_in_a_terminal_reaches_the_workers_too(tmp_path: Path) -> None:
    """They leave it to the controller: one interrupted run, no crash, the faults removed, exit code 2."""
    project = distributed("-n2", ini=CHAOS, duration="60s")
    with running(tmp_path, project) as process:
        wait_for(tmp_path, lambda data: any(event.fired for event in data.events))
        for worker in workers(tmp_path).values():
            os.kill(worker.pid, signal.SIGINT)
        process.send_signal(signal.SIGINT)
        done = finish(tmp_path, process)
    assert done.code == 2, done.output
    assert {one.status for one in workers(tmp_path).values()} == {"ended"}
    assert done.report["reason"] == "interrupted by SIGINT"
    assert done.torn_down == "untouched"


def test_a_sigterm_to_all_processes_of_a_job_is_one_interruption(tmp_path: Path) -> None:
    """As `timeout`, a shell or a service manager sends it: no worker crashes, the report is whole."""
    project = distributed("-n2", ini=CHAOS, duration="60s")
    with running(tmp_path, project) as process:
        wait_for(tmp_path, lambda data: any(event.fired for event in data.events))
        pids = [process.pid, *(worker.pid for worker in workers(tmp_path).values())]
        for pid in reversed(pids):
            os.kill(pid, signal.SIGTERM)
        done = finish(tmp_path, process)
    assert done.code == 2, done.output
    assert {one.status for one in workers(tmp_path).values()} == {"ended"}
    assert done.verdicts["worker_crashes"] == "met"
    assert done.report["reason"] == "interrupted by SIGTERM"
    assert done.torn_down == "untouched"


def test_a_sigterm_that_only_a_worker_gets_ends_it(tmp_path: Path) -> None:
    """A moment later, as its controller has not been told to end: it is replaced, and the soak goes on."""
    project = distributed("-n2", duration="16s")
    with running(tmp_path, project) as process:
        wait_for(tmp_path, looping)
        pid = signal_worker(tmp_path, "gw0", signal.SIGTERM)
        took = seconds_until_gone([pid], within=8)
        done = finish(tmp_path, process)
    assert took >= 4
    lost = workers(tmp_path)["gw0"]
    assert (lost.status, lost.reason) == ("crashed", "its process was ended by SIGTERM")
    assert workers(tmp_path)["gw2"].replaces == "gw0"
    assert done.report["status"] == "complete", done.output
