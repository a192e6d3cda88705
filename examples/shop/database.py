"""database_service: the bets, in SQLite."""

import sqlite3
from pathlib import Path

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS bets (
    id INTEGER PRIMARY KEY,
    customer TEXT NOT NULL,
    game_id TEXT NOT NULL,
    price REAL NOT NULL,
    stake INTEGER NOT NULL,
    payout INTEGER
);
"""


class BetStore:
    """Bets in one table; money in cents. Raises sqlite3.OperationalError when the database is ill."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=0.25)
        self._connection.executescript(_SCHEMA)

    def save(self, customer: str, game_id: str, price: float, stake: int) -> int:
        """Write an open bet down and return its number."""
        row = "INSERT INTO bets (customer, game_id, price, stake) VALUES (?, ?, ?, ?) RETURNING id"
        with self._connection:
            return int(self._connection.execute(row, (customer, game_id, price, stake)).fetchone()[0])

    def settle(self, bet_id: int, won: bool) -> int:
        """Close a bet and return what it pays; a bet that is closed already pays the same again."""
        pay = "UPDATE bets SET payout = round(price * stake * ?) WHERE id = ? AND payout IS NULL"
        with self._connection:
            self._connection.execute(pay, (won, bet_id))
            found = self._connection.execute("SELECT payout FROM bets WHERE id = ?", (bet_id,)).fetchone()
        if found is None:
            raise LookupError(f"There is no bet {bet_id}.")
        return int(found[0])

    def open_bets(self, customer: str) -> int:
        """Count the customer's bets that are not settled."""
        count = "SELECT count(*) FROM bets WHERE customer = ? AND payout IS NULL"
        return int(self._connection.execute(count, (customer,)).fetchone()[0])

    def forget(self, customer: str) -> None:
        """Delete all bets of a customer."""
        with self._connection:
            self._connection.execute("DELETE FROM bets WHERE customer = ?", (customer,))

    def close(self) -> None:
        self._connection.close()
