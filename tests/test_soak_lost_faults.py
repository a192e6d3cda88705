"""A soak whose supervisor of faults is killed: it says so, and goes on."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import psutil
import pytest
from soak_stage import Stage

from pytest_resilience.chaos.injection import Injection
from pytest_resilience.services import Service
from pytest_resilience.soak.phases import PhaseName

NAME = "test_shop.py::test_quote"


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Return a soak that stops a real process, again and again."""
    with subprocess.Popen(["sleep", "600"]) as server:
        service = Service("server", process=server)
        soaked = Stage(120.0, services=[service], chosen=["provider_timeout"])
        soaked.test(0.5)
        yield soaked
        soaked.chaos.close()
        assert psutil.Process(server.pid).status() != psutil.STATUS_STOPPED
        server.kill()


def kill_supervisor(stage: Stage) -> None:
    """Kill it as the kernel does when memory runs out, and wait until that is known."""
    supervisor = stage.chaos._outside.supervisor
    pid = supervisor.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while supervisor.pid == pid and time.monotonic() < deadline:
        time.sleep(0.01)
    assert supervisor.pid != pid


def wait_until_fired(fault: Injection) -> None:
    """Let real time pass, as the process is a real one."""
    deadline = time.monotonic() + 10
    while not fault.fired and time.monotonic() < deadline:
        time.sleep(0.01)


def test_the_soak_goes_on_and_injects_again(stage: Stage) -> None:
    """The lost fault is removed and told, the next ones have a supervisor of their own."""
    calm = stage.bodies[NAME]
    killed: list[str] = []

    def body() -> None:
        calm()
        for fault in stage.chaos.active():
            if not killed:
                killed.append(fault.event_id)
                kill_supervisor(stage)
            elif fault.event_id not in killed:
                wait_until_fired(fault)

    stage.bodies[NAME] = body
    stage.play()
    assert killed
    assert stage.reason == ""
    assert stage.phase(PhaseName.RECOVERY).status == "done"
    (said,) = [text for text in stage.said if "was killed by SIGKILL and lost: " in text]
    assert said in {note.text for note in stage.data.notes}
    events = stage.data.events
    assert len(events) > 1
    assert all(event.removed_at is not None for event in events)
    assert {event.event_id for event in events if not event.fired} <= set(killed)
    assert stage.chaos.sweep() == 0
