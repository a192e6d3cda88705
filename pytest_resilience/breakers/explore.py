"""Explore a breaker: play written and random sequences on it, and report what no right breaker would do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_resilience.breakers.bench import ways_of
from pytest_resilience.breakers.checks import Checker
from pytest_resilience.breakers.flight import Way
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.hazards.table import HAZARDS
from pytest_resilience.breakers.moves import Force, Sequence, Start, sequences
from pytest_resilience.breakers.playing import Played, play
from pytest_resilience.breakers.scripts import hazard_script, script_of
from pytest_resilience.breakers.subject import Subject, subject_of
from pytest_resilience.breakers.templates import templates
from pytest_resilience.errors import ResilienceError, requirement

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

EXAMPLES = 100
MOST_ROUNDS = 4
"""Random search goes on behind a finding, but not for ever."""

BEYOND_MOVES = ("coroutine_function_missed", "falsy_open_time")
"""Hazards of how a breaker is made and wrapped, which no sequence of calls shows."""


@dataclass(frozen=True, slots=True)
class Counterexample:
    """Something that no right breaker would do.

    Args:
        kind: the same for counterexamples of one cause.
        problem: what was wrong, in one line.
        way: sync or async.
        found_by: the name of the written sequence, or random.
        moves: the shortest sequence found that shows it.
        script: Python code that shows it with the library alone; for a breaker of your own, with gaps.
    """

    kind: str
    problem: str
    way: Way
    found_by: str
    moves: Sequence
    script: str


@dataclass(frozen=True, slots=True)
class ExploreReport:
    """What exploring a breaker found; `str()` of it is what a failed test shows.

    `played` counts the sequences, `seed` repeats the random ones.
    """

    breaker: str
    counterexamples: tuple[Counterexample, ...]
    played: int
    seed: int
    serial: bool

    @property
    def passed(self) -> bool:
        """Tell whether the breaker did nothing wrong."""
        return not self.counterexamples

    def must_pass(self) -> None:
        """Raise AssertionError with the text of the report unless it passed."""
        __tracebackhide__ = True
        if not self.passed:
            raise AssertionError(str(self))

    @property
    def verdict(self) -> str:
        """Return the outcome in one line with its numbers."""
        found = len(self.counterexamples)
        defects = "no defect" if not found else f"{found} defect{'s' if found > 1 else ''}"
        serial = ", none of them with overlapping calls: they wait for each other" if self.serial else ""
        return f"breaker {self.breaker!r}: {defects} in {self.played} sequences{serial} (seed {self.seed})"

    def __str__(self) -> str:
        rows = [f"  {one.way}, {one.found_by}: {one.problem}\n\n{one.script}" for one in self.counterexamples]
        return "\n".join((self.verdict, *rows))


def explore(
    name: str, source: object, *, seed: int = 0, examples: int = EXAMPLES, way: Way | None = None
) -> ExploreReport:
    """Play sequences of calls on a breaker, and compare it with what a right breaker may do.

    Args:
        name: how the report calls it.
        source: a breaker of a supported library, a function that returns one, or a BreakerAdapter.
        seed: draws the random sequences.
        examples: how many random sequences are played in each way; 0 plays the written ones alone.
        way: "sync" or "async"; each that the breaker has, by default.

    Raises:
        ResilienceError: it is no breaker that can be checked, a parameter is wrong, or hypothesis is missing.
    """
    if isinstance(examples, bool) or not isinstance(examples, int) or examples < 0:
        raise ResilienceError(requirement("examples", "a whole number of at least 0", examples))
    subject = subject_of(name, source)
    Checker(subject)  # its self-check: a clock that does not move would make everything look right
    with subject.borrowed(Hands()) as lend:
        ways = ways_of(lend())
    if way is not None and way not in ways:
        allowed = f"a way to call this breaker ({', '.join(ways)})"
        raise ResilienceError(requirement("way", allowed, way, "Leave it out."))
    searches = [_Search(subject, one) for one in ((way,) if way else ways)]
    for search in searches:
        search.written()
        if examples:
            search.random(seed, examples)
    found = {one.kind: one for search in reversed(searches) for one in reversed(search.found)}
    found |= {one.kind: one for one in _beyond_moves(subject)}
    return ExploreReport(
        name,
        tuple(found.values()),
        sum(search.played for search in searches),
        seed,
        any(search.serial for search in searches),
    )


class _Search:
    """Looks for counterexamples in one way to call a breaker."""

    def __init__(self, subject: Subject, way: Way) -> None:
        self._subject = subject
        self._way = way
        with subject.borrowed(Hands()) as lend:
            self._traits = lend().traits
        self._seen: set[str] = set()
        self.found: list[Counterexample] = []
        self.played = 0
        self.serial = False

    def written(self) -> None:
        """Play the written sequences."""
        for title, moves in templates(self._traits).items():
            played = self._play(moves)
            if played.problem:
                self._add(title, played)

    def random(self, seed: int, examples: int) -> None:
        """Play random ones; after a finding go on, and look for another kind."""
        for number in range(MOST_ROUNDS):
            played = self._search(seed + number, examples)
            if played is None or not self._add("random", played):
                return

    def _search(self, seed: int, examples: int) -> Played | None:
        play_on = _hypothesis(seed, examples)
        latest: Played | None = None

        def attempt(moves: Sequence) -> None:
            nonlocal latest
            played = self._play(moves)
            if played.problem and played.kind not in self._seen:
                latest = played
                raise _FoundError

        try:
            play_on(sequences(self._traits, self._way))(attempt)
        except _FoundError:
            return latest
        return None

    def _play(self, moves: Sequence) -> Played:
        if self.serial and any(isinstance(move, Start) and not move.stream for move in moves):
            moves = _one_by_one(moves)
        self.played += 1
        played = play(self._subject, self._way, moves)
        self.serial = self.serial or played.serial
        return played

    def _add(self, title: str, played: Played) -> bool:
        self._seen.add(played.kind)
        shortest = self._shortest(played)
        kind = _kind(shortest)
        if any(one.kind == kind for one in self.found):
            return False
        script = script_of(self._subject, self._traits, self._way, shortest)
        self.found.append(Counterexample(kind, shortest.problem, self._way, title, shortest.moves, script))
        return True

    def _shortest(self, played: Played) -> Played:
        """Leave out moves as long as the same goes wrong."""
        at = 0
        while at < len(played.moves):
            moves = (*played.moves[:at], *played.moves[at + 1 :])
            shorter = play(self._subject, self._way, moves)
            if shorter.kind == played.kind and len(shorter.moves) < len(played.moves):
                played = shorter
            else:
                at += 1
        return played


class _FoundError(Exception):
    """A random sequence showed something."""


def _kind(played: Played) -> str:
    """Say what probably is one cause: what was wrong after what, and what unusual it took."""
    outcomes = {getattr(move, "outcome", "ok") for move in played.moves} - {"ok", "failure"}
    overlaps = {"overlap" for move in played.moves if isinstance(move, Start)}
    forced = {f"force {move.state}" for move in played.moves if isinstance(move, Force)}
    return " with ".join((played.kind, ", ".join(sorted(map(str, {*outcomes, *overlaps, *forced})))))


def _one_by_one(moves: Sequence) -> Sequence:
    """Leave overlaps out, for a breaker whose calls wait for each other."""
    return tuple(move for move in moves if not isinstance(move, Start) or move.stream)


def _hypothesis(
    seed: int, examples: int
) -> "Callable[[SearchStrategy[Sequence]], Callable[[Callable[[Sequence], None]], None]]":
    """Return what plays a test on drawn values: `play_on(strategy)(test)`."""
    try:
        import hypothesis
    except ImportError:
        install = "pip install 'pytest-resilience[hypothesis]'"
        raise ResilienceError(
            f"explore needs hypothesis for random sequences, which is not installed: {install}. "
            "Or play the written ones alone: examples=0."
        ) from None
    quiet = {
        "database": None,
        "deadline": None,
        "report_multiple_bugs": False,
        "print_blob": False,
        "phases": (hypothesis.Phase.generate, hypothesis.Phase.shrink),
        "suppress_health_check": list(hypothesis.HealthCheck),
        "verbosity": hypothesis.Verbosity.quiet,
    }

    chosen = hypothesis.settings(max_examples=examples, **quiet)  # type: ignore[arg-type]

    def play_on(strategy: "SearchStrategy[Sequence]") -> Callable[[Callable[[Sequence], None]], None]:
        return lambda test: chosen(hypothesis.seed(seed)(hypothesis.given(strategy)(test)))()

    return play_on


def _beyond_moves(subject: Subject) -> Iterator[Counterexample]:
    checker = Checker(subject)
    for name in BEYOND_MOVES:
        hazard = HAZARDS[name]
        result = checker.hazard(hazard)
        if result.verdict == "failed":
            way = checker.ways[0]
            yield Counterexample(name, result.detail, way, name, (), hazard_script(subject, name))
