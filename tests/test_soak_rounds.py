"""The order of tests: each once a round, shuffled by the seed, neighbours together."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.soak.rounds import Rounds

names = st.sampled_from("abc")
tests = st.lists(
    st.one_of(
        st.builds("{}.py::test_{}".format, names, st.integers(0, 3)),
        st.builds("{}.py::Test{}::test_{}".format, names, names, st.integers(0, 3)),
        st.builds("{}.py::Test{}::TestIn{}::test_{}[x::{}]".format, names, names, names, names, names),
    ),
    min_size=1,
    max_size=25,
    unique=True,
)
seeds = st.integers(0, 2**63 - 1)


@given(tests, seeds)
def test_each_test_is_run_once_a_round(known: list[str], seed: int) -> None:
    """Nothing is forgotten, nothing is run twice."""
    rounds = Rounds(known, seed)
    for _ in range(3):
        assert sorted(rounds.next()) == sorted(known)


@given(tests, seeds)
def test_modules_and_classes_stay_together(known: list[str], seed: int) -> None:
    """Their fixtures are set up once a round."""
    order = Rounds(known, seed).next()
    for depth in (1, 2, 3):
        deep = [test.split("::")[:depth] for test in order if len(test.split("::")) > depth]
        together = [key for key, _ in groupby(deep)]
        assert len(together) == len({tuple(key) for key in together})


@given(tests, seeds)
def test_the_seed_decides(known: list[str], seed: int) -> None:
    """Whatever order the tests were collected in."""
    one, other = Rounds(known, seed), Rounds(known[::-1], seed)
    assert [one.next() for _ in range(3)] == [other.next() for _ in range(3)]


def test_rounds_and_seeds_differ() -> None:
    """Over a few rounds every test comes first now and then."""
    known = [f"test_shop.py::test_{number}" for number in range(4)]
    rounds = Rounds(known, 7)
    assert {rounds.next()[0] for _ in range(100)} == set(known)
    assert [Rounds(known, 1).next() for _ in range(5)] != [Rounds(known, 2).next() for _ in range(5)]


@given(tests, seeds, st.data())
def test_a_weight_is_how_often_a_round_runs_a_test(known: list[str], seed: int, data: st.DataObject) -> None:
    """Those of one module and class still stay together, and each round has another order."""
    weights = {test: data.draw(st.integers(1, 4), label=test) for test in known}
    rounds = Rounds(known, seed, weights)
    for _ in range(3):
        order = rounds.next()
        assert Counter(order) == weights
        modules = [module for module, _ in groupby(test.partition("::")[0] for test in order)]
        assert len(modules) == len(set(modules))


@given(tests, seeds)
def test_weights_of_one_change_nothing(known: list[str], seed: int) -> None:
    """The order of a seed is the same as without weights."""
    one, other = Rounds(known, seed), Rounds(known, seed, dict.fromkeys(known, 1))
    assert [one.next() for _ in range(3)] == [other.next() for _ in range(3)]


def test_a_heavy_test_is_spread_among_its_neighbours() -> None:
    """Not run three times in a row, as a rule."""
    known = [f"test_shop.py::test_{number}" for number in range(6)]
    rounds = Rounds(known, 7, {known[0]: 3})
    orders = [rounds.next() for _ in range(100)]
    together = sum(a == b == c for order in orders for a, b, c in triples(order))
    assert together < 25


def triples(order: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield each three that follow each other."""
    return zip(order, order[1:], order[2:], strict=False)


def test_a_suite_of_one_heavy_test_runs_it_as_often() -> None:
    """Its own neighbour."""
    assert Rounds(["test_a.py::test"], 7, {"test_a.py::test": 3}).next() == ["test_a.py::test"] * 3
