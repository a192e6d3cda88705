"""The built wheel, in a fresh environment, does the main job."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SUITE = """
import pytest

@pytest.mark.soak
def test_it_works():
    assert sum(range(10)) == 45
"""


def run(*command: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(list(map(str, command)), cwd=cwd, text=True, capture_output=True, timeout=200)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the wheel and what it requires, nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    installed = run(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    assert installed.returncode == 0, installed.stderr
    return python


def test_the_wheel_soaks_a_suite(python: Path, tmp_path: Path) -> None:
    """A soak of a suite without services passes, with what has no subject left out."""
    (tmp_path / "test_suite.py").write_text(SUITE, "utf-8")
    done = run(python, "-m", "pytest", "--soak-duration=10s", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED: " in done.stdout


def test_the_wheel_is_typed_and_complete(python: Path, tmp_path: Path) -> None:
    """It ships the marker for type checkers and every module of the source tree."""
    code = "import pytest_resilience, pathlib; print(pathlib.Path(pytest_resilience.__file__).parent)"
    installed = Path(run(python, "-c", code, cwd=tmp_path).stdout.strip())
    source = ROOT / "pytest_resilience"
    assert (installed / "py.typed").is_file()
    missing = [
        path.relative_to(source)
        for path in source.rglob("*.py")
        if not (installed / path.relative_to(source)).is_file()
    ]
    assert missing == []
