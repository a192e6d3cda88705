"""Criteria of a distributed run: each worker is judged by itself, and named where it is worse."""

from dataclasses import replace

import pytest
from sample_runs import BET, QUOTE, RUN, WORKER, failure, run_data, samples, tally

from pytest_resilience.memory.records import Observer, Sample
from pytest_resilience.report.model import build
from pytest_resilience.report.terminal import lines
from pytest_resilience.soak.criteria import judge
from pytest_resilience.soak.memory_evidence import leaks
from pytest_resilience.soak.resume import CUT
from pytest_resilience.soak.stretches import OWN
from pytest_resilience.store.records import Attempt, Record, Tally, Verdict
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import MIB
from pytest_resilience.workers import MAIN

CRASHED = replace(
    WORKER, name="gw1", status="crashed", ended_at=60.0, reason="its process was ended by SIGKILL"
)


def verdict(data: RunData, criterion: str) -> Verdict:
    """Return how one criterion is judged."""
    return next(one for one in judge(data) if one.criterion == criterion)


def sampled(*workers: tuple[str, float]) -> RunData:
    """Return a run of some workers, each of which grew by so many percent in the memory soak."""
    records: list[Record] = []
    for name, grown in workers:
        records.append(replace(WORKER, name=name))
        records += [replace(one, worker=name) for one in samples(grown)]
    return run_data(*records, without=(Sample,))


def test_the_worker_that_grew_is_named() -> None:
    """What others do not need is no excuse for it: means over processes would hide it."""
    found = verdict(sampled(("gw0", 0.0), ("gw1", 30.0), ("gw2", 0.0)), "memory_growth_percent")
    assert found.verdict == "unmet"
    assert found.detail.startswith("resident memory in gw1 went from 100.0 MiB to 12")


def test_a_leak_of_one_worker_is_a_leak() -> None:
    """It is kept with the worker's name."""
    data = sampled(("gw0", 0.0), ("gw1", 30.0))
    found = verdict(data, "memory_leak_detected")
    assert found.verdict == "unmet"
    assert found.detail.startswith("gw1: leak: ")
    assert {leak.worker for leak in leaks(data)} == {"gw1"}


def test_a_worker_that_crashed_leaves_the_verdict_to_the_others() -> None:
    """It has no samples of the memory soak's end; the others have."""
    early = [replace(one, worker="gw1") for one in samples(0.0) if one.at < 30]
    data = sampled(("gw0", 0.0))
    data = replace(data, workers=(*data.workers, CRASHED), samples=(*data.samples, *early))
    assert verdict(data, "memory_growth_percent").verdict == "met"
    assert verdict(data, "memory_leak_detected").verdict == "met"


def test_degradation_is_found_in_the_worker_that_has_it() -> None:
    """Compared with itself before; a worker that came later is compared with what all were."""
    phases = ("BASELINE_ESTABLISHMENT", "RECOVERY_VALIDATION")
    good = [replace(tally(QUOTE, phase), worker="gw0") for phase in phases]
    slow = replace(tally(QUOTE, phases[1], median=0.5), worker="gw2")
    found = verdict(run_data(*good, slow, without=(Tally,)), "permanent_degradation")
    assert found.verdict == "unmet"
    assert "test_quote takes 500ms, before 2ms in gw2" in found.detail
    assert verdict(run_data(*good, without=(Tally,)), "permanent_degradation").verdict == "met"


def test_the_overhead_is_that_of_one_process() -> None:
    """Each worker has a core; what watching costs in the busiest is what counts."""
    data = run_data(
        *(Observer("sampler", 100.0, 3.0, name) for name in ("gw0", "gw1", "gw2")), without=(Observer,)
    )
    found = verdict(data, "monitoring_overhead_percent")
    assert (found.verdict, found.observed) == ("met", 3.0)


def test_crashes_are_counted_with_time_and_reason() -> None:
    """The criterion names them, the report shows them."""
    data = run_data(WORKER, CRASHED)
    found = verdict(data, "worker_crashes")
    assert found.verdict == "unmet"
    assert found.detail == (
        "1 of 2 workers crashed (1, limit == 0): gw1 at 1m00s: its process was ended by SIGKILL"
    )
    shown = "\n".join(lines(build(replace(data, verdicts=judge(data)))))
    row = next(line for line in shown.splitlines() if line.startswith("gw1"))
    assert row.split(maxsplit=5) == ["gw1", "crashed", "50ms", "1m00s", "0", CRASHED.reason]


