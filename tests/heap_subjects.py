"""Code that leaks in different ways, for attribution to find: what holds what is known by its name here."""

import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

quotes: dict[int, dict[str, str]] = {}
prices: dict[str, float] = {}
lines: list[str] = []
recent: deque[bytearray] = deque()
ordered: OrderedDict[int, list[int]] = OrderedDict()
seen: set[tuple[int, ...]] = set()


class Node:
    """An element of a linked list."""

    def __init__(self, behind: "Node | None") -> None:
        self.behind = behind


class Slotted:
    """An instance without a namespace."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.kept: list[object] = []


class Shop:
    """Holds by an attribute of the class, of the instance, and by containers within."""

    everyone: list[object] = []

    def __init__(self) -> None:
        self.audit: list[object] = []
        self.by_game: dict[int, list[object]] = {}


class Thing:
    """What leaks."""


head: Node | None = None
shop = Shop()
slotted = Slotted()
routes: dict[str, Callable[[], object]] = {}
everlasting = Thing()
registry = {"north": {"main": Shop()}}


def leak_in_dict(number: int) -> None:
    quotes[number] = {"price": str(number)}


def leak_in_untracked_dict(number: int) -> None:
    prices[str(number)] = number * 1.5


def leak_in_list(number: int) -> None:
    lines.append(f"{number:080}")


def leak_in_deque(number: int) -> None:
    recent.append(bytearray(100))


def leak_in_ordered_dict(number: int) -> None:
    ordered[number] = [number]


def leak_in_set(number: int) -> None:
    seen.add((number, number))


def leak_in_linked_list(number: int) -> None:
    global head
    head = Node(head)


def leak_in_many_lists(number: int) -> None:
    shop.by_game.setdefault(number % 7, []).append(Thing())


def leak_in_instance(number: int) -> None:
    shop.audit.append(Thing())


def leak_in_slot(number: int) -> None:
    slotted.kept.append(Thing())


def leak_in_class(number: int) -> None:
    Shop.everyone.append(Thing())


def leak_in_deep_instance(number: int) -> None:
    registry["north"]["main"].audit.append(Thing())


@cache
def cached(number: int) -> list[int]:
    return [number]


def leak_in_cache(number: int) -> None:
    cached(number)


def leak_in_default(number: int, kept: list[object] = []) -> None:
    kept.append(Thing())


def make_closure() -> Callable[[int], None]:
    log: list[object] = []

    def leak_in_closure(number: int) -> None:
        log.append(Thing())

    return leak_in_closure


leak_in_closure = make_closure()


def route(app: dict[str, Callable[[], object]], number: int) -> None:
    """Make a function within a function, which an application keeps with what it has as a default."""

    def answer(thing: object = Thing()) -> object:
        return thing

    app[f"/{number}"] = answer


def leak_in_routes(number: int) -> None:
    route(routes, number)


def leak_in_finalizer(number: int) -> None:
    weakref.finalize(everlasting, farewell, number)


def farewell(number: int) -> None:
    pass


def collector() -> Iterator[None]:
    kept: list[object] = []
    while True:
        yield
        kept.append(Thing())


running = collector()
next(running)


def leak_in_generator(number: int) -> None:
    next(running)


def made_from_text(text: str) -> Callable[[], object]:
    """Make a function as a template engine does: it belongs to no module."""
    namespace: dict[str, Any] = {"Thing": Thing}
    exec(compile(text, "<template>", "exec"), namespace)
    made: Callable[[], object] = namespace.pop("root")
    return made


rendered = {"home": made_from_text("def root(kept=[]): kept.append(Thing())")}


def leak_in_template(number: int) -> None:
    rendered["home"]()


def hold_in_frame(ready: threading.Event, done: threading.Event, ids: list[int]) -> None:
    """Hold a list as a local variable of a running function, and nowhere else."""
    mine = [Thing()]
    ids.append(id(mine))
    ready.set()
    done.wait(30)


def wait_for(done: threading.Event) -> None:
    done.wait(30)


HOLDERS = {
    "leak_in_dict": ("dict", "heap_subjects.quotes"),
    "leak_in_untracked_dict": ("float", "heap_subjects.prices"),
    "leak_in_list": ("str", "heap_subjects.lines"),
    "leak_in_deque": ("bytearray", "heap_subjects.recent"),
    "leak_in_ordered_dict": ("list", "heap_subjects.ordered"),
    "leak_in_set": ("tuple", "heap_subjects.seen"),
    "leak_in_linked_list": ("heap_subjects.Node", "heap_subjects.head"),
    "leak_in_many_lists": ("heap_subjects.Thing", "heap_subjects.shop.by_game[…][…]"),
    "leak_in_instance": ("heap_subjects.Thing", "heap_subjects.shop.audit"),
    "leak_in_slot": ("heap_subjects.Thing", "heap_subjects.slotted.kept"),
    "leak_in_class": ("heap_subjects.Thing", "heap_subjects.Shop.everyone"),
    "leak_in_deep_instance": ("heap_subjects.Thing", "heap_subjects.registry['north']['main'].audit"),
    "leak_in_cache": ("list", "heap_subjects.cached"),
    "leak_in_default": ("heap_subjects.Thing", "heap_subjects.leak_in_default.<default>"),
    "leak_in_closure": (
        "heap_subjects.Thing",
        "heap_subjects.leak_in_closure.<closure>.log",
    ),
    "leak_in_routes": ("function", "heap_subjects.routes"),
    "leak_in_finalizer": ("weakref.finalize(…, heap_subjects.farewell)", "weakref.finalize._registry"),
    "leak_in_template": ("heap_subjects.Thing", "heap_subjects.rendered['home'].<default>"),
    "leak_in_generator": ("heap_subjects.Thing", "collector().<local>.kept"),
}
"""By the name of a leaking function: what leaks, and who holds it."""
