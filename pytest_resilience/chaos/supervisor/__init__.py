"""The supervisor: a process of its own that holds every effect outside the test process, and undoes it."""
