"""What the records say about memory beyond one process: watched ones, pressure, calibration, own signals."""

from collections.abc import Callable
from dataclasses import replace

from sample_runs import BET, QUOTE, event, run_data, samples, tally

from pytest_resilience.memory.records import Culprit, Observer, OwnSlope, Reading, Sample
from pytest_resilience.report.model import build
from pytest_resilience.settings import Settings
from pytest_resilience.soak.criteria import judge
from pytest_resilience.soak.memory_evidence import leaks
from pytest_resilience.store.records import Record, Verdict
from pytest_resilience.store.run_data import RunData
from pytest_resilience.units import MIB

MEMORY_BEGINS, MEMORY_ENDS = 48.0, 90.0


def verdict(data: RunData, criterion: str) -> Verdict:
    """Return how one criterion is judged."""
    return next(one for one in judge(data) if one.criterion == criterion)


def watched(rss: Callable[[float], float], until: float = 100.0, pid: int = 4712) -> list[Sample]:
    """Return samples of a watched process, ten a second."""
    return [
        Sample(
            tick / 10,
            "MEMORY_SOAK_TESTING",
            checkpoint=False,
            iteration=tick,
            rss=round(rss(tick / 10)),
            process="server",
            pid=pid,
        )
        for tick in range(int(until * 10))
    ]


def leaking(at: float) -> float:
    """100 KiB per second in the memory soak."""
    return 50 * MIB + 100 * 1024 * max(0.0, at - MEMORY_BEGINS)


def test_a_leak_of_a_watched_process_is_its_own() -> None:
    """The verdict begins with its name; the tests' process is not blamed, nor its growth measured by it."""
    data = run_data(*watched(leaking))
    found = verdict(data, "memory_leak_detected")
    assert found.verdict == "unmet"
    assert found.detail.startswith("process server: leak: 10")
    assert [(leak.process, leak.signal, leak.worker) for leak in leaks(data)] == [("server", "rss", "main")]
    assert verdict(data, "memory_growth_percent").verdict == "met"
    assert build(replace(data, verdicts=tuple(judge(data)))).max_memory_usage_mb == 100.0


def test_a_clean_watched_process_is_named_too() -> None:
    """So that one sees that it was watched."""
    found = verdict(run_data(*watched(lambda at: 50 * MIB)), "memory_leak_detected")
    assert found.verdict == "met"
    assert found.detail.endswith(" Clean too: server.")


def test_a_watched_process_that_is_gone_leaves_the_question_open() -> None:
    """What was not watched long enough is not called clean."""
    found = verdict(run_data(*watched(leaking, until=49.0)), "memory_leak_detected")
    assert found.verdict == "inconclusive"
    assert found.detail.startswith("process server: inconclusive: 10 samples, 32 are needed")


def test_what_was_not_sampled_to_the_end_is_not_called_clean() -> None:
    """Neither a watched process nor the tests' own, whose sampler failed; a leak found until then is one."""
    found = verdict(run_data(*watched(lambda at: 50 * MIB, until=75.0)), "memory_leak_detected")
    assert found.verdict == "inconclusive"
    sampled = "memory was sampled in 26.9s of 42.0s of MEMORY_SOAK_TESTING only"
    assert found.detail == f"process server: inconclusive: nothing kept growing, but {sampled}"
    early = run_data(*(one for one in samples() if one.at < 75), without=(Sample,))
    assert verdict(early, "memory_leak_detected").detail.startswith("inconclusive: nothing kept growing, but")
    late = run_data(*(one for one in samples() if one.at < 82), without=(Sample,))
    assert verdict(late, "memory_leak_detected").verdict == "met"
    leaks_early = run_data(*(one for one in samples(90.0) if one.at < 75), without=(Sample,))
    assert verdict(leaks_early, "memory_leak_detected").verdict == "unmet"


def test_a_leak_needs_tests_that_were_repeated() -> None:
    """In a large suite each test has its own caches to fill; what grows until then is told as a suspicion."""
    few = [tally(test, "MEMORY_SOAK_TESTING", iterations=count) for test, count in ((QUOTE, 9), (BET, 4))]
    data = run_data(*samples(90.0), *few, without=(Sample,))
    found = verdict(data, "memory_leak_detected")
    assert found.verdict == "inconclusive"
    assert found.detail.startswith(
        "inconclusive: 4 iterations of the rarest test, 5 are needed to tell a leak from caches that fill: "
        "soak 1.2 times as long, or fewer tests. Suspect is: "
    )
    assert leaks(data) == []
    enough = run_data(*samples(90.0), tally(BET, "MEMORY_SOAK_TESTING", iterations=5), without=(Sample,))
    assert verdict(enough, "memory_leak_detected").verdict == "unmet"


