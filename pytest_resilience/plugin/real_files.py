"""Suites that fake the file system (pyfakefs): what we read and write meanwhile must be the real one."""

import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_resilience.plugin.options import SETTINGS

FAKING = "pyfakefs.fake_filesystem_unittest"
OURS = ("pytest_resilience", "psutil")
FIXTURES = frozenset({"chaos", "memory_sampler"})


def keep_real_files(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Let pyfakefs leave our modules and psutil's alone, if it is loaded and one of the tests uses us.

    The sampler, the record and the helper process go on while a test has a file system of its own.
    """
    faking = sys.modules.get(FAKING)
    if faking is not None and (config.stash[SETTINGS].soaking or any(map(_uses_us, items))):
        faking.Patcher.SKIPNAMES.update(name for package in OURS for name in _modules(package))


def _uses_us(item: pytest.Item) -> bool:
    used = FIXTURES.intersection(getattr(item, "fixturenames", ()))
    return bool(used) or item.get_closest_marker("leak_limit") is not None


def _modules(package: str) -> Iterator[str]:
    """Yield the dotted name of each module of a package, also of those that are imported later."""
    yield package
    found = find_spec(package)
    for root in map(Path, (found and found.submodule_search_locations) or ()):
        for file in root.rglob("*.py"):
            yield ".".join((package, *file.relative_to(root).with_suffix("").parts))
