"""The rounds of a looped test: what stays in each is a leak, what a cache takes is none."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.errors import SettingsError
from pytest_resilience.memory.attribute import Attribution, Views
from pytest_resilience.memory.census import Census
from pytest_resilience.memory.leak_check import LeakCheck, LoopReading
from pytest_resilience.memory.leak_limit import LeakLimit, leak_limit, read_size
from pytest_resilience.memory.traced import Line, Traced, Tracing

KIB = 1024
ROUND = 100


class Bench:
    """A process whose readings are told: `leak(iteration)` says what an iteration leaves."""

    def __init__(self, leak: Callable[[int], LoopReading]) -> None:
        self._leak = leak
        self.iterations = self.blocks = self.native = self.bytes = 0
        self.counts = {"fds": 10, "threads": 3, "children": 0}
        self.traced: list[int] = []
        self.fails_in = 0

    def iterate(self) -> bool:
        self.iterations += 1
        left = self._leak(self.iterations)
        self.blocks += left.blocks
        self.native += left.malloc_used
        for name, count in left.counts.items():
            self.counts[name] += count
        return self.iterations != self.fails_in

    def read(self) -> LoopReading:
        return LoopReading(self.blocks, self.native, dict(self.counts))


class ExactTracing(Tracing):
    """Says that each block has so many bytes."""

    def __init__(self, bench: Bench, size: int) -> None:
        self._bench, self._size = bench, size

    def measure(self, stretch: Callable[[], bool]) -> Traced:
        before = self._bench.blocks
        completed = stretch()
        size = (self._bench.blocks - before) * self._size
        self._bench.traced.append(size)
        return Traced(completed, size, (Line("shop.py:12", size),))


def check(bench: Bench, limit: LeakLimit, block: int = 64) -> str:
    """Run the rounds; return the complaint, or an empty string."""
    views = Views(
        census=Census,
        objects=list,
        heap_bytes=lambda: 0,
        thaw=lambda: None,
        handles={name: lambda name=name: {f"a {name}": bench.counts[name]} for name in bench.counts},  # type: ignore[misc]
    )
    complaint = LeakCheck(limit, bench.read, Attribution(views), ExactTracing(bench, block)).run(
        bench.iterate
    )
    return complaint.text if complaint else ""


def left(blocks: int = 0, native: int = 0, **counts: int) -> LoopReading:
    return LoopReading(blocks, native, counts)


def test_what_stays_in_each_round_is_a_leak() -> None:
    """The verdict has the exact rate and the limit, then the line."""
    bench = Bench(lambda _: left(blocks=20))
    text = check(bench, leak_limit("1 KiB per iteration", iterations=ROUND), block=100)
    assert text.splitlines() == [
        "leak: 2.0 KiB/iteration (limit 1.0 KiB/iteration), in each of 3 rounds of 100 iterations",
        "  2.0 KiB/iteration allocated at shop.py:12",
    ]
    assert bench.iterations == 10 + 3 * ROUND


def test_a_cache_that_fills_is_no_leak() -> None:
    """The first round leaves much, the second nothing: no third is needed."""
    bench = Bench(lambda number: left(blocks=1000 if number <= 50 else 0))
    assert check(bench, leak_limit("1 KiB", iterations=ROUND)) == ""
    assert bench.traced == []
    assert bench.iterations == 10 + 2 * ROUND


def test_a_clean_test_takes_one_round() -> None:
    """Nothing is left: one warm-up, one round."""
    bench = Bench(lambda _: left())
    assert check(bench, leak_limit(iterations=ROUND)) == ""
    assert bench.iterations == 10 + ROUND


def test_small_blocks_are_acquitted_by_the_exact_size() -> None:
    """The estimate suspects, the tracing acquits."""
    bench = Bench(lambda _: left(blocks=20))
    assert check(bench, leak_limit("1 KiB", iterations=ROUND), block=32) == ""
    assert bench.traced == [20 * ROUND * 32]


def test_native_memory_counts_too() -> None:
    """What only malloc sees is a leak without any Python block."""
    text = check(Bench(lambda _: left(native=5000)), leak_limit("1 KiB", iterations=ROUND))
    assert text.startswith("leak: 4.9 KiB/iteration (limit 1.0 KiB/iteration)")


def test_native_memory_that_is_taken_once_is_no_leak() -> None:
    """The smaller of two rounds counts, as an arena is taken once."""
    bench = Bench(lambda number: left(blocks=20, native=10**6 if number == 20 else 0))
    assert check(bench, leak_limit("1 KiB", iterations=ROUND), block=32) == ""


@pytest.mark.parametrize(
    ("signal", "said"),
    [
        ("fds", "leak: 100 descriptors more (limit 0), in each of 3 rounds of 100 iterations: a fds"),
        ("threads", "leak: 100 threads more (limit 0), in each of 3 rounds of 100 iterations: a threads"),
        (
            "children",
            "leak: 100 child processes more (limit 0), in each of 3 rounds of 100 iterations: a children",
        ),
    ],
)
def test_counts_have_limits_of_their_own(signal: str, said: str) -> None:
    """What is counted is said in its own words; memory is not looked at."""
    bench = Bench(lambda _: left(blocks=10_000, **{signal: 1}))
    text = check(bench, leak_limit(**{signal: 0, "iterations": ROUND}))
    assert text.splitlines()[0] == said
    assert bench.traced == []


def test_a_count_within_its_limit_is_none() -> None:
    """A round may leave so many."""
    bench = Bench(lambda number: left(fds=int(number % 50 == 0)))
    assert check(bench, leak_limit(fds=2, iterations=ROUND)) == ""
    assert check(bench, leak_limit(fds=1, iterations=ROUND)).startswith("leak: 2 descriptors more (limit 1)")


def test_memory_and_counts_are_both_told() -> None:
    """Two verdicts, memory first."""
    bench = Bench(lambda _: left(blocks=50, threads=1))
    text = check(bench, leak_limit("1 KiB", threads=0, iterations=ROUND))
    assert [line[:30] for line in text.splitlines()[:2]] == [
        "leak: 3.1 KiB/iteration (limit",
        "leak: 100 threads more (limit ",
    ]


@pytest.mark.parametrize("iteration", [3, 50, 150, 280])
def test_an_iteration_that_fails_ends_the_loop(iteration: int) -> None:
    """A failing test is judged by its failure, not by what it left."""
    bench = Bench(lambda _: left(blocks=1000))
    bench.fails_in = iteration
    assert check(bench, leak_limit(iterations=ROUND)) == ""
    assert bench.iterations == iteration


@given(
    leaks=st.floats(0, 40),
    allowed=st.integers(1, 40),
    burst=st.integers(0, 2000),
    iterations=st.integers(20, 300),
)
def test_only_what_is_left_in_the_steady_state_decides(
    leaks: float, allowed: int, burst: int, iterations: int
) -> None:
    """Whatever the warm-up takes: the verdict is that of the rate of blocks per iteration."""
    total = [0.0]

    def leak(number: int) -> LoopReading:
        total[0] += leaks
        before, total_now = int(total[0] - leaks), int(total[0])
        return left(blocks=total_now - before + (burst if number == 1 else 0))

    text = check(Bench(leak), leak_limit(allowed * 64, iterations=iterations))
    if leaks * iterations > max(64, allowed * iterations) + 2:
        assert text.startswith("leak: ")
    if leaks * iterations < max(64, allowed * iterations) - 2:
        assert text == ""


def test_tracing_says_exactly_what_stays_and_where() -> None:
    """Real allocations: the size within a tenth, the line of this file."""
    kept: list[bytes] = []

    def stretch() -> bool:
        kept.extend(bytes(1000) for _ in range(500))
        return True

    traced = Tracing().measure(stretch)
    assert traced.completed
    assert traced.size == pytest.approx(500 * 1033, rel=0.1)
    assert "test_memory_leak_check.py:" in traced.lines[0].place


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1 KiB per iteration", 1024),
        ("1KiB/iteration", 1024),
        ("512 B", 512),
        ("1.5 MiB", 1.5 * KIB * KIB),
        ("2 kB", 2000),
        (" 3 MB per iteration ", 3_000_000),
        (100, 100),
        (0, 0),
    ],
)
def test_sizes_are_read(text: str | int, size: float) -> None:
    """A number and a unit, with or without `per iteration`; a number alone is bytes."""
    assert read_size(text) == size


@pytest.mark.parametrize(
    "wrong", ["", "1 furlong", "KiB", "-1 KiB", "1 KiB per hour", True, None, float("nan"), -3]
)
def test_wrong_sizes_are_refused(wrong: object) -> None:
    """The error has the value, the constraint and the fix."""
    expected = (
        f'The limit must be a size in B, KiB, MiB, kB or MB, not {wrong!r}. Write "1 KiB per iteration".'
    )
    with pytest.raises(SettingsError) as error:
        read_size(wrong)  # type: ignore[arg-type]
    assert str(error.value) == expected


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text raises anything but a SettingsError, and none gives a negative or infinite size."""
    try:
        size = read_size(text)
    except SettingsError:
        return
    assert 0 <= size < float("inf")


