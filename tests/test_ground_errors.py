"""Messages: the value, the constraint, the fix, on one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience import errors
from pytest_resilience.errors import ResilienceError, did_you_mean, requirement

NAMES = ("latency_spike", "provider_timeout", "valuation_exception")


def test_requirement_names_value_constraint_and_fix() -> None:
    """The template is the same everywhere."""
    assert (
        requirement("timeout", "above 0", -1, "Write 2.0.") == "timeout must be above 0, not -1. Write 2.0."
    )
    assert requirement("timeout", "above 0", "x") == "timeout must be above 0, not 'x'."


@pytest.mark.parametrize(
    ("value", "known", "hint"),
    [
        ("latency_spyke", NAMES, "Did you mean 'latency_spike'?"),
        ("zzz", NAMES, "Known: latency_spike, provider_timeout, valuation_exception."),
        ("zzz", (), "None is registered."),
    ],
)
def test_did_you_mean(value: str, known: tuple[str, ...], hint: str) -> None:
    """A near name is suggested, else all are listed, in alphabetical order."""
    assert did_you_mean(value, reversed(known)) == hint


@given(value=st.text(), known=st.lists(st.text(min_size=1)))
def test_did_you_mean_always_has_something_to_say(value: str, known: list[str]) -> None:
    """Whatever was written, the hint is a sentence that names something known."""
    hint = did_you_mean(value, known)
    assert hint.endswith(("?", "."))
    assert not known or any(repr(name) in hint or name in hint for name in known)


def test_every_error_is_one_family() -> None:
    """A caller can catch all wrong use with one except clause."""
    kinds = [kind for name, kind in vars(errors).items() if name.endswith("Error")]
    assert len(kinds) >= 6
    assert all(issubclass(kind, ResilienceError) for kind in kinds)
