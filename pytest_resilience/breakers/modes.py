"""How services fail in a cascade, how requests come meanwhile, and how the services come back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.topology import Needs
from pytest_resilience.errors import ResilienceError, did_you_mean, requirement
from pytest_resilience.option_values import FAN_OUTS, MOST_RETRIES


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to fail.

    Args:
        title: how a report begins to tell of it.
        slow: a call to what is down takes time before it fails, as when its client gives up.
        flapping: what is down comes back and goes down again, three times.
        retries: each caller tries at least this often again.
        load: requests that come at once.
        cold: what comes back takes one call per round first, and twice as many after each round of work.
    """

    title: str
    slow: bool = False
    flapping: bool = False
    retries: int = 0
    load: int = 1
    cold: bool = False


MODES: Mapping[str, Mode] = MappingProxyType(
    {
        "outage": Mode("outage of"),
        "slow": Mode("time-outs of", slow=True),
        "flapping": Mode("flapping of", flapping=True),
        "retry_storm": Mode("retry storm on", retries=3),
        "heal_under_load": Mode("outage under load of", load=5, cold=True),
    }
)


@dataclass(frozen=True, slots=True)
class Calling:
    """How services call what they need: all at once or in turn, and how often again after a failure."""

    fan_out: str = "parallel"
    retries: int = 0

    def __post_init__(self) -> None:
        if self.fan_out not in FAN_OUTS:
            hint = did_you_mean(str(self.fan_out), FAN_OUTS)
            raise ResilienceError(
                requirement("fan_out", "one of 'in_turn' and 'parallel'", self.fan_out, hint)
            )
        whole = isinstance(self.retries, int) and not isinstance(self.retries, bool)
        if not (whole and 0 <= self.retries <= MOST_RETRIES):
            allowed = f"a whole number from 0 to {MOST_RETRIES}"
            raise ResilienceError(requirement("retries", allowed, self.retries))

    def attempts(self, mode: Mode) -> int:
        """Return how often a caller tries before it gives up."""
        return 1 + max(self.retries, mode.retries)


def read_modes(modes: Iterable[str] | None) -> tuple[str, ...]:
    """Return the names of failure modes, all of them for None; raise ResilienceError for an unknown one."""
    if modes is None:
        return tuple(MODES)
    if isinstance(modes, str):
        raise ResilienceError(requirement("modes", "a list of failure modes", modes, f"Write [{modes!r}]."))
    names = tuple(dict.fromkeys(modes))
    for name in names:
        if name not in MODES:
            hint = did_you_mean(str(name), MODES)
            raise ResilienceError(requirement("Each of modes", "a failure mode", name, hint))
    if not names:
        raise ResilienceError(requirement("modes", "at least one failure mode", [], did_you_mean("", MODES)))
    return names


class Health:
    """Which services are down, and what a call to one of them meets."""

    def __init__(self, needs: Needs, mode: Mode, time: Hands, slow_seconds: float) -> None:
        self.down: frozenset[str] = frozenset()
        self._mode = mode
        self._time = time
        self._slow_seconds = slow_seconds
        self._calls = dict.fromkeys(needs, 0)
        self._capacity: dict[str, int] = {}

    def break_down(self, services: Iterable[str]) -> None:
        """Let exactly these services be down."""
        self.down = frozenset(services)

    def come_back(self) -> None:
        """Let all services be up again, those that were down cold if the mode says so."""
        if self._mode.cold:
            self._capacity = dict.fromkeys(self.down, 1)
        self.down = frozenset()

    def begin_round(self) -> None:
        """Let what has worked in the last round take more in the next."""
        self._capacity = {
            service: capacity * 2 if self._calls[service] else capacity
            for service, capacity in self._capacity.items()
        }
        self._calls = dict.fromkeys(self._calls, 0)

    def answers(self, service: str, began: float) -> bool:
        """Tell whether `service` itself can work on a call that began then; time may pass meanwhile."""
        self._calls[service] += 1
        if service in self.down:
            if self._mode.slow:
                self._time.advance(max(0.0, began + self._slow_seconds - self._time.now()))
            return False
        return self._calls[service] <= self._capacity.get(service, self._calls[service])
