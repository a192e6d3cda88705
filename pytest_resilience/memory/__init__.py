"""Memory watched from inside: signals, a sampler that does not grow, and an honest leak verdict."""
