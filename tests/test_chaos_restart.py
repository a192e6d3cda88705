"""What brings a killed service back: called once, and its failure is the user's to see."""

import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.errors import ScenarioError
from pytest_resilience.services import Service

DEADLINE = 5.0
HINT = "The service stays dead: bring it back, and correct what restarts it."


@pytest.fixture
def chaos() -> Iterator[Chaos]:
    """An engine on a service that is a real process."""
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            with Chaos([Service("db", process=process)], seed=1) as engine:
                yield engine
        finally:
            process.kill()


def fail() -> None:
    """A restart that does not work."""
    raise OSError(98, "Address already in use")


def test_a_function_that_fails_is_named_and_not_called_again(chaos: Chaos) -> None:
    """The fault is gone afterwards; a sweep has nothing left to do."""
    event = chaos.inject("process_kill", "db", restart=fail)
    with pytest.raises(ScenarioError) as raised:
        event.remove()
    text = str(raised.value)
    assert text.startswith("restart=fail (test_chaos_restart.py:")
    assert text.endswith(f") raised OSError: [Errno 98] Address already in use. {HINT}")
    event.remove()
    assert not event.active


def test_a_command_that_fails_fails_the_block(chaos: Chaos) -> None:
    """The service would be dead for the rest of the run."""
    command = ["sh", "-c", "echo no license >&2; exit 1"]
    with (
        pytest.raises(ScenarioError, match=r"ended with 1: no license\. The service stays dead"),
        chaos.inject("process_kill", "db", restart=command) as event,
    ):
        assert event.fired
    assert chaos.sweep() == 1
    assert not event.active


def test_a_function_that_runs_when_the_block_ends_is_called_once(chaos: Chaos) -> None:
    """The duration was over first: the end of the block waits for it."""
    began, calls = threading.Event(), []

    def restart() -> None:
        began.set()
        time.sleep(0.1)  # what a restart takes
        calls.append(threading.current_thread())

    with chaos.inject("process_kill", "db", restart=restart, duration=0.05) as event:
        assert began.wait(DEADLINE)
    assert len(calls) == 1
    assert not event.active


def test_a_failure_at_the_end_of_the_duration_is_told_at_the_end_of_the_block(chaos: Chaos) -> None:
    """Nobody reads what a thread raises."""
    began = threading.Event()

    def restart() -> None:
        began.set()
        fail()

    with (
        pytest.raises(ScenarioError, match="Address already in use"),
        chaos.inject("process_kill", "db", restart=restart, duration=0.05) as event,
    ):
        assert began.wait(DEADLINE)
    assert not event.active
