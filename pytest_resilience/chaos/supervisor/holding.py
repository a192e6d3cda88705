"""All effects that the supervisor holds: each is written down before it acts, and undone whatever happens."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pytest_resilience.chaos.supervisor.effects import Effect, Find, Info
from pytest_resilience.chaos.supervisor.notebook import Notebook
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.errors import ScenarioError, did_you_mean

Kinds: TypeAlias = Mapping[type[Any], Callable[[Any, Find], Effect]]
"""How an effect is made of its spec. Making it must not act yet: only `start` does."""

STOP_SECONDS = 2.0
"""An effect has a second to stop; after this time its stop is given up, and said to have failed."""

SHARE_OF_END = 0.25
"""At the end of all, the next effect's turn comes after as many seconds, even if this one still stops."""

REMEMBERED = 10_000
"""The evidence of as many stopped effects is kept, the latest ones."""


@dataclass(slots=True, eq=False)
class _Held:
    effect: Effect
    starting: asyncio.Task[Info] | None = None
    stopping: asyncio.Task[Touched] | None = None


class Holding:
    """Starts and stops effects by id, in one event loop. An id is used once; `notebook` has all that act."""

    def __init__(self, kinds: Kinds, notebook: Notebook | None = None) -> None:
        self._kinds, self._notebook = kinds, notebook
        self._held: dict[str, _Held] = {}
        self._stopped: dict[str, Touched] = {}
        self._ending = False

    def held(self) -> tuple[str, ...]:
        """Return the ids of the effects that are not undone, oldest first."""
        return tuple(self._held)

    def find(self, effect_id: str) -> Effect:
        """Return an effect that is held; raise ScenarioError if there is none of that id."""
        if effect_id not in self._held:
            raise ScenarioError(f"No effect {effect_id!r} is active. {did_you_mean(effect_id, self._held)}")
        return self._held[effect_id].effect

    async def start(self, effect_id: str, spec: object) -> Info:
        """Make an effect and start it; one that fails is undone before the error is told."""
        self._check_is_new(effect_id)
        if self._notebook is not None:
            self._notebook.begin(effect_id, spec)
        held = self._held[effect_id] = _Held(self._kinds[type(spec)](spec, self.find))
        held.starting = asyncio.create_task(held.effect.start())
        try:
            info = await held.starting
        except asyncio.CancelledError:
            raise ScenarioError(f"{effect_id!r} was removed while it started.") from None
        except Exception:
            await self.stop(effect_id)
            raise
        if self._notebook is not None:
            self._notebook.acts(effect_id, info)
        return info

    async def stop(self, effect_id: str) -> Touched:
        """Undo an effect and return its last evidence; one that is not there yet will not start any more.

        Raises ScenarioError, or what the effect raised, if it could not be undone. Then it is still held, and
        asking again tries again.
        """
        if effect_id not in self._held:
            return self._remember(effect_id, self._stopped.get(effect_id, Touched()))
        return await asyncio.shield(self._stopping(effect_id))

    def touched(self, effect_id: str) -> Touched:
        """Return the evidence of an effect; raise ScenarioError if there was none of that id."""
        if effect_id in self._stopped:
            return self._stopped[effect_id]
        return self.find(effect_id).touched()

    async def stop_all(self, within: float) -> Mapping[str, str]:
        """Undo everything, the latest first, in `within` seconds; return why what is left is left, by id.

        An effect that does not stop, or fails to, does not keep the others.
        """
        self._ending = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        waiting = list(self._held)
        tasks: dict[str, asyncio.Task[Touched]] = {}
        while waiting:
            share = min(SHARE_OF_END, (deadline - loop.time()) / len(waiting))
            effect_id = waiting.pop()
            tasks[effect_id] = self._stopping(effect_id)
            await asyncio.wait({tasks[effect_id]}, timeout=max(0.0, share))
        if tasks:
            await asyncio.wait(tasks.values(), timeout=max(0.0, deadline - loop.time()))
        failures = {effect_id: _failure(task) for effect_id, task in tasks.items()}
        return {effect_id: failure for effect_id, failure in failures.items() if failure}

    def _check_is_new(self, effect_id: str) -> None:
        if self._ending:
            raise ScenarioError(f"{effect_id!r} cannot start: the supervisor is ending.")
        if effect_id in self._held:
            raise ScenarioError(f"{effect_id!r} is active already. Give each effect an id of its own.")
        if effect_id in self._stopped:
            raise ScenarioError(f"{effect_id!r} was removed already. Give each effect an id of its own.")

    def _stopping(self, effect_id: str) -> asyncio.Task[Touched]:
        """Return the task that undoes an effect: the one that does so already, or a new one."""
        held = self._held[effect_id]
        if held.stopping is None or held.stopping.done():
            held.stopping = asyncio.create_task(self._undo(effect_id, held))
        return held.stopping

    async def _undo(self, effect_id: str, held: _Held) -> Touched:
        if held.starting is not None:
            held.starting.cancel()
            await asyncio.wait({held.starting}, timeout=STOP_SECONDS)
        stop = asyncio.ensure_future(held.effect.stop())
        await asyncio.wait({stop}, timeout=STOP_SECONDS)
        if not stop.done():
            stop.cancel()
            raise ScenarioError(f"{effect_id!r} could not be undone within {STOP_SECONDS:g} s.")
        stop.result()
        touched = self._remember(effect_id, held.effect.touched())
        self._held.pop(effect_id, None)
        if self._notebook is not None:
            self._notebook.end(effect_id)
        return touched

    def _remember(self, effect_id: str, touched: Touched) -> Touched:
        self._stopped[effect_id] = touched
        if len(self._stopped) > REMEMBERED:
            del self._stopped[next(iter(self._stopped))]
        return touched


def _failure(task: asyncio.Task[Touched]) -> str:
    """Return why a task has not done its work; an empty text if it has."""
    if not task.done():
        return "It did not stop in time."
    broken = task.exception()
    return f"{type(broken).__name__}: {broken}" if broken is not None else ""
