"""Effects by id: written down before they act, undone whatever happens, in any order of requests."""

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from supervisor_subjects import KINDS, CopySpec, NoteSpec, SleeperSpec

from pytest_resilience.chaos.supervisor import holding as module
from pytest_resilience.chaos.supervisor.effects import Info
from pytest_resilience.chaos.supervisor.holding import Holding
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.errors import ScenarioError

pytestmark = pytest.mark.asyncio


@pytest.fixture
def holding(monkeypatch: pytest.MonkeyPatch) -> Holding:
    """Effects that have a tenth of a second to stop."""
    monkeypatch.setattr(module, "STOP_SECONDS", 0.1)
    return Holding(KINDS)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


async def until_noted(notes: Path, line: str) -> None:
    deadline = time.monotonic() + 5
    while not notes.exists() or line not in notes.read_text():
        assert time.monotonic() < deadline, f"{line!r} was never written"
        await asyncio.sleep(0.001)


async def refusal(work: Coroutine[Any, Any, object]) -> str:
    """Return the text of the ScenarioError that some work raises."""
    with pytest.raises(ScenarioError) as refused:
        await work
    return str(refused.value)


async def test_an_effect_is_held_until_it_is_stopped(holding: Holding, notes: Path) -> None:
    """It tells what it told, gives its evidence, and its last evidence ever after."""
    info = await holding.start("a", NoteSpec(str(notes), "a"))
    assert (info["name"], holding.held(), holding.touched("a").fired) == ("a", ("a",), 0)

    last = await holding.stop("a")
    assert (last.fired, holding.held()) == (1, ())
    assert await holding.stop("a") == holding.touched("a") == last
    assert notes.read_text() == "a starts\na stops\n"


async def test_a_stop_that_comes_first_wins(holding: Holding, notes: Path) -> None:
    """A start of the same id that comes later does nothing."""
    assert await holding.stop("a") == Touched()
    text = await refusal(holding.start("a", NoteSpec(str(notes))))
    assert text == "'a' was removed already. Give each effect an id of its own."
    assert not notes.exists()


async def test_a_stop_meanwhile_ends_the_start(holding: Holding, notes: Path) -> None:
    """What hangs in its start is cancelled, then stopped."""
    start = asyncio.create_task(holding.start("a", NoteSpec(str(notes), "a", start="hang")))
    await until_noted(notes, "a starts")
    await holding.stop("a")
    assert await refusal(_result(start)) == "'a' was removed while it started."
    assert (notes.read_text(), holding.held()) == ("a starts\na stops\n", ())


async def test_a_stop_that_is_read_together_with_the_start_follows_it(holding: Holding, notes: Path) -> None:
    """Nothing is left, in whatever order they would run by themselves."""
    start = asyncio.create_task(holding.start("a", NoteSpec(str(notes), "a")))
    await asyncio.create_task(holding.stop("a"))
    assert (await start)["name"] == "a"
    assert (notes.read_text(), holding.held()) == ("a starts\na stops\n", ())


@pytest.mark.parametrize("way", ["refuse", "break"])
async def test_a_start_that_fails_is_undone(way: Any, holding: Holding, notes: Path) -> None:
    """Before the effect's own error is told; the id is used up."""
    with pytest.raises((ScenarioError, OSError), match=r"port must be free|Too many open files"):
        await holding.start("a", NoteSpec(str(notes), "a", start=way))
    assert (notes.read_text(), holding.held()) == ("a starts\na stops\n", ())
    assert "was removed already" in await refusal(holding.start("a", NoteSpec(str(notes))))


async def test_an_id_is_used_once(holding: Holding) -> None:
    """Two effects of one id could not be told apart."""
    await holding.start("a", NoteSpec(""))
    text = await refusal(holding.start("a", NoteSpec("")))
    assert text == "'a' is active already. Give each effect an id of its own."
    await holding.stop("a")


