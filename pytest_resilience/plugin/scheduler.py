"""A scheduler of pytest-xdist that schedules nothing: the workers of a soak loop by themselves."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Node(Protocol):
    """What is needed of xdist's WorkerController."""

    gateway: Any
    workerinput: dict[str, Any]

    def ensure_teardown(self) -> None:
        """End the connection."""

    def notify_inproc(self, eventname: str, **kwargs: object) -> None:
        """Put an event into xdist's queue."""


class StandingScheduler:
    """Says when all is over, and gives our own threads turns on the main thread.

    xdist's loop waits for events of workers, and looks at `tests_finished` after each. An `unscheduled` of no
    test at all, sent by `ask_for_turn`, is such an event; it ends in `turn`.
    """

    has_pending = False

    def __init__(self, is_over: Callable[[], bool], turn: Callable[[], None]) -> None:
        self._is_over, self._turn = is_over, turn
        self._collections = 0
        self.nodes: list[Node] = []

    @staticmethod
    def ask_for_turn(node: Node) -> None:
        """Have `turn` called on the main thread; on any thread."""
        node.notify_inproc("unscheduled", node=node, indices=())

    def remove_pending_tests_from_node(self, node: Node, indices: Sequence[int]) -> None:
        """Take the turn that was asked for."""
        self._turn()

    @property
    def tests_finished(self) -> bool:
        return self._is_over()

    @property
    def collection_is_completed(self) -> bool:
        return self._collections >= len(self.nodes)

    def add_node(self, node: Node) -> None:
        self.nodes.append(node)

    def add_node_collection(self, node: Node, collection: Sequence[str]) -> None:
        self._collections += 1

    def remove_node(self, node: Node) -> None:
        """Let a worker go; there is never a test that it has left undone."""
        if node not in self.nodes:
            raise KeyError(node)
        self.nodes.remove(node)

    def mark_test_complete(self, node: Node, item_index: int, duration: float = 0) -> None:
        """No test was given to a worker."""

    def mark_test_pending(self, item: str) -> None:
        """No test waits for a worker."""

    def schedule(self) -> None:
        """The workers need not be told anything."""
