"""A script that completes commands, options, files and the names of plans that ship.

mixstage completion bash > ~/.local/share/bash-completion/completions/mixstage
mixstage completion zsh > ~/.zfunc/_mixstage   # a folder of $fpath
mixstage completion fish > ~/.config/fish/completions/mixstage.fish
"""

import argparse
from collections.abc import Sequence

import shtab

from mixstage.commands.console.arguments import command_parser
from mixstage.commands.console.main import whole_parser
from mixstage.plan.shipped import shipped_plans

# compgen writes a word a line; a plan is a file, or the name of one that ships.
_BASH_PLANS = '_mixstage_plans() {{ compgen -W "{names}" -- "$1"; compgen -f -- "$1"; }}'


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0."""
    options = parser().parse_args(arguments)
    whole = whole_parser()
    _complete_plans(whole)
    preamble = _BASH_PLANS.format(names=" ".join(shipped_plans())) if options.shell == "bash" else ""
    print(shtab.complete(whole, options.shell, preamble=preamble))
    return 0


def parser() -> argparse.ArgumentParser:
    options = command_parser("completion", __doc__)
    options.add_argument("shell", choices=("bash", "zsh", "fish"))
    return options


def _complete_plans(parser: argparse.ArgumentParser) -> None:
    """Tells shtab, by an attribute that it looks for, that arguments called `plan` are plans, in every subcommand."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                _complete_plans(sub)
        elif action.dest == "plan":
            action.complete = {"bash": "_mixstage_plans", "zsh": "_files", "fish": "__fish_complete_path"}  # type: ignore[attr-defined]
