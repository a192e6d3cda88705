"""The limits of exit criteria, and the lines of resilience_criteria that set them."""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from pytest_resilience.errors import SettingsError, did_you_mean, requirement
from pytest_resilience.units import parse_duration

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, "==": operator.eq, ">=": operator.ge, ">": operator.gt}
)
ANSWERS = MappingProxyType({"yes": True, "no": False, "true": True, "false": False})

_LINE = re.compile(
    r"(?P<criterion>\w+)\s*(?P<comparison>[<>=!]+)\s*(?P<value>\S+)(?P<abort>\s+abort(?:\s+after\s+(?P<grace>.+))?)?"
)


@dataclass(frozen=True, slots=True)
class Limit:
    """What a criterion asks of the observed value; a yes or no is asked for with `==`.

    Args:
        warning_to: a value beyond `value`, but not beyond this one, is a warning.
        abort_after: seconds for which the criterion may be unmet while the run goes on; None for ever.
        abort_when_lost: end the run as soon as the criterion cannot be met any more.
        decided_early: whether that can be known before the end of the run.
    """

    criterion: str
    comparison: str
    value: float | bool
    warning_to: float | None = None
    abort_after: float | None = None
    abort_when_lost: bool = False
    decided_early: bool = field(default=False, compare=False)

    def holds(self, observed: float) -> bool:
        """Tell whether the criterion is met."""
        return COMPARISONS[self.comparison](observed, self.value)

    def warns(self, observed: float) -> bool:
        """Tell whether an observed value that does not meet the criterion is a warning only."""
        return self.warning_to is not None and COMPARISONS[self.comparison](observed, self.warning_to)

    def exceeded_by(self, observed: float) -> bool:
        """Tell whether a value that never falls can no longer meet the criterion."""
        return self.comparison in ("<", "<=", "==") and not self.holds(observed) and observed >= self.value

    def missed_by(self, observed: float) -> bool:
        """Tell whether a value that never rises can no longer meet the criterion."""
        return self.comparison in (">", ">=", "==") and not self.holds(observed) and observed <= self.value

    def show(self, observed: float) -> str:
        """Write an observed value as the limit is written."""
        return ("yes" if observed else "no") if isinstance(self.value, bool) else f"{observed:.4g}"

    @property
    def bound(self) -> str:
        """Return the limit without its criterion: `< 10`, `== no`."""
        value = self.show(self.value) if isinstance(self.value, bool) else _plain(self.value)
        return f"{self.comparison} {value}"

    def __str__(self) -> str:
        """Write the line that `parse_line` reads."""
        return f"{self.criterion} {self.bound}{self.abort}"

    @property
    def abort(self) -> str:
        """Return when it ends the run, as its line says it: ` abort`, ` abort after 180s`, or nothing."""
        if self.abort_after is not None:
            return f" abort after {self.abort_after:f}s"
        return " abort" if self.abort_when_lost else ""


def parse_lines(lines: Iterable[str], defaults: Mapping[str, Limit]) -> Mapping[str, Limit]:
    """Read one limit per line; `defaults` are the known criteria. Raise SettingsError for a wrong line."""
    limits: dict[str, Limit] = {}
    for line in lines:
        limit = parse_line(line, defaults)
        if limit.criterion in limits:
            raise SettingsError(f"resilience_criteria sets {limit.criterion} twice. Keep one of the lines.")
        limits[limit.criterion] = limit
    return limits


def parse_line(line: str, defaults: Mapping[str, Limit]) -> Limit:
    """Read a line such as `memory_growth_percent < 10 abort after 3m`; raise SettingsError if it is wrong."""
    match = _LINE.fullmatch(line.strip())
    if match is None:
        fix = "Write for example memory_growth_percent < 10, or memory_growth_percent < 10 abort after 3m."
        constraint = "CRITERION COMPARISON VALUE"
        raise SettingsError(requirement("Each line of resilience_criteria", constraint, line, fix))
    name, comparison, text, abort, grace = match.groups()
    default = defaults.get(name)
    if default is None:
        fix = did_you_mean(name, defaults)
        raise SettingsError(requirement("Each name in resilience_criteria", "a criterion", name, fix))
    label = f"resilience_criteria: {name}"
    read = _answer if isinstance(default.value, bool) else _number
    after = None if grace is None else parse_duration(grace, f"{label} abort after")
    return replace(
        default,
        comparison=_comparison(label, comparison, default),
        value=read(label, text),
        warning_to=None,
        abort_after=after,
        abort_when_lost=_when_lost(label, bool(abort) and after is None, default),
    )


def _when_lost(label: str, asked: bool, default: Limit) -> bool:
    if asked and not default.decided_early:
        fact = f"{label} cannot have `abort` alone: whether it is met is known only at the end."
        raise SettingsError(f"{fact} Write `abort after 3m`, which ends a run in which it is unmet so long.")
    return asked


def _comparison(label: str, text: str, default: Limit) -> str:
    known = ("==",) if isinstance(default.value, bool) else tuple(COMPARISONS)
    if text in known:
        return text
    fix = f"Write for example {default.criterion} {default.bound}."
    raise SettingsError(requirement(f"{label} comparison", f"one of {' '.join(known)}", text, fix))


def _answer(label: str, text: str) -> bool:
    answer = ANSWERS.get(text.lower())
    if answer is None:
        raise SettingsError(requirement(label, "yes or no", text))
    return answer


def _number(label: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SettingsError(requirement(label, "a finite number without a unit", text))
    return number


def _plain(number: float) -> str:
    return repr(float(number)).removesuffix(".0")
