"""One cascade: services fail, breakers are to hold it back, services heal, breakers are to close."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pytest_resilience.breakers.adapter import Adapter
from pytest_resilience.breakers.edge_watch import EdgeWatch
from pytest_resilience.breakers.flight import Way
from pytest_resilience.breakers.hands import Hands
from pytest_resilience.breakers.limits import MARGIN, MOST_CALLS
from pytest_resilience.breakers.modes import Calling, Health, Mode
from pytest_resilience.breakers.outages import NotApplicableError, Outage
from pytest_resilience.breakers.records import Cascade
from pytest_resilience.breakers.system import Round, System, run
from pytest_resilience.breakers.topology import Edge, calls_per_request, longest_chain
from pytest_resilience.units import format_duration

# Users ask this often within the open time of a breaker.
ROUNDS_PER_OPEN_TIME = 20
# What flaps is down and up for this share of the open time, so often.
FLAP_SHARE = 0.6
FLAPS = 3
# Services that come back cold may be overrun this often before they can take all calls.
RELAPSES = 12
# A longer open time than after so many failed probes is not waited for.
MOST_BACKOFFS = 4
NAMES_SHOWN = 5


class CascadeRun:
    """One cascade, run when it is made."""

    def __init__(
        self,
        outage: Outage,
        mode: Mode,
        breakers: Mapping[Edge, Adapter],
        time: Hands,
        calling: Calling,
        way: Way,
    ) -> None:
        self._traits = next(iter(breakers.values())).traits
        if reason := self._traits.lacks.get("half_open_recovery"):
            raise NotApplicableError(reason)
        self._outage = outage
        self._mode = mode
        self._time = time
        self._step = (1 + MARGIN) * self._traits.open_seconds / ROUNDS_PER_OPEN_TIME
        self._health = Health(outage.needs, mode, time, self._slow_seconds())
        attempts = calling.attempts(mode)
        self._system = System(
            outage.needs, breakers, self._health, time, attempts=attempts, fan_out=calling.fan_out, way=way
        )
        self._most_calls = attempts * (MOST_CALLS + 2 * self._traits.threshold * len(breakers))
        self._usual = calls_per_request(outage.needs, outage.entries)
        self._services_down = 0
        self._amplification = 0.0
        self._opened = 0
        self._overrun = False
        self._hurt: set[str] = set()
        self._healed_at: float | None = None
        self._answered_after: float | None = None
        self._closed_after: float | None = None
        self._half_open: list[Edge] = []
        run(self._story(), way, time)

    def _slow_seconds(self) -> float:
        """Return how long a call to what is slow takes: long enough to be slow, short enough to trip on."""
        slow = self._traits.slow_seconds
        return min(self._step, self._gap()) if slow is None else (1 + MARGIN) * slow

    def _gap(self) -> float:
        """Return the time between two requests that brings enough of them into a window of time."""
        window = self._traits.window_seconds
        return self._step if window is None else min(self._step, window / (4 * self._traits.threshold))

    @property
    def _watches(self) -> Mapping[Edge, EdgeWatch]:
        return self._system.watches

    async def _story(self) -> None:
        if self._mode.flapping:
            await self._flap()
        else:
            await self._go_down()
        self._opened = sum(watch.opened for watch in self._watches.values())
        if not self._let_through():
            self._closed_after = await self._heal()
        if self._closed_after is not None:
            self._half_open = await self._refusing_one_failure()

    # The outage

    async def _go_down(self) -> None:
        """Let requests fail until the breakers hold them back, and on until a probe has failed again."""
        self._health.break_down(self._outage.down)
        for _ in range(self._traits.threshold + 1):
            round_ = await self._suffer(self._gap())
            if not round_.entered or self._let_through():
                break
        for number in range(3 * ROUNDS_PER_OPEN_TIME):
            round_ = await self._suffer(self._step)
            if self._let_through() or (number > 2 * ROUNDS_PER_OPEN_TIME and round_.entered):
                break

    async def _flap(self) -> None:
        half = FLAP_SHARE * self._traits.open_seconds
        gap = min(self._gap(), half / (self._traits.threshold + 1))
        for number in range(2 * FLAPS - 1):
            self._health.break_down(() if number % 2 else self._outage.down)
            until = self._time.now() + half
            while self._time.now() < until and not self._let_through():
                await self._suffer(gap)

    async def _suffer(self, seconds: float) -> Round:
        """Send the requests of one moment into what is down, and note how far the damage goes."""
        round_ = await self._requests()
        lost = round_.failed | self._health.down
        self._services_down = max(self._services_down, len(lost))
        for edge, entries in round_.entered.items():
            if edge[1] in self._health.down:
                usual = self._usual[edge] * self._mode.load
                self._amplification = max(self._amplification, entries / max(1, usual))
        self._time.advance(seconds)
        return round_

    async def _requests(self) -> Round:
        self._health.begin_round()
        round_ = Round(self._most_calls)
        for _ in range(self._mode.load):
            for service in self._outage.entries:
                if not await self._system.request(service, round_):
                    self._hurt.add(service)
                elif self._healed_at is not None and self._answered_after is None and service in self._hurt:
                    self._answered_after = self._time.now() - self._healed_at
        self._overrun |= round_.overrun
        return round_

    # The heal

    async def _heal(self) -> float | None:
        """End the failures and drive every edge; return the seconds until all are closed, None if never."""
        self._health.come_back()
        healed = self._healed_at = self._time.now()
        for watch in self._watches.values():
            watch.answered_in_row = 0
        for _ in range(self._patience()):
            self._time.advance(self._step)
            round_ = await self._requests()
            for edge in self._watches.keys() - round_.attempted:
                await self._system.drive(edge, round_)
            if self._all_closed():
                return self._time.now() - healed
        return None

    def _all_closed(self) -> bool:
        wanted = self._traits.successes_to_close
        return all(watch.answered_in_row >= wanted for watch in self._watches.values())

    def _patience(self) -> int:
        """Return after how many rounds even breakers that had to wait for each other are closed."""
        traits = self._traits
        open_times = len(longest_chain(self._outage.needs)) + 1 + (RELAPSES if self._mode.cold else 0)
        growth = traits.backoff_factor**MOST_BACKOFFS
        if traits.backoff_cap is not None:
            growth = max(1.0, min(growth, traits.backoff_cap / traits.open_seconds))
        return int(open_times * ROUNDS_PER_OPEN_TIME * growth) + traits.successes_to_close

    async def _refusing_one_failure(self) -> list[Edge]:
        """Return the edges that answer, but are still half-open: one failure is enough to open them."""
        if self._traits.threshold == 1 or not self._traits.consecutive:
            return []
        return [edge for edge in self._watches if not await self._survives_failure(edge)]

    async def _survives_failure(self, edge: Edge) -> bool:
        failure = await self._system.call(edge, answers=False)
        return failure == "failed" and await self._system.call(edge, answers=True) == "answered"

    # What happened

    def record(self, kind: str, mode: str, max_services_down: int) -> Cascade:
        """Return what happened; a cascade that took down more services than that has failed."""
        watches = list(self._watches.values())
        problem = "; ".join(self._problems(max_services_down))
        detected = [watch.seconds_to_detect for watch in watches if watch.seconds_to_detect is not None]
        return Cascade(
            kind=kind,
            mode=mode,
            verdict="failed" if problem else "passed",
            services_down=self._services_down,
            opened=self._opened,
            edges=len(watches),
            seconds_to_closed=None if problem else self._closed_after,
            detail=self._told(problem),
            seconds_to_detect=max(detected, default=None),
            calls_wasted=sum(watch.wasted for watch in watches),
            calls_rejected=sum(watch.rejections for watch in watches),
            entered_while_open=sum(watch.entered_while_open for watch in watches),
            most_probes=max(watch.most_probes for watch in watches),
            amplification=self._amplification,
            seconds_to_first_answer=self._answered_after,
            flips=sum(watch.flips for watch in watches),
        )

    def _told(self, problem: str) -> str:
        story = (
            f"{self._mode.title} {_list(self._outage.down)}: "
            f"{self._opened} of {len(self._watches)} breakers opened, "
            f"{self._services_down} of {len(self._outage.needs)} services down"
        )
        return (
            f"{story}; {problem or f'all closed {format_duration(self._closed_after or 0)} after the heal'}"
        )

    def _problems(self, max_services_down: int) -> Iterator[str]:
        leaking = self._let_through()
        if silent := [edge for edge in leaking if not self._watches[edge].rejections]:
            yield f"still calling after {self._traits.threshold} failures: {_arrows(silent)}"
        if leaky := [edge for edge in leaking if self._watches[edge].rejections]:
            yield f"let calls in while open: {_arrows(leaky)}"
        if self._overrun and not leaking:
            yield f"one moment made more than {self._most_calls:,} calls"
        if innocent := [edge for edge, watch in self._watches.items() if watch.opened_without_failure]:
            yield f"opened without a failure behind them: {_arrows(innocent)}"
        if self._services_down > max_services_down:
            yield f"more services down at once than max_services_down={max_services_down}"
        if self._closed_after is None and not leaking:
            yield f"not every breaker let calls in again within {self._patience()} rounds after the heal"
        if self._half_open:
            yield f"never closed, one failure opened them again: {_arrows(self._half_open)}"

    def _let_through(self) -> list[Edge]:
        return [edge for edge, watch in self._watches.items() if watch.entered_while_open]


def _arrows(found: Iterable[Edge]) -> str:
    return _list([f"{service} -> {need}" for service, need in sorted(found)])


def _list(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
