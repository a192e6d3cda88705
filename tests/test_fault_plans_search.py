"""Hypothesis finds, shrinks and prints the smallest plan of faults that breaks real code."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import fault_plan_subjects as subjects
import pytest
from fault_plan_subjects import GAMES, SERVICES, Board, OddsClosed
from hypothesis import given, settings
from hypothesis import strategies as st
from plugin_soaks import Finished, Project, run

from pytest_resilience import FaultPlan, Service, fault_plans
from pytest_resilience.chaos.fault_plans import NO_FAULT, NOTE

FAST = 0.001
SEARCH = settings(deadline=None, database=None, derandomize=True, max_examples=300)


def breaking(strategy: "st.SearchStrategy[FaultPlan]", use: Callable[[], object]) -> BaseException:
    """Search for a plan that breaks `use`; return the error that hypothesis reports."""

    @SEARCH
    @given(plan=strategy)
    def search(plan: FaultPlan) -> None:
        with plan.active():
            use()

    with pytest.raises(Exception) as caught:
        search()
    return caught.value


def decorators(error: BaseException) -> str:
    """Return the decorators of the only note about a plan."""
    (note,) = [note for note in error.__notes__ if note.startswith(NOTE)]
    return "\n".join(line for line in note.splitlines() if line.startswith("@"))


def imports(error: BaseException) -> list[str]:
    """Return the imports of the note."""
    (note,) = [note for note in error.__notes__ if note.startswith(NOTE)]
    return [line for line in note.splitlines() if line.startswith(("import", "from"))]


def read_until_it_works() -> None:
    """A reader that comes after a failure must see all games."""
    board = Board()
    for _ in range(8):
        with suppress(ConnectionError, TimeoutError):
            assert set(board.read()) == set(GAMES)
            return


def test_a_retry_that_gives_up_early_breaks_when_the_first_two_calls_fail() -> None:
    """One fault, its shortest trigger, nothing that does not matter."""
    error = breaking(fault_plans(SERVICES, max_delay=FAST), lambda: subjects.quote("one"))
    assert isinstance(error, LookupError)
    assert decorators(error) == (
        '@pytest.mark.chaos("valuation_exception", target="odds_provider", trigger=first(2))'
    )


def test_a_board_that_keeps_a_part_breaks_when_the_second_call_fails() -> None:
    """The first call of all would leave nothing, which is read again."""
    error = breaking(fault_plans(SERVICES, max_delay=FAST), read_until_it_works)
    assert isinstance(error, AssertionError)
    assert decorators(error) == (
        '@pytest.mark.chaos("valuation_exception", target="odds_provider", trigger=nth(2))'
    )
    assert imports(error) == ["import pytest", "from pytest_resilience import nth"]


def test_a_fallback_breaks_when_both_services_fail() -> None:
    """Two faults, in the order in which they are injected."""
    error = breaking(fault_plans(SERVICES, max_delay=FAST), lambda: subjects.quote_or_load("one"))
    assert isinstance(error, OSError)
    assert decorators(error).splitlines() == [
        '@pytest.mark.chaos("valuation_exception", target="odds_provider", trigger=nth(1))',
        '@pytest.mark.chaos("valuation_exception", target="store", trigger=nth(1))',
    ]


def test_a_time_out_that_nobody_catches_keeps_its_bound_in_the_decorator() -> None:
    """Examples are fast though the service's time limit is 2 s, and the paste is as fast."""
    error = breaking(fault_plans(SERVICES, max_delay=0.01), lambda: asyncio.run(subjects.quote_later("one")))
    assert isinstance(error, TimeoutError)
    assert decorators(error) == (
        '@pytest.mark.chaos("provider_timeout", target="odds_provider", trigger=nth(1), timeout=0.01)'
    )


def test_the_one_error_that_is_not_handled_is_named() -> None:
    """With the import that its name needs."""
    closed = Service("odds_provider", calls=[subjects.fetch], errors=[ConnectionError, OddsClosed])
    error = breaking(fault_plans([closed], max_delay=FAST), lambda: subjects.quote_or_load("one"))
    assert isinstance(error, OddsClosed)
    assert decorators(error) == (
        '@pytest.mark.chaos("valuation_exception", target="odds_provider", '
        "trigger=nth(1), errors=[fault_plan_subjects.OddsClosed])"
    )


def test_code_that_fails_by_itself_is_not_blamed_on_a_fault() -> None:
    """The smallest plan is the empty one."""
    error = breaking(fault_plans(SERVICES, max_delay=FAST), lambda: subjects.quote("one", attempts=0))
    assert [note for note in error.__notes__ if note.startswith((NOTE, NO_FAULT))] == [NO_FAULT]