async def test_a_stop_that_fails_can_be_asked_again(holding: Holding, notes: Path) -> None:
    """Until then the effect is still held."""
    await holding.start("a", NoteSpec(str(notes), "a", stop="fail once"))
    assert await refusal(holding.stop("a")) == "not yet"
    assert holding.held() == ("a",)
    assert (await holding.stop("a")).fired == 2
    assert holding.held() == ()


@pytest.mark.parametrize("way", ["hang", "deaf"])
async def test_a_stop_that_hangs_is_said_to_have_failed(way: Any, holding: Holding) -> None:
    """And does not keep who asked."""
    await holding.start("a", NoteSpec("", stop=way))
    assert await refusal(holding.stop("a")) == "'a' could not be undone within 0.1 s."
    assert holding.held() == ("a",)


async def test_two_who_stop_at_once_share_one_stop(holding: Holding, notes: Path) -> None:
    """It is done once, and both have its evidence; one who gives up does not end it for the other."""
    await holding.start("a", NoteSpec(str(notes), "a"))
    given_up = asyncio.create_task(holding.stop("a"))
    one, other = asyncio.create_task(holding.stop("a")), asyncio.create_task(holding.stop("a"))
    await asyncio.sleep(0)
    given_up.cancel()
    assert await one == await other
    assert notes.read_text() == "a starts\na stops\n"


async def test_an_effect_finds_another_one(holding: Holding) -> None:
    """By its id, while it is held."""
    await holding.start("proxy", SleeperSpec())
    assert await holding.start("toxic", CopySpec("proxy")) == {"kind": "SleeperEffect"}
    await holding.stop("proxy")
    text = await refusal(holding.start("late", CopySpec("proxi")))
    assert text.startswith("No effect 'proxi' is active.")
    assert "No effect 'x' is active. Did you mean" not in await refusal(_touched(holding, "x"))


async def test_the_end_of_all_goes_backwards_and_past_what_hangs(holding: Holding, notes: Path) -> None:
    """A toxic ends before its proxy; one that hangs, raises or is deaf keeps nobody."""
    for name, way in (
        ("one", ""),
        ("hung", "hang"),
        ("two", ""),
        ("deaf", "deaf"),
        ("odd", "refuse"),
        ("three", ""),
    ):
        await holding.start(name, NoteSpec(str(notes), name, stop=way))  # type: ignore[arg-type]
    starting = asyncio.create_task(holding.start("four", NoteSpec(str(notes), "four", start="hang")))
    await until_noted(notes, "four starts")
    begun = time.monotonic()
    late = "ScenarioError: {!r} could not be undone within 0.1 s."
    assert await holding.stop_all(1.0) == {
        "odd": "ScenarioError: port must be free, not 80. Name another one.",
        "deaf": late.format("deaf"),
        "hung": late.format("hung"),
    }
    assert holding.held() == ("hung", "deaf", "odd")
    assert time.monotonic() - begun < 3
    assert [line for line in notes.read_text().split("\n") if "stops" in line] == [
        f"{name} stops" for name in ("four", "three", "two", "one")
    ]
    assert "removed while it started" in await refusal(_result(starting))
    assert (
        await refusal(holding.start("late", NoteSpec(""))) == "'late' cannot start: the supervisor is ending."
    )


async def test_the_end_of_nothing_is_at_once(holding: Holding) -> None:
    """Nothing to wait for."""
    assert await holding.stop_all(10) == {}


async def test_old_evidence_is_forgotten(holding: Holding, monkeypatch: pytest.MonkeyPatch) -> None:
    """A soak stops effects for hours: only the latest are remembered."""
    monkeypatch.setattr(module, "REMEMBERED", 2)
    for name in ("a", "b", "c"):
        await holding.start(name, NoteSpec(""))
        await holding.stop(name)
    assert holding.touched("b").fired == holding.touched("c").fired == 1
    assert "No effect 'a'" in await refusal(_touched(holding, "a"))


async def _touched(holding: Holding, effect_id: str) -> Touched:
    return holding.touched(effect_id)


async def _result(task: asyncio.Task[Info]) -> Info:
    return await task
