"""The README's breaker of one's own: shown as it is in the example, and with the defects that are told."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "own_breaker"
SECTION = (
    (ROOT / "README.md").read_text("utf-8").partition("\n## Circuit breakers\n")[2].partition("\n## ")[0]
)
FILES = {
    "# shop/breakers.py": ROOT / "examples" / "shop" / "breakers.py",
    "# test_breakers.py": EXAMPLE / "test_breakers.py",
}


def fenced(language: str) -> list[str]:
    """Return the blocks of the README's section in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def output() -> str:
    """Run the example as its README says."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-rA"]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    return done.stdout


def test_the_code_is_that_of_the_example() -> None:
    """What the README shows stands word for word in the files that it names."""
    shown = dict(block.split("\n", 1) for block in fenced("python"))
    for name, file in FILES.items():
        assert shown[name].strip() in file.read_text("utf-8")


def test_the_breaker_is_short() -> None:
    """A breaker of fifteen lines, its docstrings and blank lines not counted."""
    lines = [line for line in fenced("python")[0].splitlines() if line.strip() and '"""' not in line]
    assert len(lines) - 1 <= 15


def test_the_defect_is_found_as_the_readme_shows_it(output: str) -> None:
    """The verdict and the calls are those of the README."""
    told = fenced("text")[0]
    lines = [line for line in told.splitlines() if not line.startswith("____")]
    assert lines
    assert [line for line in lines if line not in output.splitlines()] == []


def test_only_the_first_breaker_has_defects(output: str) -> None:
    """Four hazards of the first breaker fail; all of the second pass or do not apply."""
    failed = set(re.findall(r"^FAILED \S+::(\S+)", output, re.MULTILINE))
    assert failed == {
        f"test_first_try[{hazard}]"
        for hazard in (
            "late_success_while_open",
            "late_success_in_half_open",
            "late_success_two_eras_later",
            "stale_probe_two_eras_later",
        )
    }
    assert len(re.findall(r"^PASSED \S+::test_with_eras", output, re.MULTILINE)) > 20
