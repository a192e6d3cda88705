"""Faults of the machine and of its processes: busy cores, taken memory, full disks, pauses and kills."""
