"""Toxics that delay: what waits goes on in order, whether it is still hit or not.

What waits is bounded: while a stage is full, nothing more is read.
"""

from collections import deque

from pytest_resilience.chaos.network.backlog import PIECE_WEIGHT, Backlog
from pytest_resilience.chaos.network.flows import Data, End
from pytest_resilience.chaos.network.stages import Site, ToxicStage, ToxicT
from pytest_resilience.chaos.network.toxics import Bandwidth, Latency, Slicer, SlowClose

MOST_DELAYED = 8 * 1024 * 1024
"""Bytes of memory that one direction of a connection takes at most for what is late."""

MOST_QUEUED = 256 * 1024
"""Bytes of memory for what waits because the way is narrow."""

TICK_SECONDS = 0.01
"""A narrow way lets through at once what passes in this time, and not more."""

CREDIT_SECONDS = 0.001
"""After a rest, as much passes at once as in this time: timers are not finer."""

SLICES_AT_ONCE = 64
"""Slices without a delay between them; then others have their turn."""


class LatencyStage(ToxicStage[Latency]):
    """Everything waits for its own time, and never overtakes."""

    def __init__(self, toxic: Latency, site: Site) -> None:
        super().__init__(toxic, site)
        self._held: deque[tuple[float, Data | End]] = deque()
        self._weight = 0

    @property
    def full(self) -> bool:
        return self._weight >= MOST_DELAYED

    def take(self, data: Data) -> None:
        if self.hit:
            self._touch(len(data))
            self._hold(self._loop.time() + self._delay(), bytes(data))
        elif self._held:
            self._hold(0.0, bytes(data))
        else:
            self.following.take(data)

    def end(self, how: End) -> None:
        if self._held:
            self._hold(0.0, how)
        else:
            self.following.end(how)

    def release(self) -> None:
        super().release()
        while self._held:
            self._pass_on()

    def discard(self) -> None:
        super().discard()
        self._held.clear()
        self._weight = 0

    def _delay(self) -> float:
        jitter = self.toxic.jitter
        return self.toxic.latency + (jitter * (2 * self._site.draw() - 1) if jitter else 0.0)

    def _hold(self, due: float, what: Data | End) -> None:
        last = self._held[-1][0] if self._held else 0.0
        self._held.append((max(due, last), what))
        self._weight += 0 if isinstance(what, End) else len(what) + PIECE_WEIGHT
        self._wait_until(self._held[0][0], self._pass_on_due)

    def _pass_on_due(self) -> None:
        now = self._loop.time()
        while self._held and self._held[0][0] <= now:
            self._pass_on()
        if self._held:
            self._wait_until(self._held[0][0], self._pass_on_due)
        self._site.flow.balance()

    def _pass_on(self) -> None:
        _, what = self._held.popleft()
        if isinstance(what, End):
            self.following.end(what)
        else:
            self._weight -= len(what) + PIECE_WEIGHT
            self.following.take(what)


class QueueStage(ToxicStage[ToxicT]):
    """What does not pass yet waits in one queue, with the end behind it."""

    def __init__(self, toxic: ToxicT, site: Site) -> None:
        super().__init__(toxic, site)
        self._queue = Backlog()
        self._ending: End | None = None

    @property
    def full(self) -> bool:
        return self._queue.weight >= MOST_QUEUED

    def take(self, data: Data) -> None:
        if self.hit or self._queue.size:
            self._queue.append(data)
            if self._timer is None:
                self._serve(waited=False)
        else:
            self.following.take(data)

    def end(self, how: End) -> None:
        if self._queue.size:
            self._ending = how
        else:
            self.following.end(how)

    def release(self) -> None:
        super().release()
        while self._queue.size:
            self.following.take(self._queue.take(MOST_QUEUED))
        self._end_if_asked()

    def discard(self) -> None:
        super().discard()
        self._queue.clear()
        self._ending = None

    def _serve(self, *, waited: bool) -> None:
        """Let pass what may, and wait for the rest; tell whether it waited for its turn."""
        raise NotImplementedError

    def _resume(self) -> None:
        self._serve(waited=True)
        self._site.flow.balance()

    def _end_if_asked(self) -> None:
        if self._ending is not None and not self._queue.size:
            how, self._ending = self._ending, None
            self.following.end(how)


class BandwidthStage(QueueStage[Bandwidth]):
    """The way is busy for as long as each byte takes; a byte arrives when it has passed."""

    def __init__(self, toxic: Bandwidth, site: Site) -> None:
        super().__init__(toxic, site)
        self._busy_until = 0.0

    def _serve(self, *, waited: bool) -> None:
        rate, now = self.toxic.rate, self._loop.time()
        if not waited:
            self._busy_until = max(self._busy_until, now - CREDIT_SECONDS)
        allowed = int((now - self._busy_until) * rate)
        while allowed > 0 and self._queue.size:
            data = self._queue.take(allowed)
            allowed -= len(data)
            self._busy_until += len(data) / rate
            if waited:
                self._touch(len(data))
            self.following.take(data)
        self._end_if_asked()
        if self._queue.size:
            portion = min(self._queue.size, max(1.0, rate * TICK_SECONDS))
            self._wait_until(self._busy_until + portion / rate, self._resume)


class SlicerStage(QueueStage[Slicer]):
    """Cuts at places that depend on the seed and on how many bytes passed, however they came in."""

    def __init__(self, toxic: Slicer, site: Site) -> None:
        super().__init__(toxic, site)
        self._left = 0
        self._due = 0.0
        self._cutting = False

    def _serve(self, *, waited: bool) -> None:
        for _ in range(SLICES_AT_ONCE):
            if not self._queue.size or self._loop.time() < self._due:
                break
            self._pass_slice(waited)
        self._end_if_asked()
        if self._queue.size:
            self._wait_until(self._due, self._resume)

    def _pass_slice(self, waited: bool) -> None:
        if not self._left:
            self._left = self._drawn_size()
        data = self._queue.take(self._left)
        self._left -= len(data)
        if not self._left:
            self._due = self._loop.time() + self.toxic.delay
        self._cutting = self._cutting or bool(self._queue.size)
        if waited or self._cutting:
            self._touch(len(data))
        if not self._queue.size:
            self._cutting = False
        self.following.take(data)

    def _drawn_size(self) -> int:
        spread = self.toxic.size_variation
        shift = int(self._site.draw() * (2 * spread + 1)) - spread if spread else 0
        return self.toxic.average_size + shift


class SlowCloseStage(ToxicStage[SlowClose]):
    """Only the end waits."""

    _ending: End | None = None

    def end(self, how: End) -> None:
        if self.hit and how is End.FIN:
            self._touch(0)
            self._ending = how
            self._wait_until(self._loop.time() + self.toxic.delay, self.release)
        else:
            self.following.end(how)

    def release(self) -> None:
        super().release()
        if self._ending is not None:
            how, self._ending = self._ending, None
            self.following.end(how)
