"""Wait inside whichever event loop runs, so that only the task waits and stays cancellable."""

import math
import sys
from collections.abc import Awaitable, Callable
from typing import cast

from pytest_resilience.chaos.release import Release
from pytest_resilience.clock import Clock
from pytest_resilience.errors import ScenarioError

POLL_SECONDS = 0.02
"""How soon a waiting task notices that its fault was removed."""

ENDLESS = (
    "Hang() without seconds, in a function that is not awaited, would stop the event loop for ever. "
    "Give it seconds, or name the coroutine that the function calls."
)

Sleep = Callable[[float], Awaitable[object]]


def rest(release: Release, seconds: float, clock: Clock) -> None:
    """Block this thread for `seconds`, or until `release` is set; without end if they are infinite.

    Raise ScenarioError where that would stop a running event loop for ever.
    """
    if math.isinf(seconds):
        if _sleep_of_running_loop() is not None:
            raise ScenarioError(ENDLESS)
        release.wait()  # no clock gets there
    else:
        clock.wait(release, seconds)


async def pause(release: Release, seconds: float, clock: Clock) -> None:
    """Let this task wait for `seconds`, or until `release` is set; without end if they are infinite."""
    sleep = _sleep_of_running_loop()
    if sleep is None:
        rest(release, seconds, clock)
        return
    end = clock.now() + seconds
    while not release.is_set() and (left := end - clock.now()) > 0:
        await sleep(min(left, POLL_SECONDS))


def _sleep_of_running_loop() -> Sleep | None:
    """Find the loop without importing one: a loop that runs has been imported."""
    trio, asyncio = sys.modules.get("trio"), sys.modules.get("asyncio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return cast("Sleep", trio.sleep)
    if asyncio is None:
        return None
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return None
    return cast("Sleep", asyncio.sleep)
