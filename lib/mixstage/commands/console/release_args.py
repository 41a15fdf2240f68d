"""The arguments of `mixstage release`."""

import argparse
import getpass
from typing import get_args

from mixstage.commands.console.arguments import command_parser, plan_parser
from mixstage.plan.stages import Component
from mixstage.release.record import TRIALS

_ACTIONS = {
    "promote": "pin applications to the winner, or to a composition by name",
    "rollback": "pin an application, or one component of it, to what it had before",
    "canary": "let a composition answer a share of an application's users",
    "shadow": "let a composition answer copies of a share of the requests, unseen",
    "interleave": "weave a composition's hits into those of a share of the users, whose clicks decide",
    "end": "end an application's trial: all its users get the live composition",
    "status": "what each application is pinned to, and how its trial stands",
    "history": "every release of each application, newest first",
    "diff": "what one release changed against another",
}
_ONE = ("rollback", *TRIALS, "end", "diff")  # of one application, which has to be named
_UNPROVEN = "even if no test speaks for it"
_CHANGING = ("promote", "rollback", *TRIALS, "end")


def release_parser(description: str | None) -> argparse.ArgumentParser:
    options = command_parser("release", description)
    actions = options.add_subparsers(dest="action", required=True)
    subs = {action: _sub(actions, action, text) for action, text in _ACTIONS.items()}
    subs["promote"].add_argument("--composition", help="a composition's name [the winner]")
    subs["promote"].add_argument("--force", action="store_true", help=f"{_UNPROVEN}; needs --why")
    subs["rollback"].add_argument("--component", choices=get_args(Component), help="only this one [both]")
    for trial in TRIALS:
        what = subs[trial].add_mutually_exclusive_group()
        what.add_argument("--composition", help="a composition's name [the winner]")
        what.add_argument("--pin-of", type=int, metavar="RELEASE", help="what this release of the application pinned")
        subs[trial].add_argument("--share", type=float, default=0.1, help="of the users, 0 to 1 [%(default)s]")
        subs[trial].add_argument(
            "--force", action="store_true", help=f"{_UNPROVEN}, or in the place of a trial; needs --why"
        )
    subs["diff"].add_argument("--old", type=int, help="a release number [the one before --new]")
    subs["diff"].add_argument("--new", type=int, help="a release number [the live one]")
    return options


def _sub(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", action: str, text: str
) -> argparse.ArgumentParser:
    part = plan_parser(f"release {action}", text)
    sub = actions.add_parser(action, help=text, description=text, parents=[part], add_help=False)
    one = action in _ONE
    sub.add_argument("--application", required=one, help="one application" + ("" if one else " [all]"))
    sub.add_argument("--json", action="store_true", help="answer as JSON")
    if action in _CHANGING:
        sub.add_argument("--seen", type=int, help="refuse if the application is no longer at this release number")
        sub.add_argument("--why", default="", help="the reason, kept with the release")
        sub.add_argument("--who", default=getpass.getuser(), help="the author, kept with the release [%(default)s]")
    return sub
