"""What the documentation says is what the code does."""

import re
from pathlib import Path

import pytest

from pytest_resilience.option_table import OPTIONS, Option, ini_name
from pytest_resilience.soak.criteria import DEFAULT_LIMITS
from pytest_resilience.soak.phases import PHASES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
OPTIONS_PAGE = ROOT / "docs" / "options.md"


def options_page() -> str:
    """Return docs/options.md as the options table gives it."""
    rows = [f"| {_code(one.flag)} | {_code(ini_name(one))} | {one.help} |" for one in OPTIONS]
    head = [
        "# Options",
        "",
        "Flags win over ini values. `pytest -o NAME=VALUE` sets an ini value for one run.",
        "",
        "| flag | ini | meaning |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def _code(name: str) -> str:
    return f"`{name}`" if name else ""


def test_options_page_is_the_table_of_options() -> None:
    """docs/options.md has every option; python tests/test_docs.py writes it anew."""
    assert OPTIONS_PAGE.read_text("utf-8") == options_page()


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag or option.field)
def test_every_option_has_a_sentence_of_help(option: Option) -> None:
    """Each row explains itself."""
    assert re.match(r"[A-Z].*\.$", option.help)


@pytest.mark.parametrize("criterion", DEFAULT_LIMITS)
def test_readme_names_every_criterion_and_its_limit(criterion: str) -> None:
    """The table of criteria in the README is complete and true."""
    row = re.search(rf"^\| `{criterion}` \| (.*) \|$", README, re.MULTILINE)
    assert row is not None
    assert f"`{DEFAULT_LIMITS[criterion].bound}`" in row[1]


def test_readme_names_every_phase() -> None:
    """The table of phases in the README has all nine."""
    assert [kind.name for kind in PHASES if kind.name not in README] == []


if __name__ == "__main__":
    OPTIONS_PAGE.write_text(options_page(), "utf-8")
