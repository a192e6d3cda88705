"""Circuit breakers under test: what they let through to the dependency, and when."""
