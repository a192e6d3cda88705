"""Interrupts and kills leave nothing on endpoints, processes and the host either."""

import gc
import os
import random
import signal
import sys
import time
from collections.abc import Iterator

import pytest
from interrupt_cases import QUICK, SLOW, Case, Stage, instant, interrupt, ready, seconds_of, use_all
from leftovers import SOON, Before, listens, state

from pytest_resilience.errors import ScenarioError

INTERRUPTS = {**dict.fromkeys(QUICK, 15), **dict.fromkeys(SLOW, 3)}
MARGIN = 1.5

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads what is left from /proc"),
    pytest.mark.timeout(method="thread"),
    # files that an interrupt struck before their `with` block
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Let a timer's signal raise a KeyboardInterrupt, and others' gc callbacks not swallow it."""
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    gc.disable()
    yield
    gc.enable()
    signal.signal(signal.SIGALRM, previous)


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("case", INTERRUPTS, ids=lambda case: case.seam)
def test_interrupts_leave_nothing_after_a_sweep(case: Case, stage: Stage) -> None:
    """Real KeyboardInterrupts from a timer, at random instants of the whole operation."""
    rng, before, longest = random.Random(3), Before(stage), MARGIN * seconds_of(case, stage, 1)
    struck = 0
    for _ in range(INTERRUPTS[case]):
        ready(case, stage)
        struck += interrupt(case, stage, instant(rng, longest)) is not None
        stage.chaos.sweep()
        assert before.left_soon() == []
    stage.chaos.close()
    assert before.left_after_close() == []
    assert struck


def test_what_a_killed_supervisor_did_ends_without_the_test_process(stage: Stage) -> None:
    """Ports, files, mounts, stopped processes; and what acts in the test process goes too."""
    before = Before(stage)
    use_all(stage)
    port, supervisor = stage.chaos.address("database").port, stage.outside.supervisor.pid
    assert (listens(port), state(stage.victim.pid), len(list(stage.folder.iterdir()))) == (True, "T", 2)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    deadline = time.monotonic() + SOON
    while listens(port) or state(stage.victim.pid) == "T" or list(stage.folder.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    with pytest.raises(ScenarioError, match=r"killed by SIGKILL and lost: .*process_pause-1"):
        stage.chaos.close()
    assert before.left_after_close() == []


def test_a_removal_that_failed_measures_nothing_twice(stage: Stage) -> None:
    """The process is read before, during and after each injection, however often it is removed."""
    use_all(stage)
    supervisor = stage.outside.supervisor.pid
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    with pytest.raises(ScenarioError, match="was killed by SIGKILL"):
        stage.chaos.sweep()
    assert stage.chaos.sweep() == 2
    for injection in stage.chaos.injections:
        assert [seen.moment for seen in injection.metrics] == ["before", "during", "after"]
