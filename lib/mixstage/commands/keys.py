"""API keys of the gateway: with one or more, nobody searches without.

KEY=$(mixstage keys create sample NAME)
mixstage keys list sample
mixstage keys revoke sample NAME
"""

import argparse
from collections.abc import Callable, Sequence

from rich.table import Table

from mixstage.commands.console.arguments import command_parser, plan_parser
from mixstage.commands.console.session import guarded, read_plan
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.release.keys import Keys, refuse_unguarded
from mixstage.release.pins import open_registry
from mixstage.store.store import Store


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    options = parser().parse_args(arguments)
    actions: dict[str, Callable[[argparse.Namespace, Plan, Keys], None]] = {
        "create": _create,
        "list": _list,
        "revoke": _revoke,
    }

    def job() -> None:
        plan = read_plan(options)
        actions[options.action](options, plan, Keys(open_registry(plan, Store(plan.store)).engine))

    return guarded("keys", job, verbose=options.verbose)


def parser() -> argparse.ArgumentParser:
    options = command_parser("keys", __doc__)
    actions = options.add_subparsers(dest="action", required=True)
    for action, text in (
        ("create", "make a key and print it, this once"),
        ("list", "names of all keys, and when they were made and revoked"),
        (
            "revoke",
            "end a key; the last one only where no other machine reaches the gateway, then open to all",
        ),
    ):
        part = plan_parser(f"keys {action}", text)
        sub = actions.add_parser(action, help=text, description=text, parents=[part], add_help=False)
        if action != "list":
            sub.add_argument("name", help="whose key it is, such as an application")
    return options


def _create(options: argparse.Namespace, plan: Plan, keys: Keys) -> None:
    print(keys.create(options.name))


def _list(options: argparse.Namespace, plan: Plan, keys: Keys) -> None:
    table = Table("name", "created (UTC)", "revoked (UTC)")
    for key in keys.all():
        table.add_row(
            key.name, f"{key.created:%Y-%m-%d %H:%M}", f"{key.revoked:%Y-%m-%d %H:%M}" if key.revoked else "-"
        )
    Progress().console.print(table)


def _revoke(options: argparse.Namespace, plan: Plan, keys: Keys) -> None:
    """The last key of a gateway that others reach stays: without it everybody would come in."""
    refuse_unguarded(plan.serving, [key for key in keys.all() if key.revoked is None and key.name != options.name])
    keys.revoke(options.name)