def test_the_stacks_of_a_worker_that_hung_are_shown_from_the_innermost() -> None:
    """A few lines; all are in report.json."""
    stacks = "\n".join(f"line {number}" for number in range(100))
    report = build(run_data(WORKER, replace(CRASHED, stacks=stacks)))
    shown = lines(report)
    begin = shown.index("gw1 was here:")
    assert shown[begin + 1].strip() == "line 0"
    assert "    … 76 lines more, in report.json" in shown
    assert report.workers[1].stacks == stacks


def test_failures_of_the_same_kind_are_one_kind() -> None:
    """Whichever worker had them, the first text counts."""
    one = replace(failure(BET, count=3, text="the first"), worker="gw0", first_at=40.0)
    other = replace(failure(BET, count=4, text="the second"), worker="gw1", last_at=70.0)
    report = build(run_data(other, one))
    (kind,) = [one for one in report.failures if not one.event_id]
    assert (kind.count, kind.first_at, kind.last_at, kind.text) == (7, 40.0, 70.0, "the first")


@pytest.mark.parametrize("status", ["complete", "aborted"])
def test_a_run_in_one_process_has_no_workers(status: str) -> None:
    """The criterion is neutral then."""
    found = verdict(run_data(replace(RUN, status=status)), "worker_crashes")
    assert (found.verdict, found.detail) == ("not_applicable", "the soak runs in one process")


# Several attempts


def resumed(began: float, grown: float) -> RunData:
    """Return a run of a worker of 100 MiB, resumed at `began` by one that is larger and grows by so much."""
    later = [
        replace(one, worker="a2-gw0", rss=one.rss + 100 * MIB) for one in samples(grown) if one.at >= began
    ]
    return run_data(
        Attempt(1, "", 0.0, began),
        Attempt(2, "", began, 100.0),
        replace(WORKER, ended_at=began, reason=CUT),
        replace(WORKER, name="a2-gw0", joined_at=began + 0.05, attempt=2),
        *(replace(one, worker="gw0") for one in samples() if one.at < began),
        *later,
        without=(Sample,),
    )


def test_a_worker_of_a_later_attempt_is_compared_with_its_own_beginning() -> None:
    """That it is larger than the one before is no growth; that it grows is."""
    found = verdict(resumed(30.0, 0.0), "memory_growth_percent")
    assert (found.verdict, found.observed) == ("met", 0.0)
    assert found.detail == f"resident memory in a2-gw0 went from 200.0 MiB to 200.0 MiB ({OWN})"
    assert verdict(resumed(30.0, 60.0), "memory_growth_percent").verdict == "unmet"
    leak = verdict(resumed(30.0, 60.0), "memory_leak_detected")
    assert leak.verdict == "unmet"
    assert leak.detail.startswith("a2-gw0: leak: ")


def test_the_attempt_that_looped_longest_is_judged() -> None:
    """The workers of a short one at the end of the memory soak have nothing to say."""
    found = verdict(resumed(80.0, 60.0), "memory_growth_percent")
    assert found.verdict == "met"
    assert found.detail.startswith("resident memory in gw0 went from 100.0 MiB to 100.0 MiB (judged in the")
    assert verdict(resumed(80.0, 60.0), "memory_leak_detected").verdict == "met"


def test_a_run_that_one_process_resumed_is_judged_in_that_process() -> None:
    """The controller of the first attempt has the same name, but no samples."""
    data = resumed(30.0, 0.0)
    solo = [replace(one, worker=MAIN) if one.worker == "a2-gw0" else one for one in data.samples]
    data = replace(data, workers=data.workers[:1], samples=tuple(solo))
    found = verdict(data, "memory_growth_percent")
    assert found.detail == f"resident memory went from 200.0 MiB to 200.0 MiB ({OWN})"
    assert verdict(data, "memory_leak_detected").verdict == "met"
