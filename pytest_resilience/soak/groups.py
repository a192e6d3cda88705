"""Groups of tests that must stay in one worker, as pytest-xdist's modes promise, shared among the workers."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType


def _scope(test: str) -> str:
    return test.rpartition("::")[0] or test


def _file(test: str) -> str:
    return test.partition("::")[0]


def _named(test: str) -> str:
    """Return the group that pytest-xdist appends to the id, or the test itself if it has none."""
    at = test.rfind("@")
    return test[at + 1 :] if at > test.rfind("]") else test


GROUP_OF: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"loadscope": _scope, "loadfile": _file, "loadgroup": _named}
)
"""By the mode of distribution; all other modes let every worker loop all tests."""


def share(tests: Sequence[str], workers: int, mode: str) -> list[tuple[str, ...]]:
    """Return the tests of each worker, whole groups only, about the same number each.

    Where there are fewer groups than workers, the last shares are empty.
    """
    groups: dict[str, list[str]] = {}
    for test in tests:
        groups.setdefault(GROUP_OF[mode](test), []).append(test)
    shares: list[list[str]] = [[] for _ in range(workers)]
    for group in sorted(groups.values(), key=len, reverse=True):
        min(shares, key=len).extend(group)
    return [tuple(one) for one in shares]
