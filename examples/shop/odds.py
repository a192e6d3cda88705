"""odds_provider, seen from the shop: an HTTP client with a time-out."""

import json
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

ODDS_TIMEOUT = 0.25
"""Seconds after which the client gives up on the provider."""


@dataclass(frozen=True, slots=True)
class Odds:
    """What the provider offers for one game: decimal odds by market."""

    game_id: str
    markets: dict[str, float]


class OddsClient:
    """Asks the odds provider over one kept-alive connection; for one thread at a time."""

    def __init__(self, address: tuple[str, int], timeout: float = ODDS_TIMEOUT) -> None:
        self._connection = HTTPConnection(*address, timeout=timeout)

    def fetch(self, game_id: str) -> Odds:
        """Return the odds of one game.

        Raise LookupError for an unknown game, ConnectionError or TimeoutError when the provider is ill.
        """
        status, body = self._get(f"/odds/{game_id}")
        if status == 404:
            raise LookupError(f"The odds provider knows no game {game_id!r}.")
        if status != 200:
            raise ConnectionError(f"The odds provider answered with status {status}.")
        return Odds(game_id, json.loads(body))

    def close(self) -> None:
        self._connection.close()

    def _get(self, path: str) -> tuple[int, bytes]:
        try:
            self._connection.request("GET", path)
            response = self._connection.getresponse()
            return response.status, response.read()
        except OSError:
            self.close()  # half an answer must not meet the next question
            raise
        except HTTPException as wrong:
            self.close()
            raise ConnectionError(f"The odds provider does not speak HTTP: {wrong!r}.") from wrong
