"""docs/breakers.md is what the checks find; `python tests/test_docs_breakers.py` writes it anew."""

import inspect
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from breaker_samples import SAMPLES
from checked_breakers import Checked, checked

from pytest_resilience.breakers.adapter import CAPABILITIES, Adapter, Traits
from pytest_resilience.breakers.costs import transition_costs
from pytest_resilience.breakers.hazards.table import HAZARDS
from pytest_resilience.breakers.libraries import MODULES, load_library
from pytest_resilience.breakers.scenarios import SCENARIOS

PAGE = Path(__file__).parents[1] / "docs" / "breakers.md"

MARKS = {"passed": "✓", "failed": "✗", "strict": "○", "not_applicable": "·"}

INTRODUCTION = f"""\
# Circuit breakers

Which breakers can be checked, what is checked, and what the checks find in the libraries as they are.

Register a breaker in the fixture `resilience_breakers`, an instance or a function that returns one; or
describe your own by a `BreakerAdapter`. It is checked in virtual time, and an instance comes back as it was.
A call counts as rejected if it did not get into the dependency, whatever it raised; a breaker counts as open
if calls are rejected, whatever its `state` says.

Each scenario and each hazard is tried on a fresh breaker, in each way in which it can be called (sync,
async), and the worse result is shown: {MARKS["passed"]} passed, {MARKS["failed"]} failed, {MARKS["strict"]} \
failed a strict hazard, {MARKS["not_applicable"]} does not apply
([why](#what-does-not-apply)). A script of calls that come one after the other passes on all libraries; what
differs shows when calls overlap, are cancelled or interrupted, when hooks raise and clocks are stepped.
"""

HAZARD_INTRODUCTION = """\
Reported beside the scenarios. *Wrong* is wrong by any reading; *strict* is a matter of taste.
"""

TRAITS_INTRODUCTION = """\
What a `BreakerAdapter` of your own can be given beside `threshold` and `open_seconds`; the supported
libraries are described by the same words.
"""

CAPABILITIES_INTRODUCTION = """\
Each is a function that a `BreakerAdapter` is given by this name. What is left out is not checked.
"""

OWN_CAPABILITIES = CAPABILITIES - {"zero_open_seconds"}
"""What a user's own breaker can be given; the rest is about how a library reads its settings."""


def breakers_page() -> str:
    """Return docs/breakers.md as the checks give it."""
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    parts = [
        INTRODUCTION,
        f"Found on {today} with Python {platform.python_version()}.\n",
        "## Libraries\n",
        _libraries(),
        "## Scenarios\n",
        _verdicts({name: _first_line(script) for name, script in SCENARIOS.items()}),
        "## Hazards\n",
        HAZARD_INTRODUCTION,
        _verdicts({name: f"*{one.level}*: {one.explanation}" for name, one in HAZARDS.items()}),
        "## What was found\n",
        _findings(),
        "## What does not apply\n",
        _reasons(),
        "## What a state change costs\n",
        _costs(),
        "## Traits\n",
        TRAITS_INTRODUCTION,
        _traits(),
        "## Capabilities\n",
        CAPABILITIES_INTRODUCTION,
        _capabilities(),
    ]
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _first_line(documented: object) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def _libraries() -> str:
    head = ("breaker", "called", "opens on", "probes", "by hand", "clock", "ignored error")
    rows = [
        (
            f"{one.library} {version(one.library)}" + (f" ({one.kind})" if one.kind else ""),
            _ways(one.traits),
            _trips_on(one.traits),
            _probes(one.traits),
            _forced(one.traits),
            f"{' and '.join(sorted(one.traits.clocks))}, {one.clock}",
            one.traits.ignored_counts or "not documented",
        )
        for one in checked()
    ]
    return _table(head, rows)


def _ways(traits: Traits) -> str:
    names = {
        "call": "sync",
        "call_async": "async",
        "generate": "generators",
        "generate_async": "async generators",
    }
    return ", ".join(name for way, name in names.items() if way in traits.can)


def _trips_on(traits: Traits) -> str:
    if traits.consecutive:
        return f"{traits.threshold} failures in a row"
    window = f"{traits.window_calls} calls" if traits.window_calls else f"{traits.window_seconds:g} s"
    rates = [f"{traits.error_rate:.0%} failures" if traits.error_rate else ""]
    rates += [f"{traits.slow_rate:.0%} slower than {traits.slow_seconds:g} s" if traits.slow_rate else ""]
    return f"{' or '.join(filter(None, rates))} of the last {window}, from {traits.threshold} calls on"


def _probes(traits: Traits) -> str:
    limit = f"{traits.half_open_limit} at once" if traits.half_open_limit else "all that come"
    growth = f", then {traits.backoff_factor:g} times as long" if traits.backoff_factor != 1 else ""
    return f"after {traits.open_seconds:g} s{growth}; {limit}; {traits.successes_to_close} good to close"


