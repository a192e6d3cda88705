"""A shop with mistakes that only faults bring to light, and what it depends on."""

from dataclasses import dataclass, field

from pytest_resilience.services import Service

GAMES = ("one", "two", "three")


class OddsClosed(Exception):
    """An error of the shop's own."""

    def __init__(self, game: str = "any") -> None:
        super().__init__(game)


class Unwritable(Exception):
    """Its arguments are not those that make it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")


def fetch(game: str) -> float:
    return 1.5


async def fetch_later(game: str) -> float:
    return 1.5


def load(game: str) -> float:
    return 1.4


def quote(game: str, attempts: int = 2) -> float:
    """Ask again after a failure; three attempts are promised."""
    for _ in range(attempts):
        try:
            return fetch(game)
        except (ConnectionError, TimeoutError):
            continue
    raise LookupError(f"no odds for {game}")


def quote_or_load(game: str) -> float:
    """Fall back on what is stored."""
    try:
        return fetch(game)
    except ConnectionError:
        return load(game)
    except TimeoutError:
        return 1.0


async def quote_later(game: str) -> float:
    """Fall back, but for one error."""
    try:
        return await fetch_later(game)
    except ConnectionError:
        return 1.0


@dataclass
class Board:
    """The odds of all games, fetched once; a fault in between leaves a part of them."""

    odds: dict[str, float] = field(default_factory=dict)

    def read(self) -> dict[str, float]:
        if not self.odds:
            for game in GAMES:
                self.odds[game] = fetch(game)
        return self.odds


def make_error() -> OSError:
    return OSError(28, "made by a factory")


PROVIDER = Service("odds_provider", calls=[fetch, fetch_later], errors=[ConnectionError], timeout=2.0)
STORE = Service("store", calls=["fault_plan_subjects:load"], errors=[OSError(28, "No space left")])
SERVICES = [PROVIDER, STORE]
