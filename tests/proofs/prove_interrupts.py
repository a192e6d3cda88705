"""Interrupt the arming and disarming of faults at random instants, and count the patches left after a sweep.

Run: python tests/proofs/prove_interrupts.py [interrupts, default 20000] [seed]
Real KeyboardInterrupts from a timer signal; the exceptions are kept alive while checking, as test runners do.
"""

import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.ledger import LEDGER
from pytest_resilience.chaos.triggers import every, nth
from pytest_resilience.services import Service

LONGEST_DELAY = 0.0006
ROUNDS_PER_ENGINE = 200


def fetch(game: str) -> str:
    return game


class Client:
    def fetch(self, game: str) -> str:
        return game

    async def fetch_async(self, game: str) -> str:
        return game


WATCHED: list[Callable[[], object]] = [
    lambda: fetch.__code__,
    lambda: Client.fetch.__code__,
    lambda: Client.fetch_async.__code__,
    lambda: time.sleep,
]
ORIGINALS = [read() for read in WATCHED]

SERVICES = [
    Service(
        "provider", calls=[fetch, Client.fetch, Client.fetch_async], errors=[ConnectionError], timeout=1.0
    ),
    Service("clock", calls=["time:sleep"], errors=[OSError]),
]


def nested(chaos: Chaos) -> None:
    with (
        chaos.inject("latency_spike", "provider", delay=0.001, trigger=nth(999)),
        chaos.inject("valuation_exception", "provider", trigger=nth(999)),
    ):
        fetch("game")


def crossed(chaos: Chaos) -> None:
    one = chaos.inject("latency_spike", "provider", delay=0.001, trigger=nth(999))
    other = chaos.inject("provider_timeout", "provider", trigger=every(999))
    one.remove()
    other.remove()


def watched(chaos: Chaos) -> None:
    with chaos.watch(), chaos.inject("intermittent_errors", "provider", trigger=nth(999)):
        fetch("game")


def native(chaos: Chaos) -> None:
    with chaos.inject("valuation_exception", "clock", trigger=nth(999)):
        pass


def timed(chaos: Chaos) -> None:
    with chaos.inject("valuation_exception", "provider", trigger=nth(999), duration=0.0001):
        pass


WAYS = (nested, crossed, watched, native, timed)


def interrupt(chaos: Chaos, way: Callable[[Chaos], None], delay: float) -> KeyboardInterrupt | None:
    """Let a signal strike `delay` seconds into repeated uses of `way`; return what it raised."""
    try:
        repeat(chaos, way, delay)
    except KeyboardInterrupt as struck:
        return struck
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def repeat(chaos: Chaos, way: Callable[[Chaos], None], delay: float) -> None:
    deadline = time.monotonic() + 0.05
    signal.setitimer(signal.ITIMER_REAL, delay)
    while time.monotonic() < deadline:
        way(chaos)


def where(struck: KeyboardInterrupt) -> str:
    """Name the innermost function of ours that the interrupt struck."""
    place, trace = "elsewhere", struck.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        place = code.co_qualname if "pytest_resilience" in code.co_filename else place
        trace = trace.tb_next
    return place


def leftovers() -> list[int]:
    return [index for index, read in enumerate(WATCHED) if read() is not ORIGINALS[index]]


def main(wanted: int = 20_000, seed: int = 1) -> int:
    """Print what was struck and what was left; return 1 if any patch was."""
    rng = random.Random(seed)
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    places: Counter[str] = Counter()
    needed_sweep = left = rounds = struck_count = 0
    chaos = Chaos(SERVICES, seed=seed)
    while struck_count < wanted:
        rounds += 1
        if rounds % ROUNDS_PER_ENGINE == 0:
            chaos = Chaos(SERVICES, seed=rounds)
        struck = interrupt(chaos, rng.choice(WAYS), rng.uniform(0.000_001, LONGEST_DELAY))
        if struck is None:
            continue
        struck_count += 1
        places[where(struck)] += 1
        needed_sweep += bool(leftovers())
        chaos.sweep()
        left += bool(leftovers())
        if leftovers():
            LEDGER.sweep()
    signal.signal(signal.SIGALRM, previous)
    print(f"{struck_count} interrupts in {rounds} rounds, Python {sys.version.split()[0]}, seed {seed}")
    print(f"patched when the interrupt arrived at the caller: {needed_sweep}")
    print(f"patched after the next sweep: {left}; threads left: {threading.active_count() - 1}")
    print("struck most often: " + ", ".join(f"{name} {count}" for name, count in places.most_common(12)))
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
