"""What a breaker under test shows to the checks, whichever library made it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Literal, TypeAlias, get_args

from pytest_resilience.breakers.hands import Hands
from pytest_resilience.errors import ResilienceError, did_you_mean, requirement

State: TypeAlias = Literal["closed", "open", "half_open"]

Effect: TypeAlias = Literal["success", "failure", "neutral"]
"""What a call counts as: a neutral one neither opens nor closes, and gives its place in half-open back."""

Capability: TypeAlias = Literal[
    "call",
    "call_async",
    "generate",
    "generate_async",
    "wrap",
    "force_closed",
    "force_open",
    "force_half_open",
    "listen",
    "judge_by",
    "set_open_seconds",
    "zero_open_seconds",
]
"""What an adapter can do beside telling its traits: the names of its methods, `force` by each state."""

CAPABILITIES = frozenset(get_args(Capability))

Dependency: TypeAlias = Callable[[], object]
AsyncDependency: TypeAlias = Callable[[], Awaitable[object]]
Stream: TypeAlias = Callable[[], Iterator[object]]
AsyncStream: TypeAlias = Callable[[], AsyncIterator[object]]


class CapabilityError(ResilienceError):
    """A check asked for what the adapter of a breaker cannot do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """How a breaker is set up, what it promises, and what it cannot do. Times in seconds, shares 0 to 1.

    Args:
        threshold: failing calls in a row that open it while it is new (of a rate: its least number of calls).
        open_seconds: how long it rejects before it lets a probe in.
        successes_to_close: successful probes in a row that close it.
        failures_to_reopen: failing probes in a row, from the start of half-open, that open it again.
        half_open_limit: calls that half-open lets in at the same time, None for all that come.
        consecutive: one success starts the count of failures anew.
        error_rate, window_calls, window_seconds: the share of failures that opens it, among how many of the
            last calls or calls of how many last seconds; None for what it does not have.
        slow_seconds, slow_rate: from when on a call is slow, and the share of slow calls that opens it.
        backoff_factor, backoff_cap: by what the open time grows after each failed probe, and up to where.
        failure, ignored: an error type that counts as a failure; one that does not, None if all count.
        ignored_counts, cancelled_counts, base_exception_counts: as what such a call counts according to the
            library's documentation; None where it says nothing.
        forced_open_stays: forced open, it lets no probe in however long one waits.
        clocks: the hands that it reads: wall, monotonic or both.
        can: what its adapter can do.
        lacks: scenarios and hazards that do not apply to it, each with the reason.
        remark: what was checked differently from how it is used, or empty.
    """

    threshold: int
    open_seconds: float
    successes_to_close: int = 1
    failures_to_reopen: int = 1
    half_open_limit: int | None = None
    consecutive: bool = True
    error_rate: float | None = None
    window_calls: int | None = None
    window_seconds: float | None = None
    slow_seconds: float | None = None
    slow_rate: float | None = None
    backoff_factor: float = 1.0
    backoff_cap: float | None = None
    failure: type[Exception] = ConnectionError
    ignored: type[Exception] | None = None
    ignored_counts: Effect | None = None
    cancelled_counts: Effect | None = None
    base_exception_counts: Effect | None = None
    forced_open_stays: bool = False
    clocks: frozenset[Literal["wall", "monotonic"]] = frozenset(("monotonic",))
    can: frozenset[Capability] = frozenset(("call",))
    lacks: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    remark: str = ""

    def __post_init__(self) -> None:
        for name in ("threshold", "successes_to_close", "failures_to_reopen"):
            if getattr(self, name) < 1:
                raise ResilienceError(requirement(f"Traits.{name}", "at least 1", getattr(self, name)))
        if not {"call", "call_async"} & self.can:
            allowed = "a set with 'call' or 'call_async' in it"
            fix = "Implement Adapter.call or Adapter.call_async."
            raise ResilienceError(requirement("Traits.can", allowed, set(self.can), fix))
        for name in self.can:
            if name not in CAPABILITIES:
                hint = did_you_mean(name, CAPABILITIES)
                raise ResilienceError(requirement("Traits.can", "a set of known capabilities", name, hint))


class Adapter:
    """A breaker as the checks use it. A library's own has `traits` and the methods of what it `can`."""

    traits: Traits

    def call(self, dependency: Dependency) -> object:
        """Call `dependency` through the breaker; raise if it fails or is rejected."""
        raise self._cannot("call")

    def call_async(self, dependency: AsyncDependency) -> Awaitable[object]:
        """Call a coroutine function through the breaker."""
        raise self._cannot("call_async")

    def generate(self, stream: Stream) -> Iterator[object]:
        """Call a generator function through the breaker."""
        raise self._cannot("generate")

    def generate_async(self, stream: AsyncStream) -> AsyncIterator[object]:
        """Call an async generator function through the breaker."""
        raise self._cannot("generate_async")

    def wrap(self, function: Callable[[], object]) -> Callable[[], object]:
        """Decorate any function, a coroutine function too, as users of the library do."""
        raise self._cannot("wrap")

    def force(self, state: State) -> None:
        """Bring it into `state` by hand."""
        raise self._cannot(f"force_{state}")

    def listen(self, listener: Callable[[str], None]) -> None:
        """Let the library tell `listener` of its events, each by a name; what it raises must go through."""
        raise self._cannot("listen")

    def judge_by(self, ignore: Callable[[BaseException], bool]) -> None:
        """Let the library ask `ignore` whether an error is none of the breaker's concern."""
        raise self._cannot("judge_by")

    def set_open_seconds(self, seconds: float) -> None:
        """Change how long it rejects, for checks that really wait."""
        raise self._cannot("set_open_seconds")

    def zero_open_seconds(self) -> "Adapter":
        """Make another breaker whose open time is set up as 0; raise ValueError if the library refuses it."""
        raise self._cannot("zero_open_seconds")

    def handed_out(self, made: object) -> object:
        """Return what a test of the user's calls, as the user set it up; `made` is what was borrowed."""
        return made

    def _cannot(self, capability: str) -> CapabilityError:
        method = "force" if capability.startswith("force_") else capability
        return CapabilityError(
            f"{type(self).__name__} cannot {capability!r}. Implement {type(self).__name__}.{method} "
            f"and name {capability!r} in its traits' can."
        )


@dataclass(frozen=True, slots=True)
class Library:
    """A library whose breakers can be checked.

    Args:
        name: its distribution, as pip knows it.
        owns: tells whether an object is one of its breakers.
        lend: gives the adapter of a breaker, closed and fresh, on the time of the hands; what must be undone
            is registered before it is done. The breaker must be the same object, not a copy.
        twin: an independent closed breaker with the settings of another.
        clocks: the modules whose clocks are moved while its breakers are checked; none if it takes a clock.
    """

    name: str
    owns: Callable[[object], bool]
    lend: Callable[[object, Hands, ExitStack], Adapter]
    twin: Callable[[object], object]
    clocks: tuple[ModuleType, ...] = ()
