"""What is checked: an instance, a factory, or a breaker of the user's own, with what supports it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from pytest_resilience.breakers.adapter import Adapter, Library
from pytest_resilience.breakers.hands import Hands, RealHands
from pytest_resilience.breakers.libraries import MODULES, library_of
from pytest_resilience.breakers.moved_clocks import moved_clocks
from pytest_resilience.breakers.own import BreakerAdapter
from pytest_resilience.errors import ResilienceError, requirement

Lend: TypeAlias = Callable[[], Adapter]


@dataclass(frozen=True, slots=True)
class Subject:
    """A breaker under test: `build` gives it, or a new one like it, and `library` knows how to borrow it."""

    name: str
    library: Library
    build: Callable[[], object]

    @contextmanager
    def borrowed(self, hands: Hands, *, twins: bool = False) -> Iterator[Lend]:
        """Yield a function that lends a closed breaker on the time of `hands`; at the end all is as it was.

        Calls of it see that time inside `with hands:` only. With `twins`, each is an independent copy.
        Nothing else may call an instance meanwhile: it would be rejected when the check opens it.
        """
        with ExitStack() as undo:
            if hands.virtual:
                undo.enter_context(moved_clocks(self.library.clocks, hands))

            def lend() -> Adapter:
                with hands:
                    made = self.build()
                return self.library.lend(self.library.twin(made) if twins else made, hands, undo)

            yield lend

    @contextmanager
    def handed_out(self) -> Iterator[object]:
        """Yield the breaker itself, closed and fresh, on the machine's time; at the end it is as it was."""
        with ExitStack() as undo:
            made = self.build()
            adapter = self.library.lend(made, RealHands(), undo)
            yield adapter.handed_out(made)


def subject_of(name: str, source: object) -> Subject:
    """Return what to check; raise ResilienceError if `source` is no breaker and gives none.

    Args:
        name: how reports call it.
        source: a breaker of a supported library, which is given back as it was, a function without arguments
            that returns one, or a BreakerAdapter.
    """
    if isinstance(source, BreakerAdapter):
        source.try_out()
        return Subject(name, source.library(), lambda: source)
    if library := library_of(source):
        return Subject(name, library, lambda: source)
    if not callable(source):
        raise _unsupported(name, source)
    first = _built(name, source)
    if isinstance(first, BreakerAdapter):
        return subject_of(name, first)
    library = library_of(first)
    if library is None:
        raise _unsupported(name, first)

    def build() -> object:
        made = _built(name, source)
        if not library.owns(made):
            raise _unsupported(name, made)
        return made

    return Subject(name, library, build)


def _built(name: str, factory: Callable[[], object]) -> object:
    try:
        return factory()
    except ResilienceError:  # it says by itself what is wrong with an adapter
        raise
    except Exception as reason:
        failed = f"Calling it raised {type(reason).__name__}: {str(reason).rstrip('.')}."
        raise _unsupported(name, factory, failed) from reason


def _unsupported(name: str, value: object, fix: str = "") -> ResilienceError:
    allowed = "a circuit breaker, or a function without arguments that returns one"
    known = f"Supported: {', '.join(sorted(MODULES))}; describe your own by a BreakerAdapter."
    return ResilienceError(requirement(f"Breaker {name!r}", allowed, value, fix or known))