def _forced(traits: Traits) -> str:
    states = [state for state in ("open", "half_open", "closed") if f"force_{state}" in traits.can]
    stays = " (open until reset)" if traits.forced_open_stays else ""
    return (", ".join(states) or "no") + stays


def _verdicts(explained: dict[str, str]) -> str:
    head = ("", *(one.heading for one in checked()), "what is asked of it")
    rows = [
        (f"`{name}`", *(MARKS[_shown(name, one)] for one in checked()), meaning)
        for name, meaning in explained.items()
    ]
    return _table(head, rows)


def _shown(name: str, one: Checked) -> str:
    verdict = one.verdicts[name][0]
    return (
        "strict" if verdict == "failed" and name in HAZARDS and HAZARDS[name].level == "strict" else verdict
    )


def _findings() -> str:
    return "\n".join(_findings_of(one) for one in checked())


def _findings_of(one: Checked) -> str:
    failed = [(name, detail) for name, (verdict, detail) in one.verdicts.items() if verdict == "failed"]
    lines = [f"- `{name}`{_level(name)}: {_told(name, detail)}" for name, detail in failed]
    return f"### {one.sample} {version(one.library)}\n\n" + "\n".join(lines or ["Nothing."]) + "\n"


def _level(name: str) -> str:
    return f" ({HAZARDS[name].level})" if name in HAZARDS else ""


def _told(name: str, detail: str) -> str:
    """Leave out what the table says, what an error says (it has times in it), and how much memory exactly."""
    if name in HAZARDS:
        detail = detail.removeprefix(HAZARDS[name].explanation).strip()
    expected, _, calls = detail.partition("; calls: ")
    expected = re.sub(r"keeps [\d.]+ blocks", "keeps blocks", expected.partition(" (")[0])
    return f"{expected}. Calls: {calls}."


def _reasons() -> str:
    found: dict[tuple[str, str], list[str]] = {}
    for one in checked():
        for name, (verdict, detail) in one.verdicts.items():
            if verdict == "not_applicable":
                found.setdefault((name, detail), []).append(one.sample)
    order = [*SCENARIOS, *HAZARDS]
    rows = [
        (f"`{name}`", ", ".join(samples), reason)
        for (name, reason), samples in sorted(found.items(), key=lambda item: order.index(item[0][0]))
    ]
    return _table(("", "breakers", "why"), rows)


def _costs() -> str:
    head = ("breaker", "change", "p50", "p99")
    rows = [
        (
            cost.breaker,
            f"`{cost.change}`",
            *(f"{1e6 * took:.1f} µs" for took in (cost.p50_seconds, cost.p99_seconds)),
        )
        for one in checked()
        for cost in transition_costs(one.report.transitions)
    ]
    return _table(head, rows)


def _traits() -> str:
    doc = inspect.getdoc(Traits) or ""
    arguments = re.split(r"\n    (?=\w)", doc.partition("Args:")[2])
    rows = []
    for argument in arguments[1:]:
        names, _, meaning = argument.partition(": ")
        if names == "can":  # it follows from what is given
            continue
        rows.append((", ".join(f"`{name}`" for name in names.split(", ")), " ".join(meaning.split())))
    return _table(("trait", "meaning"), rows)


def _capabilities() -> str:
    rows = [(f"`{name}`", _capability(name)) for name in sorted(OWN_CAPABILITIES)]
    return _table(("capability", "meaning"), rows)


def _capability(name: str) -> str:
    if name.startswith("force_"):
        return f"Bring it into the state {name.removeprefix('force_')} by hand."
    return _first_line(getattr(Adapter, name))


def masked(page: str) -> str:
    """Leave out what is another at each run: the day, the interpreter and the measured times."""
    page = re.sub(r"Found on \S+ with Python \S+", "Found", page)
    return re.sub(r"[\d.]+ µs", "some µs", page)


def test_the_page_is_what_the_checks_find() -> None:
    """docs/breakers.md is true of the installed releases, but for the day and the measured times."""
    assert masked(PAGE.read_text("utf-8")) == masked(breakers_page())


def test_the_page_has_all_supported_libraries() -> None:
    """Each has a sample of its own."""
    assert {one.library for one in checked()} == {load_library(package).name for package in MODULES}


def test_the_page_explains_every_trait_and_capability() -> None:
    """The words that a user's own breaker is described by are all there."""
    traits = {field.name for field in fields(Traits)} - {"can"}
    page = breakers_page()
    assert [name for name in traits | OWN_CAPABILITIES if f"`{name}`" not in page] == []


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_library_passes_the_scenarios_that_apply(sample: str) -> None:
    """They are released and used: a scenario that one of them fails would be wrong, or needs a look."""
    report = next(one.report for one in checked() if one.sample == sample)
    assert [one for one in report.results if one.verdict == "failed"] == []
    assert report.transitions


if __name__ == "__main__":
    PAGE.write_text(breakers_page(), "utf-8")
