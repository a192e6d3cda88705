"""The leak verdict: on labelled traces of real runs, and on generated ones."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from benchmarks.bench_detector import read_trace
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_resilience.memory.detect import judge
from pytest_resilience.memory.patterns import TRAITS
from pytest_resilience.memory.records import Culprit, Sample
from pytest_resilience.memory.verdict_lines import UNNAMED
from pytest_resilience.units import KIB, MIB

TRACES = Path(__file__).parent / "data" / "memory_traces"
FLAT_RSS = 50 * MIB

Curve = Callable[[int], float]


def run(count: int = 170, per_sample: int = 40, **signals: Curve) -> list[Sample]:
    """Build samples an eighth of a second apart; each signal is a curve over the iterations."""
    return [
        Sample(
            at=index / 8,
            phase="MEMORY_SOAK_TESTING",
            checkpoint=index % 4 == 0,
            iteration=index * per_sample,
            **{  # type: ignore[arg-type]
                "rss": FLAT_RSS,
                **{name: round(curve(index * per_sample)) for name, curve in signals.items()},
            },
        )
        for index in range(count)
    ]


def noise(seed: int, amplitude: float) -> Curve:
    draw = Random(seed)
    return lambda _: 10 * MIB + draw.uniform(0, amplitude)


def test_traces_get_their_label() -> None:
    """Of six labelled runs the clean are clean, the leaks are found, and the late one is not called clean."""
    verdicts = {path.stem: judge(read_trace(path).samples) for path in TRACES.glob("*.csv")}
    assert {name: verdict.verdict for name, verdict in verdicts.items()} == {
        "clean__clean-cache-plateau__x__k200": "clean",
        "clean__clean-sawtooth__x__k20": "clean",
        "leak__sh-fd__bad__fast": "leak",
        "leak__synth-exponential__x__k10": "leak",
        "leak__synth-late-leak__x__k100": "inconclusive",
        "leak__ujson__bad__slow": "leak",
    }


@pytest.mark.parametrize(
    ("trace", "signal", "kind", "pattern"),
    [
        ("leak__sh-fd__bad__fast", "fds", "descriptors", "linear"),
        ("leak__ujson__bad__slow", "blocks", "Python objects", "object_accumulation"),
        ("leak__synth-exponential__x__k10", "malloc_used", "native", "exponential"),
    ],
)
def test_the_culprit_comes_first(trace: str, signal: str, kind: str, pattern: str) -> None:
    """The first leak names the signal that grew, what it stands for and how it grows."""
    culprit = judge(read_trace(TRACES / f"{trace}.csv").samples).leaks[0]
    assert (culprit.signal, culprit.kind, culprit.pattern) == (signal, kind, pattern)


def test_the_line_gives_rates_pattern_and_confidence() -> None:
    """A linear leak of 514 bytes per iteration at 320 iterations per second reads as such."""
    verdict = judge(run(malloc_used=lambda n: 4 * MIB + 514 * n))
    assert verdict.line == "leak: 514 B/iteration (564.7 MiB/h) of malloc memory, linear, confidence 1.00"
    leak = verdict.leaks[0]
    assert leak.severity == "critical"
    assert leak.projection_24h == pytest.approx(leak.current + 24 * leak.per_hour)
    assert leak.baseline < leak.current


@given(st.integers(0, 10_000), st.sampled_from([1e3, 1e5, 1e6, 1e7]), st.sampled_from([170, 480]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_noise_around_a_plateau_is_clean(seed: int, amplitude: float, count: int) -> None:
    """However large the noise, a level that stays is no leak."""
    blocks = noise(seed + 1, amplitude / 64)
    assert judge(run(count, malloc_used=noise(seed, amplitude), blocks=blocks)).verdict == "clean"


@given(st.floats(0.02, 0.2), st.floats(1e5, 1e8))
@settings(max_examples=40, deadline=None)
def test_a_cache_that_fills_is_clean(share: float, size: float) -> None:
    """Growth that saturates within the run fades, however significant it is."""
    fill = 170 * 40 * share
    assert judge(run(malloc_used=lambda n: MIB + size * (1 - math.exp(-n / fill)))).verdict == "clean"


@given(st.integers(0, 10_000), st.sampled_from([0.0, 1e4, 1e5, 1e6]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_clean_run_tells_truly_what_it_would_have_seen(seed: int, amplitude: float) -> None:
    """A leak half as large again as the smallest that a run says it shows is found on top of its noise."""
    smallest = judge(run(malloc_used=noise(seed, amplitude))).smallest_per_iteration
    assert smallest is not None
    level = noise(seed, amplitude)
    verdict = judge(run(malloc_used=lambda n: level(n) + 1.5 * smallest * n))
    assert verdict.verdict == "leak"
    assert verdict.leaks[0].per_iteration == pytest.approx(1.5 * smallest, rel=0.4)


def test_the_rate_per_iteration_does_not_depend_on_the_speed() -> None:
    """Iterations that slow down to a tenth change the rate per hour only."""
    pace = [100 if index < 85 else 10 for index in range(170)]
    samples = run(malloc_used=lambda _: 0)
    ran = 0
    for index, steps in enumerate(pace):
        ran += steps
        samples[index] = replace(samples[index], iteration=ran, malloc_used=MIB + 200 * ran)
    leak = judge(samples).leaks[0]
    assert leak.per_iteration == pytest.approx(200)
    assert leak.pattern == "linear"


def test_without_iterations_time_counts() -> None:
    """A leak in the background is found while no iteration ends, and has no rate per iteration."""
    samples = [
        replace(sample, iteration=0, malloc_used=round(MIB + 1e5 * sample.at)) for sample in run(per_sample=0)
    ]
    verdict = judge(samples)
    assert verdict.leaks[0].per_iteration is None
    assert verdict.leaks[0].per_hour == pytest.approx(3.6e8, rel=0.01)
    assert verdict.line.startswith("leak: 343.3 MiB/h of malloc memory")


def test_what_the_plugin_adds_is_subtracted() -> None:
    """Growth that is the plugin's own per iteration is no leak of the suite."""
    samples = run(malloc_used=lambda n: MIB + 300 * n)
    assert judge(samples).verdict == "leak"
    assert judge(samples, own_slope={"malloc_used": 300}).verdict == "clean"
    rest = judge(samples, own_slope={"malloc_used": 100}).leaks[0]
    assert rest.per_iteration == pytest.approx(200)