def test_hypothesis_prints_the_plan_as_code() -> None:
    """What it prints makes the same plan again, as in @example."""
    error = breaking(fault_plans(SERVICES, max_delay=FAST), read_until_it_works)
    printed = "\n".join(error.__notes__)
    assert 'plan=FaultPlan([("valuation_exception", "odds_provider", {"trigger": nth(2)})])' in printed


SHOP = """
GAMES = ("one", "two", "three")

def fetch(game):
    return 1.5

class Board:
    def __init__(self):
        self.odds = {}

    def read(self):
        if not self.odds:
            for game in GAMES:
                self.odds[game] = fetch(game)
        return self.odds

def quote(game):
    for attempt in range(2):
        try:
            return fetch(game)
        except (ConnectionError, TimeoutError):
            continue
    raise LookupError("no odds")
"""
FIXES = [
    ("                self.odds[game] = fetch(game)\n", ""),
    ("            for game in GAMES:\n", "            self.odds = {game: fetch(game) for game in GAMES}\n"),
    ("range(2)", "range(3)"),
]
DECLARED = """
import pytest
from pytest_resilience import Service

SERVICES = [Service("odds_provider", calls=["shop:fetch"], errors=[ConnectionError], timeout=2.0)]

@pytest.fixture(scope="session")
def resilience_services():
    return SERVICES
"""
BODIES = {
    "board": """
    board = shop.Board()
    for attempt in range(5):
        with suppress(ConnectionError, TimeoutError):
            assert len(board.read()) == 3
            break
""",
    "quote": """
    assert shop.quote("one") == 1.5
""",
}
SEARCHED = """
from contextlib import suppress
from hypothesis import HealthCheck, given, settings
from pytest_resilience import fault_plans
from conftest import SERVICES
import shop

UNTOUCHED = shop.fetch.__code__
QUICK = dict(deadline=None, database=None, derandomize=True)
PLANS = fault_plans(SERVICES, max_delay=0.001, max_call=2)

@settings(**QUICK)
@given(plan=PLANS)
def test_search(plan):
    with plan.active():
        use()

@settings(**QUICK, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=PLANS)
def test_search_with_the_fixture(plan, chaos):
    with plan.active(chaos):
        use()

def test_nothing_is_left():
    assert shop.fetch.__code__ is UNTOUCHED

def use():
"""
PASTED = """
from contextlib import suppress
import shop
{imports}

{decorators}
def test_pasted():
"""
FOUND = {"board": "nth(2)", "quote": "first(2)"}


def project(name: str, shop: str, **tests: str) -> Project:
    """A shop with the tests, run once by a pytest of its own."""
    files = {f"test_{key}.py": text + BODIES[name] for key, text in tests.items()}
    return Project(("-v",), "", {"shop.py": shop, "conftest.py": DECLARED, "test_shop.py": "", **files})


def outcomes(finished: Finished) -> dict[str, str]:
    """Return how each test ended."""
    found = re.findall(r"^test_\w+\.py::(\w+) (PASSED|FAILED|ERROR)", finished.output, re.MULTILINE)
    return dict(found)


def noted(output: str) -> tuple[str, str]:
    """Return the imports and the decorators of the note, as a user would copy them."""
    note = output.partition(NOTE)[2]
    lines = [line.removeprefix("E").strip() for line in note.splitlines()]
    imported, _, rest = "\n".join(lines).strip().partition("\n\n")
    return imported, rest.partition("\n\n")[0]


@pytest.mark.parametrize("name", list(FOUND))
def test_what_is_printed_fails_as_pasted_until_the_code_is_fixed(name: str, tmp_path: Path) -> None:
    """The whole way of a user: search, paste, see it fail for the same reason, fix, see both pass."""
    searched = run(tmp_path / "search", project(name, SHOP, search=SEARCHED))
    assert outcomes(searched) == {
        "test_search": "FAILED",
        "test_search_with_the_fixture": "FAILED",
        "test_nothing_is_left": "PASSED",
    }, searched.output
    expected = f'@pytest.mark.chaos("valuation_exception", target="odds_provider", trigger={FOUND[name]})'
    assert searched.output.count(expected) == 2, searched.output
    imported, decorated = noted(searched.output)
    assert (decorated, "import pytest" in imported) == (expected, True)

    pasted = PASTED.format(imports=imported, decorators=decorated)
    broken = run(tmp_path / "paste", project(name, SHOP, pasted=pasted))
    assert outcomes(broken) == {"test_pasted": "FAILED"}
    reason = {"board": "assert 1 == 3", "quote": "LookupError: no odds"}[name]
    assert reason in searched.output
    assert reason in broken.output, broken.output

    fixed = SHOP
    for old, new in FIXES:
        fixed = fixed.replace(old, new)
    mended = run(tmp_path / "fix", project(name, fixed, pasted=pasted))
    assert outcomes(mended) == {"test_pasted": "PASSED"}, mended.output
