"""The command `pytest --resilience-cleanup`: it runs no test."""

import sys

import pytest

from pytest_resilience.chaos.leftovers import clean
from pytest_resilience.chaos.supervisor.notebook import OUTSIDE
from pytest_resilience.plugin.options import read_settings


def clean_up(config: pytest.Config) -> int:
    """Remove what killed runs have left, and say so; return 1 if something could not be removed, else 0."""
    root = config.rootpath / read_settings(config).directory
    found = clean(root / OUTSIDE)
    left = any(one.left for one in found)
    verdict = "Something is left, see above." if left else "Nothing is left of runs that have ended."
    lines = [f"resilience: clean-up of {root}", *(line for one in found for line in one.lines), verdict]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
    return int(pytest.ExitCode.TESTS_FAILED if left else pytest.ExitCode.OK)