def test_samples_under_memory_pressure_do_not_count() -> None:
    """While the host's memory is taken, pages come and go without the program's doing."""

    def squeezed(tick: int, sample: Sample) -> Sample:
        pressed = 60.0 <= sample.at <= 85.0
        return replace(sample, rss=round(sample.rss + (sample.at - 60.0) * MIB)) if pressed else sample

    rows = [squeezed(tick, one) for tick, one in enumerate(samples())]
    pressure = event(6, "memory_pressure", armed_at=60.0, removed_at=85.0, first_fired_at=61.0)
    without, with_it = run_data(*rows, without=(Sample,)), run_data(*rows, pressure, without=(Sample,))
    assert verdict(with_it, "memory_leak_detected").verdict == "met"
    assert "over 170 samples" in verdict(with_it, "memory_leak_detected").detail
    assert verdict(without, "memory_leak_detected").detail != verdict(with_it, "memory_leak_detected").detail


def growing_blocks() -> list[Sample]:
    """Return a run whose Python blocks grow by three per iteration."""
    return [replace(one, blocks=50_000 + 30 * one.iteration, malloc_used=10 * MIB) for one in samples()]


def test_what_the_loop_itself_leaves_behind_is_subtracted() -> None:
    """Measured with empty iterations in the same worker; another worker's slope does not count."""
    rows = growing_blocks()
    assert verdict(run_data(*rows, without=(Sample,)), "memory_leak_detected").verdict == "unmet"
    own = OwnSlope("blocks", 30.0, 800)
    assert verdict(run_data(*rows, own, without=(Sample,)), "memory_leak_detected").verdict == "met"
    other = replace(own, worker="gw7")
    assert verdict(run_data(*rows, other, without=(Sample,)), "memory_leak_detected").verdict == "unmet"


def test_a_declared_signal_is_judged() -> None:
    """A queue that grows is named."""
    readings: list[Record] = [
        Reading(one.at, one.phase, one.iteration, "queue length", float(one.iteration)) for one in samples()
    ]
    found = verdict(run_data(*readings), "memory_leak_detected")
    assert found.verdict == "unmet"
    assert found.detail.startswith("leak: 1 queue length/iteration (36,000/h)")


def test_the_culprit_stands_in_the_first_line() -> None:
    """What attribution found is told with the rate, all of it; the record has the names too."""
    culprits = [
        Culprit("gc_objects", "type", "list", 90.0, "objects", "shop.audit.LOG", rank=1),
        Culprit("blocks", "type", "dict", 900.0, "objects", "shop.cache._quotes"),
        Culprit("fds", "descriptor", "/tmp/x", 3.0, "descriptors"),
    ]
    data = run_data(*growing_blocks(), *culprits, without=(Sample,))
    found = verdict(data, "memory_leak_detected")
    assert found.detail.startswith(
        "leak: 1.9 KiB/iteration (65.9 MiB/h) of dict, held by shop.cache._quotes (900 more) and of "
        "list, held by shop.audit.LOG (90 more), 30 Python blocks/iteration (1,080,000/h), "
    )
    assert leaks(data)[0].culprits == "dict, held by shop.cache._quotes\nlist, held by shop.audit.LOG"


def test_checkpoints_are_told_and_are_no_overhead() -> None:
    """They take the tests' own time, not a share of a core beside them."""
    data = run_data(Observer("checkpoints", 100.0, 9.5))
    found = verdict(data, "monitoring_overhead_percent")
    assert (found.verdict, found.observed) == ("met", 0.5)
    assert found.detail == (
        "CPU time in 1m40s: sampler 400ms, conductor 100ms: "
        "the tests waited 9.5s for checkpoints, which collect garbage"
    )


def test_a_known_leak_meets_the_criterion_and_is_still_told() -> None:
    """By the settings with which the run was begun; so the record can be judged again."""
    culprit = Culprit("blocks", "type", "dict", 900.0, "objects", "shop.cache._quotes")
    data = run_data(*growing_blocks(), culprit, without=(Sample,))
    accepting = Settings(known_leaks=("shop.cache.*",)).to_json()
    known = replace(data, run=replace(data.run, settings=accepting))
    assert verdict(data, "memory_leak_detected").verdict == "unmet"
    found = verdict(known, "memory_leak_detected")
    assert (found.verdict, found.observed) == ("met", 0.0)
    assert found.detail.startswith(
        "clean but for what is known: leak: 1.9 KiB/iteration (65.9 MiB/h) of dict, "
    )
    assert leaks(known) == []
