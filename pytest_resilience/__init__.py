"""pytest-resilience: proof of resilience from a pytest suite."""
