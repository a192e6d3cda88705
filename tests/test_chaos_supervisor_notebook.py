"""What a supervisor holds is on disk before it acts, and not longer than it acts."""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, strategies
from supervisor_subjects import KINDS, NoteSpec, StopSpec

from pytest_resilience.chaos.host.specs import KillSpec
from pytest_resilience.chaos.supervisor.holding import Holding
from pytest_resilience.chaos.supervisor.identity import Identity, here, identify
from pytest_resilience.chaos.supervisor.notebook import Notebook, Noted, Notes, read_notes
from pytest_resilience.errors import ScenarioError

TESTS, SUPERVISOR = Identity(11, 1.0, "pytest"), Identity(12, 2.0, "supervisor")
NOTES = Notes(here(), TESTS, SUPERVISOR)
STEPS = strategies.tuples(strategies.sampled_from(["begin", "acts", "end"]), strategies.sampled_from("abc"))


def noted(folder: Path) -> dict[str, Noted]:
    (path,) = folder.glob("*.json")
    notes = read_notes(path)
    assert (notes.tests, notes.supervisor) == (TESTS, SUPERVISOR)
    return {effect.effect_id: effect for effect in notes.effects}


@given(steps=strategies.lists(STEPS, max_size=12))
def test_the_file_has_what_acts_after_each_step(steps: list[tuple[str, str]]) -> None:
    """In whatever order effects begin, tell and end; then it is gone, or tells what is left."""
    with TemporaryDirectory() as root:
        folder = Path(root, "outside")
        notebook, expected = Notebook(folder, NOTES), dict[str, str]()
        notebook.open()
        for step, effect_id in steps:
            if step == "begin":
                notebook.begin(effect_id, NoteSpec(""))
                expected[effect_id] = ""
            elif step == "acts":
                notebook.acts(effect_id, {"path": f"/{effect_id}"})
                expected.update({effect_id: f"/{effect_id}"} if effect_id in expected else {})
            else:
                notebook.end(effect_id)
                expected.pop(effect_id, None)
            assert {name: one.path for name, one in noted(folder).items()} == expected
        notebook.close()
        assert folder.exists() is bool(expected)


def test_a_process_is_noted_with_its_start_and_its_restart(tmp_path: Path) -> None:
    """Its number alone could be another one's when it is read."""
    notebook = Notebook(tmp_path, NOTES)
    with subprocess.Popen(["sleep", "60"]) as process:
        notebook.begin("1 kill", KillSpec(process.pid, ("run", "it")))
        known = identify(process.pid)
        assert noted(tmp_path)["1 kill"] == Noted("1 kill", known, ("run", "it"))
        assert known is not None
        assert (known.name, known.alive) == ("sleep", True)
        process.kill()
        process.wait()
        assert not known.alive
        assert not known.send(0)


async def start(folder: Path, spec: object) -> None:
    """Start an effect that looks for itself in the notes, or refuses to start."""
    holding = Holding(KINDS, Notebook(folder, NOTES))
    await holding.start("a", spec)


@pytest.mark.asyncio
async def test_an_effect_is_noted_before_it_acts_and_until_it_is_undone(tmp_path: Path) -> None:
    """The process is stopped after the note is there; the note goes after the process goes on."""
    seen: list[set[str]] = []

    class Looks(Notebook):
        def begin(self, effect_id: str, spec: object) -> None:
            super().begin(effect_id, spec)
            assert identify(process.pid) is not None
            seen.append(set(noted(tmp_path)))

    with subprocess.Popen(["sleep", "60"]) as process:
        known = identify(process.pid)
        assert known is not None
        holding = Holding(KINDS, Looks(tmp_path, NOTES))
        await holding.start("a", StopSpec(process.pid))
        assert seen == [{"a"}]
        await holding.stop("a")
        assert not known.stopped
        assert noted(tmp_path) == {}
        process.kill()


@pytest.mark.asyncio
async def test_an_effect_that_refuses_is_not_noted_any_more(tmp_path: Path) -> None:
    """It was undone, as far as it had begun."""
    with pytest.raises(ScenarioError, match="port must be free"):
        await start(tmp_path, NoteSpec("", start="refuse"))
    assert noted(tmp_path) == {}


def test_trouble_is_told_once(tmp_path: Path) -> None:
    """Where no file can be, the message says which, why, and what to do."""
    (tmp_path / "file").touch()
    told: list[str] = []
    notebook = Notebook(tmp_path / "file" / "outside", NOTES, told.append)
    notebook.open()
    notebook.begin("a", NoteSpec(""))
    notebook.close()
    assert len(told) == 1
    assert str(tmp_path / "file" / "outside" / "12-2.json") in told[0]
    assert told[0].endswith("Choose another --resilience-dir.")


def test_two_supervisors_share_a_folder(tmp_path: Path) -> None:
    """The last one removes it, and one that comes then makes it anew."""
    folder = tmp_path / "root" / "outside"
    one, two = Notebook(folder, NOTES), Notebook(folder, Notes(here(), TESTS, Identity(13, 1.0, "other")))
    one.open()
    two.open()
    one.close()
    assert [path.name for path in folder.iterdir()] == ["13-1.json"]
    two.close()
    assert not folder.exists()
    two.begin("a", NoteSpec(""))
    assert folder.exists()
