"""Phase 5: pins applications to compositions.

python -m jobs.release promote jobs/plans/sample.yaml [--application counsel] [--composition NAME]
python -m jobs.release rollback jobs/plans/sample.yaml --application counsel [--component reranker]
python -m jobs.release status jobs/plans/sample.yaml
python -m jobs.release history jobs/plans/sample.yaml [--application counsel]
python -m jobs.release diff jobs/plans/sample.yaml --application counsel [--old 1] [--new 3]

A composition is promoted if the report's test says SHIP, or if it is the incumbent; others need --force --why. With
--json every answer is one JSON document.
"""

import argparse
import getpass
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

from rich.table import Table

from jobs.session import connect_when_needed, guarded, open_pipeline, plan_parser, read_plan
from mixstage.composition import Composition
from mixstage.errors import ReleaseError
from mixstage.evaluation.fusion import members_of
from mixstage.pipeline import Pipeline
from mixstage.plan import Plan
from mixstage.progress import Progress
from mixstage.release.gate import refuse_unproven, verdict_on
from mixstage.release.pins import make_pin, open_registry, replay_golden
from mixstage.release.record import Note, Release
from mixstage.stage_plan import Component
from mixstage.store import Store

_HEAD = ("application", "release", "action", "composition", "verdict", "by", "why", "when (UTC)")
_CHANGING = ("promote", "rollback")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    options = parser().parse_args(arguments)
    actions: dict[str, Callable[[argparse.Namespace, Plan], None]] = {
        "promote": _promote,
        "rollback": _rollback,
        "status": _status,
        "history": _history,
        "diff": _diff,
    }
    return guarded("release", lambda: actions[options.action](options, read_plan(options)))


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m jobs.release", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = options.add_subparsers(dest="action", required=True)
    subs = {}
    for action, text in (
        ("promote", "pin applications to the winner, or to a composition by name"),
        ("rollback", "pin an application, or one component of it, to what it had before"),
        ("status", "what each application is pinned to"),
        ("history", "every release of each application, newest first"),
        ("diff", "what one release changed against another"),
    ):
        part = plan_parser(f"release {action}", text)
        sub = actions.add_parser(action, help=text, description=text, parents=[part], add_help=False)
        one = action in ("rollback", "diff")
        sub.add_argument("--application", required=one, help="one application" + ("" if one else " [all]"))
        sub.add_argument("--json", action="store_true", help="answer as JSON")
        if action in _CHANGING:
            sub.add_argument("--seen", type=int, help="refuse if the application is no longer at this release number")
            sub.add_argument("--why", default="", help="the reason, kept with the release")
            sub.add_argument("--who", default=getpass.getuser(), help="the author, kept with the release [%(default)s]")
        subs[action] = sub
    subs["promote"].add_argument("--composition", help="a composition's name [the winner]")
    subs["promote"].add_argument("--force", action="store_true", help="even if no test speaks for it; needs --why")
    subs["rollback"].add_argument("--component", choices=get_args(Component), help="only this one [both]")
    subs["diff"].add_argument("--old", type=int, help="a release number [the one before --new]")
    subs["diff"].add_argument("--new", type=int, help="a release number [the live one]")
    return options


