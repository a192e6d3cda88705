"""Functions that a user gave: what goes wrong in them is told as a mistake, not as the fault's error."""

from pathlib import Path
from types import TracebackType

from pytest_resilience.chaos.acting import Acting
from pytest_resilience.chaos.evidence import Evidence
from pytest_resilience.errors import ResilienceError, ScenarioError

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line


class Asking:
    """Turns what `function`, which the user gave as `what`, raises into a ScenarioError, and notes it.

    A context manager; `fix` ends the message. Errors of ours, from building an error, stay as they are.
    """

    __slots__ = ("_acting", "_evidence", "_fix", "_function", "_what")

    def __init__(self, evidence: Evidence, what: str, function: object, fix: str) -> None:
        self._evidence = evidence
        self._what = what
        self._function = function
        self._fix = fix
        self._acting = Acting()

    def __enter__(self) -> None:
        self._acting.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, wrong: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._acting.__exit__()
        if isinstance(wrong, ResilienceError):
            self._evidence.note_mistake(wrong)
        elif isinstance(wrong, Exception):
            said = f"{type(wrong).__name__}: {wrong}"
            mistake = ScenarioError(f"{self._what} {written(self._function)} raised {said}. {self._fix}")
            self._evidence.note_mistake(mistake)
            raise mistake from wrong


def written(function: object) -> str:
    """Return how a message names a function: by its name, and its place if it has one."""
    name = getattr(function, "__qualname__", None)
    if not isinstance(name, str):
        return repr(function)
    code = getattr(function, "__code__", None)
    place = f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code is not None else ""
    return f"{name.rpartition('<locals>.')[2]}{place}"