def test_only_the_window_counts() -> None:
    """What grew before the phase that is judged does not matter."""
    samples = run(480, malloc_used=lambda n: MIB + 500 * min(n, 240 * 40))
    assert judge(samples, window=(0.0, 30.0)).verdict == "leak"
    assert judge(samples, window=(31.0, 60.0)).verdict == "clean"


@pytest.mark.parametrize("count", [0, 1, 31])
def test_too_few_samples_are_inconclusive(count: int) -> None:
    """The verdict says how many samples there are and how many it takes."""
    verdict = judge(run(count, malloc_used=lambda n: 1000 * n))
    assert verdict.verdict == "inconclusive"
    assert verdict.line == (f"inconclusive: {count} samples, 32 are needed; run longer or sample more often.")


def test_a_cycle_longer_than_the_run_can_show_is_inconclusive() -> None:
    """One tooth that ends higher than it began may be a leak or a warm-up."""
    verdict = judge(run(malloc_used=lambda n: 12 * MIB * ((n / 5000) % 1) + 500 * n))
    assert verdict.verdict == "inconclusive"
    assert verdict.suspects[0].verdict == "inconclusive"
    assert "the rise and fall of malloc memory is too slow to compare" in verdict.line


def test_one_dip_of_a_warm_up_that_has_come_to_rest_is_no_sawtooth() -> None:
    """As of RSS when an allocator gives something back once: a tooth would go on to climb."""

    def resting(n: float) -> float:
        return 70 * MIB + MIB * (min(3.0, n / 600) if n < 2800 or n > 3000 else 1.5)

    assert judge(run(rss=resting)).verdict == "clean"


def test_a_leak_below_a_sawtooth_is_found_by_its_troughs() -> None:
    """Three falls whose lows rise evenly are a leak."""
    assert judge(run(480, malloc_used=lambda n: 12 * MIB * ((n / 5000) % 1) + 500 * n)).verdict == "leak"


def test_late_growth_is_inconclusive_and_says_since_when() -> None:
    """Growth in the last fifth of the run is neither clean nor a leak yet."""
    verdict = judge(run(malloc_used=lambda n: MIB + 1000 * max(0, n - 5440)))
    assert verdict.line == (
        "inconclusive: malloc memory began to grow in the last 5.2s, a warm-up or a leak; run twice as long."
    )


