"""Decides on trials: each call reads what was observed so far, and writes what follows from it into the registry."""

from datetime import datetime

from mixstage.errors import ReleaseError
from mixstage.plan.serving import TrialPlan
from mixstage.release.record import Note, Release
from mixstage.release.registry import Registry
from mixstage.release.trials.observed import Observations
from mixstage.release.trials.watch import Decision, TrialCounts, baseline, decide

AUTHOR = "mixstage"  # of the rows that no person wrote


def step(registry: Registry, observations: Observations, limits: TrialPlan, now: datetime) -> list[Release]:
    """The rows that end trials whose limits are shown kept or broken, or whose time is over; most calls write none.

    A trial that is promoted is pinned for all users at once: its components answer already. Who released, or ended the
    trial, in the meantime has the last word. Many may call this at once, with the same result.
    """
    written = []
    for standing in registry.standings().values():
        trial = standing.active_trial
        if trial is None:
            continue
        counts = look(observations, trial)
        decision = decide(trial.action, counts, limits, (now - trial.created).total_seconds() / 3600)
        if decision.word == "wait":
            continue
        try:
            written.append(_write(registry, trial, decision))
        except ReleaseError:
            continue  # someone else was faster
    return written


def look(observations: Observations, trial: Release) -> TrialCounts:
    """What was observed of a trial; keeps the live p95 once enough live answers are known."""
    counts = observations.counts(trial.application, trial.number)
    p95_ms = baseline(counts.live)
    if counts.live_p95_ms is not None or p95_ms is None:
        return counts
    observations.keep_baseline(trial.application, trial.number, p95_ms)
    return observations.counts(
        trial.application, trial.number
    )  # with the one that was kept: another may have been first


def _write(registry: Registry, trial: Release, decision: Decision) -> Release:
    reason = f"{trial.action} {trial.number}, {decision.sentence()}"
    note = Note(verdict=trial.note.verdict, author=AUTHOR, reason=reason)
    if decision.word == "promote":
        return registry.promote(trial.application, trial.pin, note, seen=trial.number)
    return registry.end_trial(trial.application, note, seen=trial.number)
