"""What is read at each sample, at each checkpoint, and only when its cost allows it."""

import gc
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from pytest_resilience.memory.paced import Paced
from pytest_resilience.memory.processes import OutsideSignals, WatchedProcess
from pytest_resilience.memory.signals import Signals, Whole

Counts: TypeAlias = Mapping[str, int | None]

HEAP_SHARE, COUNT_SHARE, RARE_SHARE = 0.0003, 0.0002, 0.0001
"""Of one core, that reading one signal may cost: with the thread itself they stay below half a hundredth."""

OUTSIDE_SHARE = 0.001
"""The same for the counts of a watched process and the memory of its children."""

SHARES: Mapping[str, float] = MappingProxyType(
    {
        "malloc_used": HEAP_SHARE,
        "blocks": HEAP_SHARE,
        "fds": COUNT_SHARE,
        "threads": COUNT_SHARE,
        "children": COUNT_SHARE,
        "children_pss": RARE_SHARE,
        "cgroup_used": RARE_SHARE,
    }
)


class OwnReader:
    """Reads this process: sizes at every sample, the other signals less often the more they cost."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._paced = [(name, Paced[int](getattr(signals, name), share)) for name, share in SHARES.items()]
        self._whole = Paced(signals.whole, RARE_SHARE)
        self._system = Paced(signals.system_percent, RARE_SHARE)

    def sample(self, now: float) -> Counts:
        """Return what is due `now` (seconds)."""
        counts = {name: paced.read(now) for name, paced in self._paced}
        return {**counts, **self._sizes(), **_parts(self._whole.read(now))}

    def checkpoint(self, now: float) -> Counts:
        """Return every signal, containers too; USS and PSS only if they are due."""
        signals = self._signals
        counts = {name: getattr(signals, name)() for name in SHARES}
        objects = {"gc_objects": signals.gc_objects(), "uncollectable": signals.uncollectable()}
        return {**counts, **objects, **self._sizes(), **_parts(self._whole.read(now))}

    def settled(self) -> Mapping[str, int]:
        """Return the sizes that an iteration may leave something in, after a garbage collection."""
        gc.collect()
        signals = self._signals
        read = {"malloc_used": signals.malloc_used(), "blocks": signals.blocks(), "fds": signals.fds()}
        counts = {**read, "gc_objects": signals.gc_objects()}
        return {name: count for name, count in counts.items() if count is not None}

    def system_percent(self, now: float) -> float | None:
        """Return how full the machine's memory is, if that is due."""
        return self._system.read(now)

    def _sizes(self) -> Counts:
        sizes = self._signals.sizes()
        return {"rss": sizes.rss, "vms": sizes.vms, "shared": sizes.shared}


class OutsideReader:
    """Reads a watched process, whichever it is now.

    Args:
        complain: is told once if the process cannot be found, because a user's function raises.
        open_process: returns what reads a pid.
    """

    def __init__(
        self,
        watched: WatchedProcess,
        complain: Callable[[str], None],
        open_process: Callable[[int], OutsideSignals] = OutsideSignals,
    ) -> None:
        self.name = watched.name
        self._target, self._complain = watched, complain
        self._find = Paced(self._look, COUNT_SHARE)
        self._complained = False
        self._open = open_process
        self._signals: OutsideSignals | None = None
        self._counts: Paced[Counts]
        self._children: Paced[int]
        self._whole: Paced[Whole]

    @property
    def pid(self) -> int:
        """Of the process that was read last; 0 before one was found."""
        return self._signals.pid if self._signals else 0

    def sample(self, now: float) -> Counts | None:
        """Return what is due `now` (seconds); None while the process does not run."""
        self._follow(now)
        sizes = self._signals.sizes() if self._signals else None
        if sizes is None or not sizes.rss:  # a zombie has no memory
            self._signals = None
            return None
        return {
            "rss": sizes.rss,
            "vms": sizes.vms,
            "shared": sizes.shared,
            "children_pss": self._children.read(now),
            **(self._counts.read(now) or {}),
            **_parts(self._whole.read(now)),
        }

    def _follow(self, now: float) -> None:
        """Notice that another process runs under this name, as after a restart."""
        pid = self._find.read(now)
        if pid is not None and pid != self.pid:
            self._signals = signals = self._open(pid)
            self._counts = Paced(signals.counts, OUTSIDE_SHARE)
            self._children = Paced(signals.children_pss, OUTSIDE_SHARE)
            self._whole = Paced(signals.whole, RARE_SHARE)

    def _look(self) -> int | None:
        try:
            return self._target.find()
        except Exception as error:  # it is the user's, and must not end the sampler
            if not self._complained:
                self._complained = True
                self._complain(f"process {self.name!r} cannot be found: {type(error).__name__}: {error}")
            return None


def _parts(whole: Whole | None) -> Counts:
    return {"uss": whole.uss, "pss": whole.pss} if whole else {}
