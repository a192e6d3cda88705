"""Memory is judged within one process: which part of a resumed run counts, and against what."""

from sample_runs import run_data, samples

from pytest_resilience.memory.records import Observer, Sample
from pytest_resilience.soak.criteria import judge
from pytest_resilience.soak.messages import Progress
from pytest_resilience.soak.pulse import PULSE_SECONDS, Pulse
from pytest_resilience.soak.stretches import OWN, memory_stretch
from pytest_resilience.store.records import Attempt, Record, Verdict
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import MIB

BASELINE, MEMORY = (0.0, 10.0), (48.0, 90.0)


def data(*begins: float, without: tuple[type, ...] = (), more: tuple[Record, ...] = ()) -> RunData:
    """Return the good run as if a process had begun at each of these times."""
    attempts = [Attempt(number, "", began, began) for number, began in enumerate(begins, 1)]
    return run_data(*attempts, *more, without=without)


def verdict(found: RunData, criterion: str) -> Verdict:
    return next(one for one in judge(found) if one.criterion == criterion)


def test_a_run_of_one_process_is_judged_as_a_whole() -> None:
    """Nothing is said about processes."""
    stretch = memory_stretch(data(0.0))
    assert (stretch.memory, stretch.part, stretch.own) == (MEMORY, "", "")
    assert stretch.baseline is not None


def test_the_process_that_looped_longest_counts() -> None:
    """The first one has the baseline of the run; the rest of the phase is another process's memory."""
    stretch = memory_stretch(data(0.0, 80.0))
    assert stretch.memory == (48.0, 80.0)
    assert stretch.baseline == memory_stretch(data(0.0)).baseline
    assert (stretch.part, stretch.own) == ("judged in the process that looped longest, 32.0s of 42.0s", "")


def test_a_process_without_a_baseline_is_compared_with_its_own_beginning() -> None:
    """Resumed during chaos: it ran the whole phase, but nothing of the baseline."""
    stretch = memory_stretch(data(0.0, 30.0))
    assert (stretch.memory, stretch.part, stretch.own) == (MEMORY, "", OWN)
    assert stretch.baseline is not None
    length = stretch.baseline[1] - stretch.baseline[0]
    last_quarter = stretch.baseline[1] - length / 4
    assert 30.0 < last_quarter < stretch.baseline[1] <= 48.0


def test_a_process_that_began_in_the_memory_soak_gives_its_beginning_for_the_baseline() -> None:
    """No sample is on both sides of the comparison."""
    stretch = memory_stretch(data(0.0, 50.0))
    assert stretch.baseline is not None
    assert stretch.memory is not None
    assert 50.0 < stretch.baseline[1] == stretch.memory[0]
    assert stretch.memory[1] == 90.0


def test_another_processs_size_is_no_growth() -> None:
    """The process that resumed the run is twice as large as the first, and does not grow."""
    larger = [
        Sample(one.at, one.phase, True, one.iteration, 100 * MIB if one.at < 30 else 200 * MIB)
        for one in samples()
    ]
    found = verdict(data(0.0, 30.0, without=(Sample,), more=tuple(larger)), "memory_growth_percent")
    assert (found.verdict, found.observed) == ("met", 0.0)
    assert found.detail == f"resident memory went from 200.0 MiB to 200.0 MiB ({OWN})"
    one_process = data(0.0, without=(Sample,), more=tuple(larger))
    assert verdict(one_process, "memory_growth_percent").observed == 100.0


def test_many_short_processes_say_what_is_missing() -> None:
    """A phase of which no process looped enough is inconclusive."""
    begins = (0.0, *(48.0 + 0.3 * number for number in range(140)))
    found = verdict(data(*begins), "memory_growth_percent")
    assert found.verdict == "inconclusive"
    assert "judged in the process that looped longest, " in found.detail


def test_the_pulse_tells_how_far_the_run_is() -> None:
    """Twice a second, with the cost of the observers in all processes."""
    now, put = 100.0, list[Record]()
    pulse = Pulse(
        Attempt(2, "t", 100.0, 100.0, 30, 1.5),
        lambda: now,
        lambda: Progress(now, 0, 31, 0, 0, 0.5),
        lambda: [Observer("sampler", now, 0.25)],
        put.append,
        [Observer("sampler", 99.0, 1.0), Observer("conductor", 99.0, 2.0)],
    )
    pulse.tick()
    assert put == [Attempt(2, "t", 100.0, 100.0, 31, 1.5), Observer("sampler", 100.0, 1.25)]
    now += PULSE_SECONDS / 2
    pulse.tick()
    assert len(put) == 2
    now += PULSE_SECONDS / 2
    pulse.tick()
    assert put[2] == Attempt(2, "t", 100.0, 100.0 + PULSE_SECONDS, 31, 1.5)
