"""Try again, a few times and soon."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSES = (0.002, 0.01)
"""Seconds between the attempts: three attempts in all."""


def with_retries(attempt: Callable[[], T], *errors: type[Exception]) -> T:
    """Return what `attempt` returns; on one of `errors` try again, and let the last one through."""
    for pause in PAUSES:
        try:
            return attempt()
        except errors:
            time.sleep(pause)
    return attempt()
