"""Wait for what happens elsewhere: look again until it has, or until it takes too long."""

import time
from collections.abc import Callable

DEADLINE = 10.0
POLL_SECONDS = 0.005


def until(condition: Callable[[], object], seconds: float = DEADLINE) -> bool:
    """Poll until the condition holds; tell whether it did within the seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