def test_modules_loaded_late_are_clean() -> None:
    """Three jumps are not a leak, although they make a trend."""
    verdict = judge(run(malloc_used=lambda n: MIB * (1 + (n > 2600) + (n > 4000) + (n > 5400))))
    assert verdict.verdict == "clean"


def test_a_leak_in_many_steps_is_named_so() -> None:
    """A buffer kept every 500 iterations climbs in steps."""
    assert judge(run(480, malloc_used=lambda n: 256 * KIB * (n // 500))).leaks[0].pattern == "stepwise"


def test_rss_counts_only_where_the_allocators_do_not_explain_it() -> None:
    """RSS that follows a sawtooth of malloc is fragmentation at most; RSS that grows alone is a leak."""
    rising: Curve = lambda n: 50 * MIB + 2000 * n  # noqa: E731
    explained = run(480, rss=rising, malloc_used=lambda n: 40 * MIB * ((n / 5000) % 1))
    assert judge(explained).verdict == "clean"
    alone = judge(run(rss=rising, malloc_used=lambda _: MIB, blocks=lambda _: 30_000))
    assert [(leak.signal, leak.kind) for leak in alone.leaks] == [("rss", "fragmentation")]


def test_harmful_counts_come_first_and_evidence_last() -> None:
    """A descriptor leak is the cause of the memory that its objects take, and objects of what malloc gave."""
    samples = run(
        fds=lambda n: 8 + n / 40,
        malloc_used=lambda n: MIB + 500 * n,
        blocks=lambda n: 30_000 + 4 * n,
        gc_objects=lambda n: 10_000 + 2 * n,
    )
    assert [leak.signal for leak in judge(samples).leaks] == ["fds", "blocks", "malloc_used", "gc_objects"]


@pytest.mark.parametrize(
    ("per_hour", "severity"),
    [(0.9 * MIB, "info"), (2 * MIB, "warning"), (200 * MIB, "critical"), (2048 * MIB, "emergency")],
)
def test_severity_follows_the_rate(per_hour: float, severity: str) -> None:
    """Leaks below 1 MiB/h inform, those above 1 GiB/h are an emergency."""
    hours = 24
    samples = [
        replace(
            sample, at=index * hours * 3600 / 480, malloc_used=round(MIB + per_hour * hours * index / 480)
        )
        for index, sample in enumerate(run(480))
    ]
    assert [leak.severity for leak in judge(samples).leaks] == [severity]


def test_what_threads_keep_of_freed_memory_is_no_leak() -> None:
    """Each thread's cache of freed memory fills slowly and counts as used: growth below that is noise."""
    filling: Curve = lambda n: 14 * MIB + 40 * n  # noqa: E731
    grown = 40 * 40 * 170
    assert 128 * KIB < grown < (128 + 4 * 64) * KIB
    assert judge(run(malloc_used=filling, threads=lambda _: 1)).verdict == "leak"
    assert judge(run(malloc_used=filling, threads=lambda _: 5)).verdict == "clean"
    assert judge(run(malloc_used=lambda n: filling(n) + 200 * n, threads=lambda _: 5)).verdict == "leak"


def test_teeth_whose_lows_rise_less_and_less_are_no_leak() -> None:
    """A sawtooth on top of something that fills: growth that fades is none here either."""

    def lows(n: int) -> float:
        return 2 * MIB * (1 - math.exp(-n / 6000))

    def teeth(n: int) -> float:
        return 10 * MIB + 4 * MIB * ((n / 4000) % 1)

    assert judge(run(480, malloc_used=lambda n: teeth(n) + lows(n))).verdict != "leak"
    assert judge(run(480, malloc_used=lambda n: teeth(n) + 100 * n)).verdict == "leak"


@pytest.mark.parametrize(
    ("signal", "culprit", "advice"),
    [
        (
            "blocks",
            Culprit("blocks", "container", "dict", 9, "objects", "shop.cache._quotes"),
            "Look at shop.cache._quotes: give it a limit, or let go of what nobody needs any more.",
        ),
        (
            "blocks",
            Culprit("blocks", "type", "shop.Quote", 9, "objects"),
            f"{TRAITS['blocks'].advice} {UNNAMED}",
        ),
        (
            "fds",
            Culprit("fds", "descriptor", "file /tmp/*", 9, "descriptors"),
            "Look where file /tmp/* is opened, and close it.",
        ),
        (
            "threads",
            Culprit("threads", "thread", "thread poll running shop.poll", 9, "threads"),
            "Look where thread poll running shop.poll is started, and join it or shut it down.",
        ),
        (
            "children",
            Culprit("children", "process", "process redis-server", 9, "processes"),
            "Look where process redis-server is started, and wait for it.",
        ),
        (
            "malloc_used",
            Culprit("malloc_used", "line", "memory allocated at shop.py:12 (quote)", 9, "bytes"),
            "Look at what should free the memory allocated at shop.py:12 (quote).",
        ),
    ],
)
def test_the_advice_names_the_culprit(signal: str, culprit: Culprit, advice: str) -> None:
    """Where it is known; what helps in general stands where nobody is known to hold what leaks."""
    verdict = judge(run(170, 40, **{signal: lambda n: 10_000 + 10 * n * 64}), culprits=[culprit])
    assert verdict.leaks[0].recommendation == advice


@pytest.mark.parametrize(
    ("each", "text"), [(1, "leak: 1 descriptor/iteration "), (2, "leak: 2 descriptors/iteration ")]
)
def test_one_is_not_many(each: int, text: str) -> None:
    """A rate of one has no plural."""
    assert judge(run(fds=lambda n: 5 + each * n)).line.startswith(text)


def unrest(leak: int) -> list[Sample]:
    draw = Random(5)
    return [
        replace(
            one,
            blocks=100_000
            + leak * one.iteration
            + (0 if one.checkpoint else draw.randrange(-20_000, 20_000)),
        )
        for one in run(count=96, per_sample=50)
    ]


def test_what_collection_leaves_shows_a_leak_under_what_it_frees() -> None:
    """Between checkpoints tests are in the middle of something, which takes more than the leak does."""
    samples = unrest(leak=1)
    assert judge([replace(one, checkpoint=False) for one in samples]).verdict != "leak"
    verdict = judge(samples)
    assert verdict.leaks[0].per_iteration == pytest.approx(1.0)
    assert verdict.leaks[0].pattern == "object_accumulation"


def test_a_floor_is_that_of_the_better_view() -> None:
    """What is read after collections tells how small a leak would have been found."""
    samples = unrest(leak=0)
    with_collections = judge(samples).smallest_per_iteration
    without = judge([replace(one, checkpoint=False) for one in samples]).smallest_per_iteration
    assert with_collections is not None
    assert without is None or with_collections < without / 5


def test_objects_are_told_in_bytes_by_their_blocks_and_what_malloc_grew() -> None:
    """Resident memory grows by fragments too: it is asked only where malloc is not known, and if it leaks."""
    leaking = run(
        blocks=lambda n: 100_000 + 2 * n,
        malloc_used=lambda n: MIB + 40 * n,
        rss=lambda n: FLAT_RSS + 9_000 * n,
    )
    assert judge(leaking).line.startswith("leak: 168 B/iteration ")
    without_malloc = [replace(one, malloc_used=None) for one in leaking]
    assert judge(without_malloc).line.startswith("leak: 8.8 KiB/iteration ")
    assert judge([replace(one, rss=FLAT_RSS) for one in without_malloc]).line.startswith(
        "leak: 128 B/iteration "
    )


def test_who_grew_to_the_end_is_told_where_nothing_leaks() -> None:
    """After a verdict that is open, and after a clean one, where a leak may be too small for the run."""
    culprit = Culprit("blocks", "container", "dict", 40.0, "objects", "shop.cache._quotes")
    told = "growing to the end: dict, held by shop.cache._quotes (40 more)."
    late = run(malloc_used=lambda n: MIB + 1000 * max(0, n - 5440))
    assert judge(late, culprits=[culprit]).line.endswith(f" Suspect, and {told}")
    calm = run(blocks=lambda _: 100_000, malloc_used=lambda _: MIB)
    nobodys = replace(culprit, held_by="")
    assert judge(calm, culprits=[nobodys, culprit]).line.endswith(
        f" Too little to be called a leak, but {told}"
    )
    assert judge(calm, culprits=[nobodys]).line.endswith(" would have been found.")
    thread = Culprit("threads", "thread", "thread poll", 9.0, "threads")
    assert judge(calm, culprits=[thread]).line.endswith("growing to the end: thread poll (9 more).")
