"""The order of tests in a round, shuffled by the seed, neighbours in the tree kept together."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from types import MappingProxyType

BLOCK = 1024
"""Rounds drawn from one seed: a run that is resumed need not draw all rounds of its past."""


class Rounds:
    """Gives the order of one round after the other.

    Each test is there once, or as often as `weights` says, spread among its neighbours. Tests of one module
    (and one class) stay together, so that its fixtures are set up once a round. With `begin` the first round
    is the one that would have come after so many.
    """

    def __init__(
        self,
        tests: Sequence[str],
        seed: int,
        weights: Mapping[str, int] = MappingProxyType({}),
        *,
        begin: int = 0,
    ) -> None:
        self._tests = {chain: test for test in tests for chain in _chains(test, weights.get(test, 1))}
        self._seed, self._random = seed, Random()
        self._number = begin - begin % BLOCK
        while self._number < begin:
            self.next()

    def next(self) -> list[str]:
        """Return the order of the next round."""
        if self._number % BLOCK == 0:
            self._random.seed(f"order:{self._seed}:{self._number}")
        self._number += 1
        if len(self._tests) == 1:
            return list(self._tests.values())
        nodes = {node for chain in self._tests for node in chain}
        place = {node: self._random.random() for node in sorted(nodes)}
        order = sorted(self._tests, key=lambda chain: [place[node] for node in chain])
        return [self._tests[chain] for chain in order]


def _chains(test: str, weight: int) -> Iterator[tuple[str, ...]]:
    """Yield the nodes above a test and itself, once for each time that it is run in a round."""
    parts = test.split("::")
    above = ["::".join(parts[:length]) for length in range(1, len(parts))]
    for turn in range(weight):
        yield (*above, test if turn == 0 else f"{test} x{turn + 1}")
