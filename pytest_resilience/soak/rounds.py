"""The order of tests in a round: each once, shuffled by the seed, neighbours in the tree kept together."""

from collections.abc import Sequence
from random import Random


class Rounds:
    """Gives the order of one round after the other.

    Tests of one module (and one class) stay together, so that its fixtures are set up once a round.
    """

    def __init__(self, tests: Sequence[str], seed: int) -> None:
        self._chains = {test: _prefixes(test) for test in tests}
        self._random = Random(f"order:{seed}")

    def next(self) -> list[str]:
        """Return the order of the next round."""
        if len(self._chains) == 1:
            return list(self._chains)
        nodes = {node for chain in self._chains.values() for node in chain}
        place = {node: self._random.random() for node in sorted(nodes)}
        return sorted(self._chains, key=lambda test: [place[node] for node in self._chains[test]])


def _prefixes(test: str) -> list[str]:
    parts = test.split("::")
    return ["::".join(parts[: length + 1]) for length in range(len(parts))]
