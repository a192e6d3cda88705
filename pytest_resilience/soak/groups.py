"""Groups of tests that must stay in one worker, as pytest-xdist's modes promise, shared among the workers."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType


def _scope(test: str, mark: str) -> str:
    return test.rpartition("::")[0] or test


def _file(test: str, mark: str) -> str:
    return test.partition("::")[0]


def _marked(test: str, mark: str) -> str:
    return f"@{mark}" if mark else test


GROUP_OF: Mapping[str, Callable[[str, str], str]] = MappingProxyType(
    {"loadscope": _scope, "loadfile": _file, "loadgroup": _marked}
)
"""By the mode of distribution; all other modes let every worker loop all tests."""


def share(tests: Sequence[str], marks: Sequence[str], workers: int, mode: str) -> list[tuple[str, ...]]:
    """Return the tests of each worker, whole groups only, about the same number each.

    Where there are fewer groups than workers, the last shares are empty.

    Args:
        marks: by test, what its marker xdist_group says, or an empty string.
    """
    groups: dict[str, list[str]] = {}
    for test, mark in zip(tests, marks, strict=True):
        groups.setdefault(GROUP_OF[mode](test, mark), []).append(test)
    shares: list[list[str]] = [[] for _ in range(workers)]
    for group in sorted(groups.values(), key=len, reverse=True):
        min(shares, key=len).extend(group)
    return [tuple(one) for one in shares]
