"""Real faults on real calls: what goes wrong, when, where, and the evidence that it did."""
