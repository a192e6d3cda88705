"""Errors that tell a user the value, the constraint and the fix, in one line."""

from collections.abc import Iterable


class ResilienceError(Exception):
    """Wrong use of pytest-resilience; the message is one line for the user."""


class SettingsError(ResilienceError):
    """An option or ini value is wrong (exit code 4)."""


class ServiceError(ResilienceError):
    """A declared service is wrong."""


class TargetError(ResilienceError):
    """A dotted path does not resolve, or what it names cannot be patched."""


class ScenarioError(ResilienceError):
    """A scenario is unknown, cannot act on its target, or has wrong parameters."""


class StoreError(ResilienceError):
    """The file of a run cannot be written or read."""


class RunChangedError(StoreError):
    """A run cannot be resumed, because it was begun with other tests; `fact` says which."""

    def __init__(self, fact: str, fix: str) -> None:
        super().__init__(f"{fact} {fix}")
        self.fact = fact


def requirement(name: str, constraint: str, value: object, fix: str = "") -> str:
    """Say that `name` must be `constraint`, not `value`, and how to fix it."""
    return f"{name} must be {constraint}, not {value!r}." + (f" {fix}" if fix else "")


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """Suggest the nearest of `known`, or list them all."""
    from difflib import get_close_matches  # only a mistake needs it

    names = sorted(known)
    near = get_close_matches(value, names, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known: {', '.join(names)}." if names else "None is registered."