def release_by_verdict(pipeline: Pipeline) -> None:
    """What the pipeline ends with: the winner if the verdict is SHIP; otherwise what is live stays, and an application
    that has nothing yet gets the incumbent."""
    report = pipeline.report.read_json("report.json")
    ship = report["verdict"]["word"] == "SHIP"
    name = report["choice"]["winner"] if ship else report["choice"]["rivals"]["incumbent"]
    live = open_registry(pipeline.plan, pipeline.store).live()
    for application in pipeline.plan.applications:
        release = live.get(application)
        if ship or release is None:
            note = Note(author=getpass.getuser(), reason=report["verdict"]["sentence"])
            release = promote(pipeline, application, Composition.parse(name), note)
        pipeline.progress.say(f"{_line(release)}, the verdict is {report['verdict']['word']}")


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

    Raises ReleaseError for names that the plan lacks, and without `force` for a composition that no test speaks for;
    ModelError if a checkpoint drifted from its golden records.
    """
    plan = pipeline.plan
    _check_names(pipeline, application, composition)
    report = pipeline.report.read_json("report.json")
    if not force:
        refuse_unproven(report, str(composition))
    corpus = plan.applications[application].corpus
    asked = members_of(plan.grid, composition.retriever)
    retrievers = [(pipeline.generations[corpus, name], pipeline.retrievers[name]) for name in asked]
    rerankers = pipeline.curriculum.rerankers
    pin = make_pin(plan.grid, composition, pipeline.prepared.corpora[corpus], retrievers, rerankers, pipeline.report)
    registry = open_registry(plan, pipeline.store)
    live = registry.live().get(application)
    if live is None or live.pin != pin:
        replay_golden([checkpoint for _, checkpoint in retrievers], rerankers.get(composition.reranker))
    note = replace(note, verdict=verdict_on(report, str(composition)))
    return registry.promote(application, pin, note, seen=seen)


def _check_names(pipeline: Pipeline, application: str, composition: Composition) -> None:
    plan = pipeline.plan
    refuse_unknown(plan, application)
    known = [*pipeline.retrievers, *plan.grid.fusions]
    if composition.retriever not in known:
        raise ReleaseError(f"no retriever {composition.retriever!r}: there are {', '.join(known)}")


def refuse_unknown(plan: Plan, application: str) -> None:
    """Raises ReleaseError for an application that the plan does not have."""
    if application not in plan.applications:
        raise ReleaseError(f"no application {application!r}: there are {', '.join(plan.applications)}")


def _promote(options: argparse.Namespace, plan: Plan) -> None:
    if options.force and not options.why.strip():
        raise ReleaseError("--force needs --why: the reason is kept with the release")
    if options.application:
        refuse_unknown(plan, options.application)  # before the phases that are missing run
    connect_when_needed()
    pipeline = open_pipeline(plan)
    composition = Composition.parse(options.composition or pipeline.choice.meta["winner"])
    note = Note(author=options.who, reason=options.why)
    releases = [
        promote(pipeline, name, composition, note, seen=options.seen, force=options.force)
        for name in ([options.application] if options.application else plan.applications)
    ]
    _tell(options, releases)


def _rollback(options: argparse.Namespace, plan: Plan) -> None:
    registry = open_registry(plan, Store(plan.store))
    note = Note(author=options.who, reason=options.why)
    _tell(options, [registry.rollback(options.application, note, component=options.component, seen=options.seen)])


def _status(options: argparse.Namespace, plan: Plan) -> None:
    live = open_registry(plan, Store(plan.store)).live()
    names = [options.application] if options.application else plan.applications
    if options.json:
        print(json.dumps({name: live[name].to_json() if name in live else None for name in names}, indent=1))
        return
    table = Table(*_HEAD)
    for name in names:
        table.add_row(*(_cells(live[name]) if name in live else (name, "none yet")))
    Progress().console.print(table)


def _history(options: argparse.Namespace, plan: Plan) -> None:
    registry = open_registry(plan, Store(plan.store))
    names = [options.application] if options.application else plan.applications
    found = [release for name in names for release in reversed(registry.history(name))]
    if options.json:
        print(json.dumps([release.to_json() for release in found], indent=1))
        return
    table = Table(*_HEAD)
    for release in found:
        table.add_row(*_cells(release))
    Progress().console.print(table)


def _diff(options: argparse.Namespace, plan: Plan) -> None:
    history = {
        release.number: release for release in open_registry(plan, Store(plan.store)).history(options.application)
    }
    new = options.new or max(history, default=0)
    old = options.old or new - 1
    for number in (new, old):
        if number not in history:
            raise ReleaseError(f"{options.application!r} has no release {number}: it has {len(history)}")
    left, right = (history[number].to_json() for number in (old, new))
    changed = {key: {"old": left[key], "new": right[key]} for key in left if left[key] != right[key]}
    if options.json:
        print(json.dumps({"application": options.application, "old": old, "new": new, "changed": changed}, indent=1))
        return
    table = Table("what", f"release {old}", f"release {new}", title=options.application)
    for key, values in changed.items():
        table.add_row(key, *(_short(value) for value in values.values()))
    Progress().console.print(table)


def _tell(options: argparse.Namespace, releases: Sequence[Release]) -> None:
    if options.json:
        print(json.dumps([release.to_json() for release in releases], indent=1))
        return
    for release in releases:
        Progress().say(_line(release))


def _line(release: Release) -> str:
    return f"{release.application}: release {release.number} ({release.action}) is {release.pin.composition}"


def _cells(release: Release) -> tuple[str, ...]:
    note = release.note
    told = release.pin.composition, note.verdict or "-", note.author, note.reason
    return release.application, str(release.number), release.action, *told, f"{release.created:%Y-%m-%d %H:%M:%S}"


def _short(value: Any) -> str:
    return "-" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main())
