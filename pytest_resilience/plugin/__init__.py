"""The pytest side: options, hooks, fixtures, markers and terminal; only here is pytest imported."""
