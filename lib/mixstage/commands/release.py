"""Phase 5: pins applications to compositions.

mixstage release promote sample [--application counsel] [--composition NAME]
mixstage release rollback sample --application counsel [--component reranker]
mixstage release canary sample --application counsel [--composition NAME | --pin-of RELEASE]
mixstage release shadow sample --application counsel [--share 0.1]
mixstage release interleave sample --application counsel [--share 0.1]
mixstage release end sample --application counsel
mixstage release status sample
mixstage release history sample [--application counsel]
mixstage release diff sample --application counsel [--old 1] [--new 3]

A composition is promoted if the report's test says SHIP, or if it is the incumbent; others need --force --why, also on
trial as a canary or a shadow copy: errors and seconds do not test quality, clicks on an interleaved list do.
The serving process promotes a trial once the limits of `serving.trial` are shown kept, and ends it once one is shown
broken, or undecided after `serving.trial.hours`. `end` stops it by hand. With --json every answer is one JSON document.
"""

import argparse
import getpass
from collections.abc import Callable, Sequence
from dataclasses import replace

from mixstage.commands.console import release_show
from mixstage.commands.console.pinning import check_golden, pin_of, refuse_silent_force, refuse_unknown
from mixstage.commands.console.release_args import release_parser
from mixstage.commands.console.release_show import line, tell
from mixstage.commands.console.session import aside, guarded, read_plan
from mixstage.commands.console.trial import end_trial, start_trial
from mixstage.composition import Composition
from mixstage.pipeline import Pipeline
from mixstage.plan.schema import Plan
from mixstage.release.pins import open_registry, refuse_unproven, verdict_on
from mixstage.release.record import TRIALS, Note, Release
from mixstage.store.store import Store


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    options = parser().parse_args(arguments)
    actions: dict[str, Callable[[argparse.Namespace, Plan], None]] = {
        "promote": _promote,
        "rollback": _rollback,
        **dict.fromkeys(TRIALS, _try_out),
        "end": _end,
        "status": release_show.status,
        "history": release_show.history,
        "diff": release_show.diff,
    }
    return guarded("release", lambda: actions[options.action](options, read_plan(options)), verbose=options.verbose)


def parser() -> argparse.ArgumentParser:
    return release_parser(__doc__)


def release_by_verdict(pipeline: Pipeline) -> None:
    """What the pipeline ends with: the winner if the verdict is SHIP; otherwise what is live stays, and an application
    that has nothing yet gets the incumbent."""
    outcome = pipeline.report.outcome
    verdict, ship = outcome.verdict, outcome.verdict.word == "SHIP"
    composition = outcome.choice.winner if ship else outcome.choice.incumbent
    released = open_registry(pipeline.plan, pipeline.store).live()
    for application in pipeline.plan.applications:
        release = released.get(application)
        if ship or release is None:
            note = Note(author=getpass.getuser(), reason=verdict.sentence)
            release = promote(pipeline, application, composition, note)
        pipeline.progress.say(f"{line(release)}, the verdict is {verdict.word}")


def promote(
    pipeline: Pipeline,
    application: str,
    composition: Composition,
    note: Note,
    *,
    seen: int | None = None,
    force: bool = False,
) -> Release:
    """Pins one application; the phases before are run if anything is missing. The note gets the report's verdict.

    Raises InputError or ReleaseError for names that the plan lacks, and without `force` for a composition that no test
    speaks for; ModelError if a checkpoint drifted from its golden records.
    """
    pin = pin_of(pipeline, application, composition)
    outcome = pipeline.report.outcome
    if not force:
        refuse_unproven(outcome.choice, outcome.verdict, composition)
    registry = open_registry(pipeline.plan, pipeline.store)
    released = registry.live().get(application)
    if released is None or released.pin != pin:
        check_golden(pipeline, composition)
    note = replace(note, verdict=verdict_on(outcome.choice, outcome.verdict, composition))
    return registry.promote(application, pin, note, seen=seen)


def _promote(options: argparse.Namespace, plan: Plan) -> None:
    refuse_silent_force(options)
    if options.application:
        refuse_unknown(plan, options.application)  # before the phases that are missing run
    note = Note(author=options.who, reason=options.why)
    with aside(options.json):
        pipeline = Pipeline.of(plan)
        composition = Composition.parse(options.composition) if options.composition else pipeline.choice.winner
        releases = [
            promote(pipeline, name, composition, note, seen=options.seen, force=options.force)
            for name in ([options.application] if options.application else plan.applications)
        ]
    tell(options, releases)


def _rollback(options: argparse.Namespace, plan: Plan) -> None:
    registry = open_registry(plan, Store(plan.store))
    note = Note(author=options.who, reason=options.why)
    tell(options, [registry.rollback(options.application, note, component=options.component, seen=options.seen)])


def _try_out(options: argparse.Namespace, plan: Plan) -> None:
    tell(options, [start_trial(options, plan)])


def _end(options: argparse.Namespace, plan: Plan) -> None:
    tell(options, [end_trial(options, plan)])
