"""What distorts the samples of memory is left out of them before anything is judged."""

from dataclasses import replace

import pytest
from sample_runs import run_data, samples

from pytest_resilience.memory.records import Sample, Tracing
from pytest_resilience.soak.criteria import judge
from pytest_resilience.soak.memory_evidence import growths
from pytest_resilience.soak.undistorted import samples_of
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import MIB

BEGAN, ENDED = 60.0, 64.0
TRACING = Tracing(BEGAN, ENDED)


def traced(leak: int = 0) -> list[Sample]:
    """Return the samples of a run in which a tracer takes 25 MiB, and keeps three of them."""
    taken = {"rss": 100 * MIB, "malloc_used": 10 * MIB}
    return [
        replace(one, **{name: size + leak * one.iteration + tracer(one.at) for name, size in taken.items()})  # type: ignore[arg-type]
        for one in samples()
    ]


def tracer(at: float) -> int:
    return 0 if at <= BEGAN else 25 * MIB if at <= ENDED else 3 * MIB


def leak_verdict(data: RunData) -> str:
    return next(one.verdict for one in judge(data) if one.criterion == "memory_leak_detected")


def test_what_the_tracer_took_is_no_growth() -> None:
    """The samples meanwhile are left out, and those after it are lowered by the step."""
    data = run_data(*traced(), TRACING, without=(Sample,))
    ((_, found),) = samples_of(data, 1).items()
    assert not [one for one in found if BEGAN < one.at <= ENDED]
    assert {one.malloc_used for one in found} == {10 * MIB}
    assert leak_verdict(data) == "met"
    assert growths(data)["main"].percent == pytest.approx(0.0)
    assert growths(run_data(*traced(), without=(Sample,)))["main"].percent == pytest.approx(3.0)


def test_a_leak_is_found_on_both_sides_of_it() -> None:
    """Only what leaked meanwhile is lost."""
    assert leak_verdict(run_data(*traced(leak=2000), TRACING, without=(Sample,))) == "unmet"


def test_another_worker_was_not_traced() -> None:
    """Each process has a tracer of its own."""
    data = run_data(*traced(), replace(TRACING, worker="gw7"), without=(Sample,))
    ((_, found),) = samples_of(data, 1).items()
    assert {one.malloc_used for one in found} == {10 * MIB, 35 * MIB, 13 * MIB}


def test_a_tracing_to_the_end_takes_only_its_own_samples() -> None:
    """There is nothing after it to lower."""
    data = run_data(*traced(), Tracing(BEGAN, 1000.0), without=(Sample,))
    ((_, found),) = samples_of(data, 1).items()
    assert {one.malloc_used for one in found} == {10 * MIB}
    assert found[-1].at <= BEGAN
