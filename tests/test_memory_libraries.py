"""Whose code a holder belongs to."""

import pytest

from pytest_resilience.memory.libraries import is_library


@pytest.mark.parametrize(
    ("holder", "expected"),
    [
        ("weakref.finalize._registry", True),
        ("sys.meta_path", True),
        ("_pytest.config.Config.cache", True),
        (f"{__name__}.kept['a']", False),
        ("pytest_resilience.memory.libraries.INSTALLED", False),  # installed as its folder
        ("poll().<local>.kept", False),
        ("", False),
    ],
)
def test_a_library_is_what_is_installed(holder: str, expected: bool) -> None:
    """The standard library, and packages; a name without a module is nobody's."""
    assert is_library(holder) is expected
