"""A small betting service: odds from a provider over HTTP, a cache in Redis, bets in SQLite."""
