"""What becomes of a trial: it waits, is promoted, is rolled back, or ends undecided.

Each criterion is a limit on a mean, tested in both directions by evidence that may be looked at after each request
(`mixstage.stats.sequential`). A trial is rolled back as soon as one limit is shown broken; the criteria share alpha for
that, so that a trial that keeps all its limits is rolled back with probability alpha at most. It is promoted once all
are shown kept, at alpha each: one that breaks any limit is promoted with probability alpha at most, because that very
limit would have to be shown kept.

What the tests take for granted: under a hypothesis each request keeps it, whatever came before. A trial that was good
and turns bad is found later than one that was bad from its start.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from mixstage.plan.serving import TrialPlan
from mixstage.release.trials.tally import Tally
from mixstage.stats.sequential import log_evidence_above, log_evidence_below

BASELINE = 200  # live answers behind the live p95: its true share of slower answers is then 5 % give or take 1.5
FEWEST = 5  # requests on trial below which nothing is decided: one failure at the start may be a replica that died
_SLOW = 0.05  # share of answers that p95 lets be slower

Word = Literal["wait", "promote", "roll back", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialCounts:
    """What was observed since a trial began."""

    live: Tally = field(default_factory=Tally)
    trial: Tally = field(default_factory=Tally)
    wins: int = 0  # interleaved queries whose clicks prefer the trial
    losses: int = 0
    ties: int = 0  # clicked, equally on both sides
    live_p95_ms: float | None = None  # see `baseline`


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """A limit and the evidence on it, as natural logarithms."""

    name: str
    count: float  # sum of observations
    number: int
    limit: float  # of their mean
    broken: float
    kept: float

    def sentence(self) -> str:
        mean = f"{self.count / self.number:.4g}" if self.number else "nothing yet"
        return (
            f"{self.name}: {mean} ({self.count:g} of {self.number}), limit {self.limit:g}; "
            f"evidence {_odds(self.kept)} that it is kept, {_odds(self.broken)} that it is broken"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    word: Word
    reasons: tuple[str, ...]  # none to wait

    def sentence(self) -> str:
        return f"{self.word}: " + ". ".join(self.reasons)


def baseline(live: Tally) -> float | None:
    """The live p95 in milliseconds, once enough live answers of this trial are known.

    The caller keeps the first one: a limit that moved with later answers would follow the very load that the trial
    makes. It comes from the live side alone, at the time of the trial and on the same machines, so that what the trial
    does can't choose its own limit.
    """
    return live.percentile(1 - _SLOW) if live.answers >= BASELINE else None


def latency_limit(counts: TrialCounts, plan: TrialPlan) -> float | None:
    """Milliseconds; None as long as too few live answers are known."""
    if plan.p95_ms is not None:
        return plan.p95_ms
    return None if counts.live_p95_ms is None else counts.live_p95_ms * plan.slower


def criteria(action: str, counts: TrialCounts, plan: TrialPlan) -> list[Criterion]:
    """The limits that a trial of this kind has to keep; latency's evidence is 1 as long as its limit is unknown."""
    trial, limit_ms = counts.trial, latency_limit(counts, plan)
    limits = [_at_most("errors", trial.errors, trial.requests, plan.errors)]
    if limit_ms is None:
        limits.append(_at_most("slow answers (no live p95 yet)", 0, 0, _SLOW))
    else:
        slow = trial.slower_than(limit_ms)
        limits.append(_at_most(f"answers slower than {limit_ms:.0f} ms", slow, trial.answers, _SLOW))
    if action == "shadow":
        limits.append(_at_least("agreement with the live hits", trial.agreement, trial.compared, plan.agreement))
    if action == "interleave":
        limits.append(_at_least("clicked queries that prefer it", counts.wins, counts.wins + counts.losses, 0.5))
    return limits


def decide(action: str, counts: TrialCounts, plan: TrialPlan, hours: float) -> Decision:
    """What to do with a trial that has run for `hours`.

    Raises nothing; may be called as often as wanted, and `alpha` holds over all calls together.
    """
    limits = criteria(action, counts, plan)
    broken = [c for c in limits if c.broken >= math.log(len(limits) / plan.alpha)]
    if broken and counts.trial.requests >= FEWEST:
        return _decision("roll back", broken)
    if all(c.kept >= math.log(1 / plan.alpha) for c in limits):
        return _decision("promote", limits)
    if hours >= plan.hours:
        decision = _decision("inconclusive", limits)
        return Decision(word=decision.word, reasons=(f"not decided in {plan.hours:g} hours", *decision.reasons))
    return Decision(word="wait", reasons=())


def _decision(word: Word, limits: Sequence[Criterion]) -> Decision:
    return Decision(word=word, reasons=tuple(c.sentence() for c in limits))


def _at_most(name: str, count: float, number: int, limit: float) -> Criterion:
    above, below = log_evidence_above(count, number, limit), log_evidence_below(count, number, limit)
    return Criterion(name=name, count=count, number=number, limit=limit, broken=above, kept=below)


def _at_least(name: str, count: float, number: int, limit: float) -> Criterion:
    above, below = log_evidence_above(count, number, limit), log_evidence_below(count, number, limit)
    return Criterion(name=name, count=count, number=number, limit=limit, broken=below, kept=above)


def _odds(log: float) -> str:
    """exp(log) to 1, in few characters."""
    return f"{math.exp(log):.3g}:1" if log < 13 else f"10^{log / math.log(10):.0f}:1"
