"""Leaks that the user knows and accepts, by the names that the report gives them."""

import re
from collections.abc import Iterable, Sequence

from pytest_resilience.memory.records import HELD_BY


def is_known(noun: str, patterns: Iterable[str]) -> bool:
    """Tell whether what leaks (`dict, held by shop.cache._quotes`), or either part of it, is accepted.

    In a pattern `*` stands for any text, and everything else for itself. Whoever is accepted is with its
    elements: `shop.kept` also stands for `shop.kept[…].lines`.
    """
    name, _, holder = noun.partition(HELD_BY)
    elements = (holder[: found.start()] for found in re.finditer(r"\[", holder))
    names = (noun, name, holder, *elements)
    return any(re.fullmatch(_regex(pattern), name, re.DOTALL) for pattern in patterns for name in names)


def all_known(nouns: Sequence[str], patterns: Sequence[str]) -> bool:
    """Tell whether everybody who is named is accepted; where nobody is named nothing is known."""
    return bool(nouns) and all(is_known(noun, patterns) for noun in nouns)


def _regex(pattern: str) -> str:
    return ".*".join(map(re.escape, pattern.split("*")))
