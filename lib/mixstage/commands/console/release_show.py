"""What `mixstage release` tells of releases, as tables or as JSON."""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from mixstage.commands.console.trial import trial_status
from mixstage.errors import ReleaseError
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.release.pins import open_registry
from mixstage.release.record import Release
from mixstage.release.trials.observed import Observations
from mixstage.store.plain import JsonObject
from mixstage.store.store import Store

_HEAD = ("application", "release", "action", "composition", "verdict", "by", "why", "when (UTC)")


def status(options: argparse.Namespace, plan: Plan) -> None:
    registry = open_registry(plan, Store(plan.store))
    standings = registry.standings()
    names = [options.application] if options.application else list(plan.applications)
    trials = {
        name: trial_status(standings[name], Observations(registry.engine), plan.serving.trial, datetime.now(UTC))
        for name in names
        if name in standings
    }
    if options.json:
        rows = {name: standings[name].wanted.to_json() | {"trial": trials[name]} for name in trials}
        print(json.dumps({name: rows.get(name) for name in names}, indent=1))
        return
    table = Table(*_HEAD)
    for name in names:
        table.add_row(*(_cells(standings[name].wanted) if name in standings else (name, "none yet")))
    progress = Progress()
    progress.console.print(table)
    for name, trial in trials.items():
        if trial is not None:
            progress.say(_trial_lines(name, trial))


def history(options: argparse.Namespace, plan: Plan) -> None:
    registry = open_registry(plan, Store(plan.store))
    names = [options.application] if options.application else plan.applications
    releases = [release for name in names for release in reversed(registry.history(name))]
    if options.json:
        print(json.dumps([release.to_json() for release in releases], indent=1))
        return
    table = Table(*_HEAD)
    for release in releases:
        table.add_row(*_cells(release))
    Progress().console.print(table)


def diff(options: argparse.Namespace, plan: Plan) -> None:
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


def tell(options: argparse.Namespace, releases: Sequence[Release]) -> None:
    """What a changing action wrote."""
    if options.json:
        print(json.dumps([release.to_json() for release in releases], indent=1))
        return
    for release in releases:
        Progress().say(line(release))


def line(release: Release) -> str:
    return f"{release.application}: release {release.number} ({release.action}) is {release.pin.composition}"


def _trial_lines(application: str, trial: JsonObject) -> str:
    state = trial["decision"] if trial["answering"] else "its components do not answer yet"
    head = f"{application}: {trial['action']} {trial['number']} of {trial['composition']}, share {trial['share']:g}"
    return "\n  ".join([f"{head}: {state}", *trial["told"]])


def _cells(release: Release) -> tuple[str, ...]:
    note = release.note
    cells = str(release.pin.composition), note.verdict or "-", note.author, note.reason
    return release.application, str(release.number), release.action, *cells, f"{release.created:%Y-%m-%d %H:%M:%S}"


def _short(value: Any) -> str:
    return "-" if value is None else str(value)
