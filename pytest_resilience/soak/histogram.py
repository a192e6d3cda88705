"""Latencies of millions of iterations in bounded memory."""

import math

GROWTH = 1.02
SMALLEST = 1e-6
NUMBERS = tuple(range(2048))
"""Of buckets, shared by all histograms: with numbers of its own each would grow, and look like a leak."""


class Histogram:
    """Counts by logarithmic bucket: quantiles of seconds, off by at most 1 %.

    The scheme is that of DDSketch (Masson, Rim and Lee, VLDB 2019).
    """

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.count = 0
        self.total = 0.0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        bucket = math.ceil(math.log(max(seconds, SMALLEST) / SMALLEST, GROWTH))
        if bucket < len(NUMBERS):
            bucket = NUMBERS[bucket]
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.count += 1
        self.total += seconds
        self.longest = max(self.longest, seconds)

    def merge(self, other: "Histogram") -> None:
        """Add all values of another one; quantiles stay as exact as those of each."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.count += other.count
        self.total += other.total
        self.longest = max(self.longest, other.longest)

    def to_text(self) -> str:
        """Return the counts by bucket, for `from_text`."""
        return " ".join(f"{bucket}:{count}" for bucket, count in sorted(self.counts.items()))

    @classmethod
    def from_text(cls, text: str, total: float = 0.0) -> "Histogram":
        """Return the histogram that wrote `text`; `total` is the sum of its values in seconds."""
        made = cls()
        for bucket, _, count in (part.partition(":") for part in text.split()):
            made.counts[int(bucket)] = int(count)
        made.count, made.total = sum(made.counts.values()), total
        return made

    def quantile(self, share: float) -> float:
        """Return the latency in seconds below which `share` (0 to 1) of the values lie; 0 if empty."""
        rank = share * (self.count - 1)
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen > rank:
                return 2 * SMALLEST * GROWTH**bucket / (GROWTH + 1)
        return 0.0
