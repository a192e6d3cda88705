"""Toxics that swallow data, or end connections."""

from pytest_resilience.chaos.network.flows import Data, End
from pytest_resilience.chaos.network.stages import ToxicStage
from pytest_resilience.chaos.network.toxics import LimitData, ResetPeer, Timeout


class TimeoutStage(ToxicStage[Timeout]):
    """A black hole. A stream that lost bytes cannot go on: it stays one until the connection is closed."""

    _lost = False
    _ending: End | None = None

    def decide(self, hit: bool) -> None:
        self.hit = hit or self._lost
        if hit and self.toxic.timeout:
            self._wait_until(self._loop.time() + self.toxic.timeout, self._time_out)
        elif not self.hit:
            self._stop_waiting()

    def take(self, data: Data) -> None:
        if self.hit:
            self._lost = True
            self._touch(len(data))
        else:
            self.following.take(data)

    def end(self, how: End) -> None:
        if self.hit:
            self._touch(0)
            self._ending = how
        else:
            self.following.end(how)

    def release(self) -> None:
        super().release()
        if self._lost:
            self._site.connection.close()
        elif self._ending is not None:
            self.following.end(self._ending)

    def _time_out(self) -> None:
        self._touch(0)
        self._site.connection.close()


class ResetStage(ToxicStage[ResetPeer]):
    """Nothing happens to the data; the connection is reset in time."""

    def decide(self, hit: bool) -> None:
        if hit and self.toxic.timeout:
            self._wait_until(self._loop.time() + self.toxic.timeout, self._reset)
        elif hit:
            self._reset()

    def _reset(self) -> None:
        self._touch(0)
        self._site.connection.close(reset=True)


class LimitStage(ToxicStage[LimitData]):
    """Counts from where it is hit; what is beyond the limit never arrives."""

    _passed = 0
    _over = False

    def decide(self, hit: bool) -> None:
        if hit:
            self._passed = 0
        self.hit = hit

    def take(self, data: Data) -> None:
        if self._over:
            return
        if not self.hit:
            self.following.take(data)
            return
        allowed = self.toxic.bytes - self._passed
        self._passed += len(data)
        if allowed > 0:
            self.following.take(data[:allowed])
        if self._passed >= self.toxic.bytes:
            self._over = True
            self._touch(max(0, len(data) - allowed))
            self.following.end(End.CLOSE)

    def end(self, how: End) -> None:
        if not self._over:
            self.following.end(how)
