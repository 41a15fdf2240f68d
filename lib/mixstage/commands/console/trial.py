"""Trials by hand: how they start, how they end, how they stand."""

import argparse
from datetime import datetime

from mixstage.commands.console.pinning import check_golden, pin_of, refuse_silent_force, refuse_unknown
from mixstage.commands.console.session import aside
from mixstage.composition import Composition
from mixstage.errors import ReleaseError
from mixstage.pipeline import Pipeline
from mixstage.plan.schema import Plan
from mixstage.plan.serving import TrialPlan
from mixstage.release.pins import open_registry, refuse_unproven, verdict_on
from mixstage.release.record import Note, Pin, Release, Standing
from mixstage.release.registry import Registry
from mixstage.release.trials.observed import Observations
from mixstage.release.trials.watch import criteria, decide
from mixstage.store.plain import JsonObject
from mixstage.store.store import Store


def start_trial(options: argparse.Namespace, plan: Plan) -> Release:
    """Puts a composition, or what an earlier release pinned, on trial.

    Raises ReleaseError for a share that is none, for one that leaves no live users to compare a canary with, and
    without --force if another trial runs, or if a canary or a shadow copy would promote what no test speaks for;
    ModelError if a checkpoint drifted from its golden records.
    """
    refuse_silent_force(options)
    refuse_unknown(plan, options.application)  # before the phases that are missing run
    _refuse_share(options, plan.serving.trial)
    registry = open_registry(plan, Store(plan.store))
    seen = _newest(options, registry)  # before the phases run, which may take as long as someone else's trial
    pin, verdict = _wanted(options, plan, registry)
    note = Note(verdict=verdict, author=options.who, reason=options.why)
    return registry.try_out(options.application, options.action, pin, options.share, note, seen=seen)


def end_trial(options: argparse.Namespace, plan: Plan) -> Release:
    """Raises ReleaseError if no trial runs."""
    registry = open_registry(plan, Store(plan.store))
    note = Note(author=options.who, reason=options.why)
    return registry.end_trial(options.application, note, seen=options.seen)


def trial_status(standing: Standing, observations: Observations, limits: TrialPlan, now: datetime) -> JsonObject | None:
    """The trial that runs, as plain data: its row, what was counted, each limit's evidence, what follows from it."""
    trial = standing.trial
    if trial is None:
        return None
    counts = observations.counts(trial.application, trial.number)
    decision = decide(trial.action, counts, limits, (now - trial.created).total_seconds() / 3600)
    tallies = {
        name: {
            "requests": tally.requests,
            "errors": tally.errors,
            "p95_ms": tally.percentile(0.95),
            "compared": tally.compared,
            "agreement": tally.agreement / tally.compared if tally.compared else None,
            "dropped": tally.dropped,
        }
        for name, tally in (("live", counts.live), ("trial", counts.trial))
    }
    return {
        **trial.to_json(),
        "answering": standing.tried,
        **tallies,
        "clicks": {"wins": counts.wins, "losses": counts.losses, "ties": counts.ties},
        "decision": decision.word,
        "told": [criterion.sentence() for criterion in criteria(trial.action, counts, limits)],
    }


def _wanted(options: argparse.Namespace, plan: Plan, registry: Registry) -> tuple[Pin, str | None]:
    """The pin to try, and the verdict on it."""
    if options.pin_of is not None:
        history = {release.number: release for release in registry.history(options.application)}
        if options.pin_of not in history:
            raise ReleaseError(f"{options.application!r} has no release {options.pin_of}: it has {len(history)}")
        earlier = history[options.pin_of]  # its checkpoints were replayed then, and are by whoever starts them
        if earlier.is_trial and not _needs_no_proof(options) and earlier.note.verdict != "SHIP":
            raise ReleaseError(
                f"release {earlier.number} is a trial itself, and no test speaks for {earlier.pin.composition}: try it "
                "all the same with --force --why 'the reason'"
            )
        return earlier.pin, earlier.note.verdict
    with aside(options.json):
        pipeline = Pipeline.of(plan)
        composition = Composition.parse(options.composition) if options.composition else pipeline.choice.winner
        pin = pin_of(pipeline, options.application, composition)
        outcome = pipeline.report.outcome
        if not _needs_no_proof(options):
            refuse_unproven(outcome.choice, outcome.verdict, composition)
        check_golden(pipeline, composition)
        return pin, verdict_on(outcome.choice, outcome.verdict, composition)


def _needs_no_proof(options: argparse.Namespace) -> bool:
    """Clicks are a test of their own; errors and seconds are none."""
    return bool(options.action == "interleave" or options.force)


def _refuse_share(options: argparse.Namespace, limits: TrialPlan) -> None:
    if not 0 < options.share <= 1:
        raise ReleaseError(f"--share {options.share:g}: give a part of the users, above 0 and at most 1")
    if options.action == "canary" and options.share == 1 and limits.p95_ms is None:
        raise ReleaseError(
            "--share 1 leaves no user to the live composition, whose latency a canary is held against: give less, or "
            "set serving.trial.p95_ms"
        )


def _newest(options: argparse.Namespace, registry: Registry) -> int | None:
    """Number of the row that the trial is to follow; raises ReleaseError if a trial runs, without --force."""
    standing = registry.standings().get(options.application)
    running = None if standing is None else standing.trial
    if running is not None and not options.force:
        raise ReleaseError(
            f"{running.action} {running.number} of {running.pin.composition} runs for {options.application!r}: let it "
            "be decided, end it with `mixstage release end`, or take its place with --force --why"
        )
    newest = running or (standing.wanted if standing else None)
    seen: int | None = options.seen
    return newest.number if seen is None and newest is not None else seen
