"""What the runner itself costs per iteration, around a suite that does nothing: bare, watched, and paced.

Runs are interleaved; medians of CPU time are shown, and the share of a trivial iteration of pytest's own
protocol (about 160 µs, see bench_loop.py).

Run: python tests/benchmarks/bench_runner.py [--repetitions 9] [--count 60000]
"""

import argparse
import statistics
import time

from pytest_resilience.clock import SystemClock
from pytest_resilience.rates import parse_rate
from pytest_resilience.soak import messages
from pytest_resilience.soak.limits import Limit
from pytest_resilience.soak.link import Loopback
from pytest_resilience.soak.outcome import Outcome, Status
from pytest_resilience.soak.pacing import NO_LIMIT, Load
from pytest_resilience.soak.runner import Runner
from pytest_resilience.soak.watchdog import Watchdog
from pytest_resilience.soak.world import World
from pytest_resilience.store.records import Hang

TRIVIAL_MICROSECONDS = 160
TOO_FAST = Load(parse_rate("0s: 1000000/s, 1h: 2000000/s"))
"""So that the runner never waits: what is left is what pacing costs."""


class Nothing:
    """A suite of one test that does nothing."""

    tests = ("test_a.py::test",)
    outcome = Outcome(Status.PASSED, 0.0001)

    def run(self, test: str, following: str) -> Outcome:
        return self.outcome


class Calm:
    """Has nothing to rescue."""

    watchdog: Watchdog | None = None
    last_resort = "it is left"

    def is_debugged(self) -> bool:
        return False

    def stacks(self) -> str:
        return ""

    def interrupt(self) -> None:
        """Nothing hangs."""

    def give_up(self, hang: Hang) -> None:
        """Nothing hangs."""


def measure(count: int, *, watched: bool, load: Load) -> float:
    """Return the CPU microseconds per iteration."""
    end, conductor = Loopback.pair()
    conductor.attach(lambda message: None)
    clock = SystemClock()
    origin = clock.now()

    def between() -> None:
        if runner.iterations >= count:
            runner.receive(messages.Stop())

    runner = Runner(
        Nothing(),
        World(),
        end,
        clock=clock,
        origin=origin,
        seed=1,
        tasks={},
        between=between,
        load=load,
    )
    watchdog = Watchdog(
        Limit(300.0),
        clock=clock,
        origin=origin,
        calm_since=runner.calm_since,
        owner=runner.owner,
        rescue=Calm(),
        keep=lambda hang: None,
    )
    if watched:
        runner.watchdog = watchdog
        watchdog.start()
    began = time.process_time()
    runner.run()
    took = time.process_time() - began
    watchdog.stop()
    return took / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--count", type=int, default=60_000)
    options = parser.parse_args()
    kinds = {"bare": (False, NO_LIMIT), "watched": (True, NO_LIMIT), "paced": (False, TOO_FAST)}
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(options.repetitions):
        for name, (watched, load) in kinds.items():
            found[name].append(measure(options.count, watched=watched, load=load))
    bare = statistics.median(found["bare"])
    print(f"{'':10}{'µs':>8}{'more':>8}{'of a trivial iteration':>26}")
    for name, values in found.items():
        more = statistics.median(values) - bare
        print(f"{name:10}{bare + more:8.2f}{more:8.2f}{more / TRIVIAL_MICROSECONDS:26.1%}")


if __name__ == "__main__":
    main()
