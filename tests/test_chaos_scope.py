"""A fault with a scope hits the task that injected it and what it starts, and nobody else."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import chaos_subjects as subjects
import pytest
import trio
from chaos_arming import ALWAYS, armed

from pytest_resilience.chaos.counting import AtomicCounter
from pytest_resilience.chaos.faults import Raise
from pytest_resilience.chaos.scope import _ENTERED, Scope
from pytest_resilience.chaos.triggers import nth

FETCH = "chaos_subjects:Client.fetch"
FETCH_ASYNC = "chaos_subjects:Client.fetch_async"
REFUSED = Raise([ConnectionRefusedError])


def is_hit() -> bool:
    try:
        subjects.bound_fetch("g")
    except ConnectionError:
        return True
    return False


def in_thread(call: Callable[[], bool]) -> bool:
    """Run in a plain thread, which begins with an empty context."""
    results: list[bool] = []
    thread = threading.Thread(target=lambda: contextvars.Context().run(lambda: results.append(call())))
    thread.start()
    thread.join()
    return results[0]


def test_a_scope_holds_the_context_that_entered_it_until_it_is_left() -> None:
    """Entering, leaving and asking, in one thread."""
    scope = Scope()
    assert not scope.contains_current()
    assert scope.enter() is scope
    assert scope.contains_current()
    scope.leave()
    scope.leave()
    assert not scope.contains_current()


def test_calls_outside_are_not_reached() -> None:
    """Another thread makes the same call, unharmed and uncounted; a copied context belongs to the scope."""
    scope = Scope().enter()
    with armed(FETCH, REFUSED, ALWAYS, scope=scope) as evidence:
        assert is_hit()
        assert not in_thread(is_hit)
        inherited = contextvars.copy_context()
        assert in_thread(lambda: inherited.run(is_hit))
        assert evidence.reached.value == 2
        scope.leave()
        assert not is_hit()


def test_the_nth_call_is_counted_within_the_scope() -> None:
    """Calls of others do not use up the count, and `when` is asked inside only."""
    asked = AtomicCounter()
    scope = Scope().enter()

    def when(*args: object) -> bool:
        return next(asked.numbers) >= 0

    with armed(FETCH, REFUSED, nth(2), scope=scope, when=when):
        assert [is_hit(), in_thread(is_hit), in_thread(is_hit), is_hit()] == [False, False, False, True]
    assert asked.value == 2
    scope.leave()


async def hit_async() -> bool:
    try:
        await subjects.shared_client.fetch_async("g")
    except ConnectionError:
        return True
    return False


def test_asyncio_tasks_inherit_the_scope_of_who_started_them() -> None:
    """Two tests as two tasks: only the one that injected is hit, with its children and its threads."""

    async def injecting(others_wait: asyncio.Event) -> list[bool]:
        scope = Scope().enter()
        with armed(FETCH_ASYNC, REFUSED, ALWAYS, scope=scope), armed(FETCH, REFUSED, ALWAYS, scope=scope):
            others_wait.set()
            await asyncio.sleep(0.02)
            return [
                await hit_async(),
                *await asyncio.gather(hit_async(), asyncio.create_task(hit_async())),
                await asyncio.to_thread(is_hit),
            ]

    async def other(armed_now: asyncio.Event) -> list[bool]:
        await armed_now.wait()
        return [await hit_async(), await asyncio.to_thread(is_hit)]

    async def main() -> list[list[bool]]:
        armed_now = asyncio.Event()
        return list(await asyncio.gather(injecting(armed_now), other(armed_now)))

    assert asyncio.run(main()) == [[True] * 4, [False] * 2]


def test_trio_tasks_inherit_the_scope_of_who_started_them() -> None:
    """A nursery that was opened inside, and a thread of trio's, belong to the scope."""
    hits: dict[str, bool] = {}

    async def note(name: str) -> None:
        hits[name] = await hit_async()

    async def inside(scope: Scope) -> None:
        scope.enter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note, "child")
        hits["thread"] = await trio.to_thread.run_sync(is_hit)

    async def main() -> None:
        scope = Scope()
        with armed(FETCH_ASYNC, REFUSED, ALWAYS, scope=scope), armed(FETCH, REFUSED, ALWAYS, scope=scope):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(inside, scope)
            await note("sibling")

    trio.run(main)
    assert hits == {"child": True, "thread": True, "sibling": False}


def test_a_generator_belongs_to_who_takes_its_items() -> None:
    """Calling it runs nothing; the first item is what reaches the fault."""
    scope = Scope().enter()
    with armed("chaos_subjects:Client.stream", REFUSED, ALWAYS, scope=scope):
        stream = subjects.shared_client.stream(1)
        assert in_thread(lambda: next(stream) == 0)
        with pytest.raises(ConnectionError):
            next(subjects.shared_client.stream(1))
    scope.leave()


def test_scopes_nest_and_end_in_any_order() -> None:
    """The first one may end first."""
    one, two = Scope().enter(), Scope().enter()
    one.leave()
    assert (one.contains_current(), two.contains_current()) == (False, True)
    two.leave()
    assert not two.contains_current()


def test_a_scope_that_another_thread_left_is_forgotten() -> None:
    """A soak of many injections does not pile up scopes in its one context."""

    def many() -> int:
        with ThreadPoolExecutor(1) as other:
            for _ in range(100):
                other.submit(Scope().enter().leave).result()
        return len(_ENTERED.get())

    assert contextvars.copy_context().run(many) <= 1