@pytest.mark.parametrize(
    ("given_limit", "said"),
    [
        ({"iterations": 5}, "iterations must be a whole number from 20 to 1,000,000, not 5."),
        ({"iterations": True}, "iterations must be a whole number from 20 to 1,000,000, not True."),
        ({"fds": -1}, "fds must be a whole number of at least 0, not -1."),
        ({"threads": "0"}, "threads must be a whole number of at least 0, not '0'."),
    ],
)
def test_wrong_limits_are_refused(given_limit: dict[str, object], said: str) -> None:
    """Each says the value and the constraint."""
    with pytest.raises(SettingsError) as error:
        leak_limit(**given_limit)  # type: ignore[arg-type]
    assert str(error.value) == said


def test_counts_alone_leave_memory_alone() -> None:
    """Memory has a limit by default, but not where another one is asked for."""
    assert leak_limit() == LeakLimit(KIB)
    assert leak_limit(fds=0).memory is None
    assert leak_limit("2 KiB", fds=0).memory == 2 * KIB


def test_a_leak_just_beyond_the_limit_is_told_in_bytes() -> None:
    """Or both numbers would read the same."""
    text = check(Bench(lambda _: left(native=1030)), leak_limit("1 KiB", iterations=ROUND))
    assert text.startswith("leak: 1,030.0 B/iteration (limit 1,024.0 B/iteration), ")
