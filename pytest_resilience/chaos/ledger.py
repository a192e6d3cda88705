"""The ledger of this process: which taps are attached to which function, and the way back.

Every change is "write down who is attached, then make the function agree with what is written". An interrupt
between the two leaves a function that disagrees, never a lost original; the next change of it, or `sweep`,
settles it. No step takes a lock: undo may run in a signal handler, at exit, or beside other threads.
"""

from dataclasses import dataclass, field
from types import FunctionType
from weakref import ref

from pytest_resilience.chaos.natives import Slot
from pytest_resilience.chaos.taps import Tap
from pytest_resilience.chaos.trampoline import weave

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line


@dataclass(slots=True)
class _Entry:
    slot: Slot | None
    taps: dict[Tap, None] = field(default_factory=dict)


class Ledger:
    """Attaches taps to functions and detaches them, in any order, from any thread."""

    def __init__(self) -> None:
        self._entries: dict[ref[FunctionType], _Entry] = {}

    def attach(self, function: FunctionType, slot: Slot | None, tap: Tap) -> None:
        """Let `tap` be asked at each call of `function` (the stand-in of `slot`, for a native)."""
        entry = self._entries.setdefault(ref(function, self._forget), _Entry(slot))
        entry.taps[tap] = None
        _settle(function, entry)

    def detach(self, function: FunctionType, tap: Tap) -> None:
        """Undo `attach`; doing it again, or without it, changes nothing."""
        entry = self._entries.get(ref(function))
        if entry is not None:
            entry.taps.pop(tap, None)
            _settle(function, entry)

    def sweep(self) -> int:
        """Detach everything from every function; return how many taps that were."""
        swept = 0
        for reference, entry in tuple(self._entries.items()):
            swept += len(entry.taps)
            entry.taps.clear()
            if (function := reference()) is not None:
                _settle(function, entry)
        return swept

    def _forget(self, dead: "ref[FunctionType]") -> None:
        self._entries.pop(dead, None)


LEDGER = Ledger()
"""Functions belong to the process, not to one engine, and so does the ledger of what is attached to them."""


def _settle(function: FunctionType, entry: _Entry) -> None:
    """Make the function agree with its entry, again if another thread changed the entry meanwhile."""
    while True:
        taps = tuple(entry.taps)
        code = weave(function, taps)
        if function.__code__ is not code:
            function.__code__ = code
        if entry.slot is not None:
            entry.slot.take() if taps else entry.slot.give_back()
        if taps == tuple(entry.taps):
            return
