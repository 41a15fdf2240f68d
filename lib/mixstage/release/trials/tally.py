"""Counts of one side of a trial, the live release's or the trial's. They add up, over time and over replicas."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

_PER_DOUBLING = 16  # buckets of latencies: each is 4.4 % wider than the one before, so that is what a percentile is off


@dataclass(slots=True, kw_only=True)
class Tally:
    """Requests that one side of a trial answered or failed."""

    requests: int = 0  # with those that failed
    errors: int = 0
    agreement: float = 0.0  # sum of overlaps with the live hits, each 0 to 1
    compared: int = 0  # requests behind it
    dropped: int = 0  # copies that were not made, because too many were under way
    latencies: Counter[int] = field(default_factory=Counter)  # bucket -> answers

    @property
    def answers(self) -> int:
        return self.requests - self.errors

    def answered(self, seconds: float) -> None:
        self.requests += 1
        self.latencies[bucket(seconds * 1000)] += 1

    def failed(self) -> None:
        self.requests += 1
        self.errors += 1

    def compare(self, overlap: float) -> None:
        self.agreement += overlap
        self.compared += 1

    def slower_than(self, limit_ms: float) -> int:
        """Answers that took longer than a limit, which is rounded up to the end of its bucket."""
        limit = bucket(limit_ms)
        return sum(count for number, count in self.latencies.items() if number > limit)

    def percentile(self, share: float) -> float | None:
        """Milliseconds in which at least this share of the answers came, rounded up to the end of a bucket."""
        wanted = share * self.answers
        seen = 0
        for number in sorted(self.latencies):
            seen += self.latencies[number]
            if seen >= wanted:
                return upper_ms(number)
        return None


def bucket(milliseconds: float) -> int:
    """Number of the bucket of a latency; all below a millisecond share the first."""
    return math.ceil(round(_PER_DOUBLING * math.log2(max(milliseconds, 1.0)), 9))  # an upper end is in its own bucket


def upper_ms(number: int) -> float:
    """The longest latency of a bucket."""
    return float(2 ** (number / _PER_DOUBLING))


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum of what several replicas counted."""
    whole = Tally()
    for tally in tallies:
        whole.requests += tally.requests
        whole.errors += tally.errors
        whole.agreement += tally.agreement
        whole.compared += tally.compared
        whole.dropped += tally.dropped
        whole.latencies.update(tally.latencies)
    return whole
