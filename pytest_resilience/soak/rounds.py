"""The order of tests in a round: each once, shuffled by the seed, neighbours in the tree kept together."""

from collections.abc import Sequence
from random import Random

BLOCK = 1024
"""Rounds drawn from one seed: a run that is resumed need not draw all rounds of its past."""


class Rounds:
    """Gives the order of one round after the other.

    Tests of one module (and one class) stay together, so that its fixtures are set up once a round.
    With `begin` the first round is the one that would have come after so many.
    """

    def __init__(self, tests: Sequence[str], seed: int, *, begin: int = 0) -> None:
        self._chains = {test: _prefixes(test) for test in tests}
        self._seed, self._random = seed, Random()
        self._number = begin - begin % BLOCK
        while self._number < begin:
            self.next()

    def next(self) -> list[str]:
        """Return the order of the next round."""
        if self._number % BLOCK == 0:
            self._random.seed(f"order:{self._seed}:{self._number}")
        self._number += 1
        if len(self._chains) == 1:
            return list(self._chains)
        nodes = {node for chain in self._chains.values() for node in chain}
        place = {node: self._random.random() for node in sorted(nodes)}
        return sorted(self._chains, key=lambda test: [place[node] for node in self._chains[test]])


def _prefixes(test: str) -> list[str]:
    parts = test.split("::")
    return ["::".join(parts[: length + 1]) for length in range(len(parts))]
