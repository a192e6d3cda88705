"""The doorkeeper: turns a proxy's doors as its toxics ask, and counts who knocks meanwhile."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TypeAlias

from pytest_resilience.chaos.network.connections import Occasions
from pytest_resilience.chaos.network.doors import Door, Mode, TcpDoor
from pytest_resilience.chaos.network.knocks import (
    INVISIBLE,
    MACHINE_WIDE,
    Estimate,
    Listener,
    Lookout,
    Refusals,
)
from pytest_resilience.chaos.network.wires import Poller

Knocked: TypeAlias = Callable[[int], None]
"""Is told how many more clients were turned away."""


class Doorkeeper:
    """Refusing goes before ignoring; with neither the doors are open."""

    def __init__(self, poller: Poller, occasions: Occasions) -> None:
        self._poller = poller
        self._occasions = occasions
        self._doors: list[Door] = []
        self._asked: list[tuple[Mode, Knocked]] = []
        self._mode: Mode = "open"
        self._knocks: Listener | Lookout | None = None
        self._undo = ExitStack()

    def add(self, door: Door) -> None:
        self._doors.append(door)
        self._undo.callback(door.close)

    @property
    def doubt(self) -> str:
        """Say what is wrong with how clients that are refused are counted now; empty if nothing."""
        if isinstance(self._knocks, Listener):
            return ""
        return MACHINE_WIDE if isinstance(self._knocks, Refusals) else INVISIBLE

    def hold(self, mode: Mode, knocked: Knocked) -> None:
        """Turn away all clients that come, until `let`; who came before gets in."""
        self.look()
        self._asked.append((mode, knocked))
        self._turn()

    def let(self, mode: Mode, knocked: Knocked) -> None:
        """Take a `hold` back."""
        self.look()
        self._asked.remove((mode, knocked))
        self._turn()

    def look(self) -> None:
        """Count those who knocked until now."""
        if self._knocks is not None:
            self._knocks.look()

    def close(self) -> None:
        """Close all doors; doing it again changes nothing."""
        self._stop_counting()
        self._doors.clear()
        self._undo.close()

    def _turn(self) -> None:
        modes = [mode for mode, _ in self._asked]
        mode: Mode = next((one for one in ("refusing", "ignoring") if one in modes), "open")
        if mode == self._mode:
            return
        self._stop_counting()
        self._mode = mode
        for door in self._doors:
            door.turn(mode)
        self._count()

    def _count(self) -> None:
        """Count from now on; before, somebody may still have come in."""
        doors = [door for door in self._doors if isinstance(door, TcpDoor)]
        if self._mode == "open" or not doors:
            return
        try:
            self._knocks = Listener(self._poller, doors[0].port, self._found)
        except OSError:
            self._knocks = self._count_without_packets(doors)

    def _count_without_packets(self, doors: Sequence[TcpDoor]) -> Lookout | None:
        if self._mode == "ignoring":
            return Estimate(self._poller, doors, self._found)
        with suppress(OSError):
            return Refusals(self._poller, self._found)
        return None

    def _stop_counting(self) -> None:
        if self._knocks is not None:
            self._knocks.close()
            self._knocks = None

    def _found(self, clients: int) -> None:
        self._occasions.count += clients
        for mode, knocked in tuple(self._asked):
            if mode == self._mode:
                knocked(clients)
