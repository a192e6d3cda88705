"""The report as lines for a terminal or a CI log: the worst first, and last the result and the way on."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from textwrap import wrap

from pytest_resilience.breakers.records import HazardResult
from pytest_resilience.chaos.observed import THE_TEST
from pytest_resilience.chaos.records import NotRun
from pytest_resilience.report.attempts import AttemptRow, total_gap
from pytest_resilience.report.model import (
    Coverage,
    CriterionRow,
    EventRow,
    PhaseRow,
    Report,
    WorkerRow,
    to_survive,
)
from pytest_resilience.report.rate import Rate
from pytest_resilience.report.table import WIDTH, table
from pytest_resilience.soak.resume import UNFINISHED
from pytest_resilience.store.records import Failure, Hang
from pytest_resilience.units import counted, format_duration

NOT_APPLICABLE = "not_applicable"
SEVERITY = ("unmet", "inconclusive", "warning", "met", NOT_APPLICABLE)
MOST_EVENTS = 30
MOST_HAZARDS = 12
MOST_NOT_RUN = 5
MOST_GAPS = 5
MOST_FAILURES = 3
MOST_LINES = 8
REACHED_SHARE = 0.95
MOST_STACK_LINES = 24
LATE_SECONDS = 3.0
LATE_SHARE = 0.02
"""A run may end this much later than asked, whichever is more: its last iteration is not cut off."""


def lines(report: Report) -> list[str]:
    """Return the section, without a title of its own."""
    blocks = (
        _head(report),
        _phases(report.phases),
        _workers(report.workers),
        _criteria(report.criteria),
        _events(report.events),
        _hazards(report.hazards),
        _unreached(report),
        _not_run(report),
        _failures(report),
        _hangs(report.hangs),
        _result(report),
    )
    return list(chain.from_iterable(["", *block] for block in blocks if block))[1:]


def _head(report: Report) -> list[str]:
    took = f"{format_duration(report.seconds)} of {format_duration(report.planned_seconds)}"
    did = f"{counted(report.iterations, 'iteration')} of {counted(len(report.tests), 'test')}"
    head = f"{report.test_id}: {took}, {did}, seed {report.seed}, intensity {report.intensity}"
    return [head, *_resumptions(report.attempts)]


def _resumptions(attempts: Sequence[AttemptRow]) -> list[str]:
    """Say how often the run was resumed, and how long nothing ran."""
    later = attempts[1:]
    if not later:
        return []
    gaps = [f"{format_duration(row.gap_seconds)} at {format_duration(row.began)}" for row in later]
    shown = ", ".join(gaps[:MOST_GAPS]) + (f", {len(gaps) - MOST_GAPS} more" if len(gaps) > MOST_GAPS else "")
    total = format_duration(total_gap(attempts))
    return _wrapped(f"Resumed {counted(len(later), 'time')}: nothing ran for {total} in all ({shown}).")


def _phases(phases: Sequence[PhaseRow]) -> list[str]:
    header = ("phase", "status", "planned", "took", "iterations", "failures", "reason")
    rows = [
        (
            phase.name,
            phase.status,
            format_duration(phase.planned_seconds) if phase.planned_seconds else "",
            _duration(phase.seconds),
            f"{phase.iterations:,}" if phase.iterations else "",
            f"{phase.failures:,}" if phase.failures else "",
            phase.reason,
        )
        for phase in phases
    ]
    return table(header, rows, numbers=("planned", "took", "iterations", "failures"))


def _workers(workers: Sequence[WorkerRow]) -> list[str]:
    """Show who looped the tests, and for those that crashed what happened and where they were."""
    header = ("worker", "status", "joined", "ended", "iterations", "what happened")
    rows = [
        (
            row.name,
            row.status,
            format_duration(row.joined_at),
            _duration(row.ended_at),
            f"{row.iterations:,}",
            "; ".join(
                filter(None, (row.reason, f"took the place of {row.replaces}" if row.replaces else ""))
            ),
        )
        for row in workers
    ]
    found = table(header, rows, numbers=("joined", "ended", "iterations"))
    return [*found, *chain.from_iterable(map(_stacks, workers))]


def _stacks(row: WorkerRow) -> list[str]:
    if not row.stacks:
        return []
    text = row.stacks.splitlines()
    left = len(text) - MOST_STACK_LINES
    more = [f"    … {left} lines more, in report.json"] if left > 0 else []
    shown = [f"    {line}" for line in text[:MOST_STACK_LINES]]  # whole: what matters stands at the end
    return [f"{row.name} was here:", *shown, *more]


def _criteria(criteria: Sequence[CriterionRow]) -> list[str]:
    header = ("verdict", "criterion", "observed", "limit", "detail")
    rows = [
        (row.verdict, row.criterion, _observed(row.observed), row.limit, row.detail)
        for row in sorted(criteria, key=lambda row: SEVERITY.index(row.verdict))
        if row.verdict != NOT_APPLICABLE
    ]
    return [*table(header, rows, numbers=("observed",)), *_not_applicable(criteria)]


def _not_applicable(criteria: Sequence[CriterionRow]) -> list[str]:
    """Group those without a subject by what is missing."""
    grouped: dict[str, list[str]] = {}
    for row in criteria:
        if row.verdict == NOT_APPLICABLE:
            grouped.setdefault(row.detail, []).append(row.criterion)
    found = [_bullet(f"{', '.join(names)}: {why}") for why, names in grouped.items()]
    return [f"{_spaced(NOT_APPLICABLE)}:", *chain.from_iterable(found)] if found else []


def _hazards(hazards: Sequence[HazardResult]) -> list[str]:
    """Show what breakers fell for, what counts first and with its calls; others are in report.json."""
    fell = [one for one in hazards if one.verdict == "failed"]
    fell.sort(key=lambda one: (not one.counts, one.level != "wrong"))
    header = ("hazard", "breaker", "level", "detail")
    rows = [
        (
            one.hazard,
            one.breaker,
            one.level,
            one.detail if one.counts else one.detail.partition("; calls: ")[0],
        )
        for one in fell[:MOST_HAZARDS]
    ]
    more = len(fell) - len(rows)
    return table(header, rows) + ([f"… and {counted(more, 'hazard')} more, in report.json"] if more else [])


def _observed(value: float | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return ""
    if 0 < value < 0.001:
        return "<0.001"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _events(events: Sequence[EventRow]) -> list[str]:
    shown = events
    if len(events) > MOST_EVENTS:
        shown = [event for event in events if event.outcome != "recovered"]
    header = ("event", "target", "seam", "reached", "fired", "recovered in", "what was done")
    rows = [
        (
            event.event_id,
            event.service,
            event.seam,
            f"{event.reached:,}",
            f"{event.fired:,}",
            _recovered_in(event),
            _done(event),
        )
        for event in shown
    ]
    found = table(header, rows, numbers=("reached", "fired"))
    hidden = len(events) - len(shown)
    return [*found, f"{counted(hidden, 'event')} recovered; report.json lists them."] if hidden else found


def _done(event: EventRow) -> str:
    """Say what was done, or who caught the error."""
    if event.observed == THE_TEST:
        return "no code caught it: it failed the test"
    return f"caught in {event.observed}" if event.observed else event.detail


def _recovered_in(event: EventRow) -> str:
    if event.recovery_seconds is not None:
        late = "" if event.outcome == "recovered" else " (too late)"
        return f"{_duration(event.recovery_seconds)}{late}"
    if event.waited_seconds is None:
        return event.outcome
    return f"{event.outcome} (waited {_duration(event.waited_seconds)})"


def _unreached(report: Report) -> list[str]:
    rows = [(seam.service, seam.target, seam.fix) for seam in report.seams_never_reached]
    return table(("service", "seam never reached", "what to do"), rows)


def _not_run(report: Report) -> list[str]:
    """Group what has the same reason."""
    grouped: dict[str, list[NotRun]] = {}
    for one in report.not_run:
        grouped.setdefault(f"{one.reason}. {one.fix}" if one.fix else one.reason, []).append(one)
    block = list(chain.from_iterable(_bullet(f"{_named(same)}: {why}") for why, same in grouped.items()))
    return ["not run:", *block] if block else []


def _named(same: Sequence[NotRun]) -> str:
    """Name a few; count more by scenario, as report.json has each."""
    if len(same) <= MOST_NOT_RUN:
        return ", ".join(f"{one.scenario} on {_target(one)}" for one in same)
    counts = Counter(one.scenario for one in same)
    return ", ".join(f"{name} on {counted(number, 'target')}" for name, number in sorted(counts.items()))


def _target(one: NotRun) -> str:
    """Name a target, with its seam where that says more."""
    return one.service if one.seam in ("", "calls", one.service) else f"{one.service} ({one.seam})"


def _wrapped(text: str) -> list[str]:
    return wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _bullet(text: str) -> list[str]:
    parts = wrap(text, WIDTH - 4, break_long_words=False, break_on_hyphens=False)
    return [f"{'  - ' if number == 0 else '    '}{part}" for number, part in enumerate(parts)]


def _failures(report: Report) -> list[str]:
    """Show first texts of failures that no fault excuses; count the others."""
    bad = {event.event_id for event in report.events if event.outcome == "not recovered"}
    shown = [
        one for one in report.failures if not one.event_id or one.event_id in bad or to_survive(one, report)
    ]
    block = list(chain.from_iterable(map(_failure, shown[:MOST_FAILURES])))
    more = len(shown) - MOST_FAILURES
    if more > 0:
        block.append(f"{counted(more, 'more kind')} of failures: see report.json.")
    excused = sum(one.count for one in report.failures) - sum(one.count for one in shown)
    if excused:
        block.append(f"{counted(excused, 'iteration')} failed under faults.")
    return block


def _failure(failure: Failure) -> list[str]:
    where = f"under {failure.event_id}" if failure.event_id else "outside faults"
    first = f"first at {format_duration(failure.first_at)} in {failure.phase} ({failure.stage})"
    text = failure.text.splitlines()
    left = len(text) - MOST_LINES
    return [
        f"{failure.test} failed {failure.count:,}x {where}, {first}",
        *([f"    … {left} lines before, in report.json"] if left > 0 else []),
        *(f"    {_shortened(line)}" for line in text[-MOST_LINES:]),
    ]


def _hangs(hangs: Sequence[Hang]) -> list[str]:
    """Count the hangs of each test and ending; the stacks are too long for here."""
    counts = Counter((hang.test, hang.ending) for hang in hangs)
    rows = [f"{test} hung {number:,}x: {ending}" for (test, ending), number in counts.items()]
    return [*rows, "Stacks of all threads: see run.log and report.json."] if rows else []


def _rate(rate: Rate | None) -> list[str]:
    """Say what was reached of the rate, and where it was missed most."""
    if rate is None:
        return []
    did = f"Rate {rate.profile}: {rate.reached:,} of {rate.asked:,.0f} iterations ({rate.share:.0%})"
    if rate.share >= REACHED_SHARE:
        return [f"{did}."]
    worst = rate.slowest
    place = f"{worst.reached:,} of {worst.asked:,.0f} in {worst.name}"
    return [f"{did}: the suite was slower than that, most of all with {place}."]


def _result(report: Report) -> list[str]:
    return [
        *_ending(report),
        *_lateness(report),
        *_rate(report.rate),
        *_coverage(report.coverage),
        f"{report.overall_result}: {_counts(row.verdict for row in report.criteria)}",
        *([f"Repeat with: {report.command}"] if report.command else []),
        *_resume(report),
    ]


def _resume(report: Report) -> list[str]:
    """Say how an unfinished run goes on."""
    if report.status not in UNFINISHED:
        return []
    return [f"Resume with: {report.command or 'pytest'} --soak-resume={report.test_id}"]


def _ending(report: Report) -> list[str]:
    if report.status == "complete":
        return []
    if report.status == "running":
        return ["The run has not ended: it was killed, or is still going on."]
    how = report.reason if report.status == "interrupted" else f"{report.status}: {report.reason}"
    return [f"The run was {how}."]


def _lateness(report: Report) -> list[str]:
    late = report.seconds - report.planned_seconds
    if late <= max(LATE_SECONDS, LATE_SHARE * report.planned_seconds):
        return []
    slowest = max(report.tests, key=lambda test: test.longest, default=None)
    why = f": an iteration of {slowest.test} took up to {format_duration(slowest.longest)}" if slowest else ""
    return [f"The run lasted {format_duration(late)} longer than asked{why}."]


def _coverage(coverage: Coverage) -> list[str]:
    if coverage.injected == coverage.possible:
        return []
    spared = f"; never broken: {', '.join(coverage.never_broken)}" if coverage.never_broken else ""
    return [f"Injected: {coverage.injected} of {counted(coverage.possible, 'possible fault')}{spared}."]


def _counts(verdicts: Iterable[str]) -> str:
    counts = Counter(verdicts)
    named = [f"{counts[name]} {_spaced(name)}" for name in SEVERITY if counts[name]]
    return f"{', '.join(named)} of {counts.total()} criteria" if named else "no criterion was judged"


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else format_duration(seconds)


def _shortened(line: str) -> str:
    return line if len(line) <= WIDTH - 4 else f"{line[: WIDTH - 5]}…"
