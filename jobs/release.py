"""Phase 5: pins applications to compositions.

python -m jobs.release promote jobs/plans/sample.yaml [--application counsel] [--composition NAME]
python -m jobs.release status jobs/plans/sample.yaml
python -m jobs.release rollback jobs/plans/sample.yaml --application counsel
"""

import argparse
import sys
from collections.abc import Sequence

from rich.table import Table

from jobs.session import connect_when_needed, guarded, open_pipeline, plan_parser, read_plan
from mixstage.composition import Composition
from mixstage.errors import ReleaseError
from mixstage.evaluation.fusion import members_of
from mixstage.pipeline import Pipeline
from mixstage.plan import Plan
from mixstage.progress import Progress
from mixstage.release.pins import make_pin, open_registry
from mixstage.release.registry import Release
from mixstage.store import Store


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    options = parser().parse_args(arguments)

    def job() -> None:
        plan = read_plan(options)
        {"promote": _promote, "status": _status, "rollback": _rollback}[options.action](options, plan)

    return guarded("release", job)


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m jobs.release", description="Pins applications to compositions.")
    actions = options.add_subparsers(dest="action", required=True)
    for action, text in (
        ("promote", "pin applications to the winner, or to a composition by name"),
        ("status", "what each application is pinned to, and how it came about"),
        ("rollback", "pin an application to what it had before"),
    ):
        part = plan_parser(f"release {action}", text)
        sub = actions.add_parser(action, help=text, description=text, parents=[part], add_help=False)
        if action != "status":
            sub.add_argument("--seen", type=int, help="refuse if the application is no longer at this release number")
            sub.add_argument("--application", required=action == "rollback", help="one application [all]")
        if action == "promote":
            sub.add_argument("--composition", help="a composition's name [the winner]")
    return options


def promote_winner(pipeline: Pipeline) -> None:
    """Pins every application of the plan to the winner."""
    composition = Composition.parse(pipeline.choice.meta["winner"])
    for name in pipeline.plan.applications:
        _say(pipeline.progress, promote(pipeline, name, composition))


def promote(pipeline: Pipeline, application: str, composition: Composition, seen: int | None = None) -> Release:
    """Pins one application; the phases before are run if anything is missing."""
    plan = pipeline.plan
    refuse_unknown(plan, application)
    known = [*pipeline.retrievers, *plan.grid.fusions]
    if composition.retriever not in known:
        raise ReleaseError(f"no retriever {composition.retriever!r}: there are {', '.join(known)}")
    corpus = plan.applications[application].corpus
    asked = members_of(plan.grid, composition.retriever)
    pin = make_pin(
        plan.grid,
        composition,
        pipeline.prepared.corpora[corpus],
        [(pipeline.generations[corpus, name], pipeline.retrievers[name]) for name in asked],
        pipeline.curriculum.rerankers,
        pipeline.report,
    )
    return open_registry(plan, pipeline.store).promote(application, pin, seen=seen)


def refuse_unknown(plan: Plan, application: str) -> None:
    """Raises ReleaseError for an application that the plan does not have."""
    if application not in plan.applications:
        raise ReleaseError(f"no application {application!r}: there are {', '.join(plan.applications)}")


def _promote(options: argparse.Namespace, plan: Plan) -> None:
    if options.application:
        refuse_unknown(plan, options.application)  # before the phases that are missing run
    connect_when_needed()
    pipeline = open_pipeline(plan)
    composition = Composition.parse(options.composition or pipeline.choice.meta["winner"])
    for name in [options.application] if options.application else plan.applications:
        _say(pipeline.progress, promote(pipeline, name, composition, options.seen))


def _rollback(options: argparse.Namespace, plan: Plan) -> None:
    _say(Progress(), open_registry(plan, Store(plan.store)).rollback(options.application, seen=options.seen))


def _status(options: argparse.Namespace, plan: Plan) -> None:
    registry = open_registry(plan, Store(plan.store))
    table = Table(
        "application", "release", "action", "composition", "retriever", "generation", "reranker", "when (UTC)"
    )
    for name in plan.applications:
        history = registry.history(name)
        if not history:
            table.add_row(name, "none yet")
        for release in reversed(history):
            pin = release.pin
            retrievers, generations = zip(*((m.retriever, m.generation) for m in pin.members), strict=True)
            short = [
                " + ".join((d or "-")[:8] for d in digests) for digests in (retrievers, generations, [pin.reranker])
            ]
            when = f"{release.created:%Y-%m-%d %H:%M:%S}"
            live = " live" if release is history[-1] else ""
            table.add_row(name, f"{release.number}{live}", release.action, pin.composition, *short, when)
    Progress().console.print(table)


def _say(progress: Progress, release: Release) -> None:
    progress.say(f"{release.application}: release {release.number} ({release.action}) is {release.pin.composition}")


if __name__ == "__main__":
    sys.exit(main())
