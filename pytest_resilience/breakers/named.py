"""Find a breaker by its name: one that is registered, or a dotted path to one."""

from collections.abc import Mapping
from importlib import import_module

from pytest_resilience.errors import ResilienceError, did_you_mean, requirement


def named_breaker(source: object, registered: Mapping[str, object]) -> tuple[str, object]:
    """Return a name for reports, and the breaker or factory that `source` stands for.

    Args:
        source: a registered name, "package.module:name", or the breaker or factory itself.
        registered: what the fixture resilience_breakers returned.

    Raises:
        ResilienceError: nothing goes by that name.
    """
    if not isinstance(source, str):
        return _name_of(source), source
    if source in registered:
        return source, registered[source]
    if ":" in source:
        return source, _imported(source)
    fix = f"{did_you_mean(source, registered)} Or name its place: 'shop.breakers:make'."
    allowed = "the name of a breaker in resilience_breakers"
    raise ResilienceError(requirement("A breaker under test", allowed, source, fix))


def checked_breakers(registered: object) -> Mapping[str, object]:
    """Return what the fixture resilience_breakers returned; raise ResilienceError if it is no mapping."""
    if not isinstance(registered, Mapping):
        fix = 'Return {"name": breaker}.'
        raise ResilienceError(requirement("resilience_breakers", "a mapping from names", registered, fix))
    return registered


def _name_of(source: object) -> str:
    name: str = getattr(source, "__qualname__", type(source).__qualname__)
    return name


def _imported(path: str) -> object:
    module, _, name = path.partition(":")
    try:
        found: object = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as wrong:
        fix = f"{type(wrong).__name__}: {wrong}."
        raise ResilienceError(
            requirement("A breaker under test", "'package.module:name'", path, fix)
        ) from wrong
    return found
