"""One SQLite file per run; it survives kill -9 and can be read while it is written."""
