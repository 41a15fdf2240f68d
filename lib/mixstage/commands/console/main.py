"""The command `mixstage`: finds the subcommand's file and hands the arguments on; its help is the manual.

A subcommand is a module of `mixstage.commands` with `parser()` and `main(arguments)`. It is imported when it is named:
most bring libraries that take seconds, and the manual has no use for them.
"""

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

from mixstage import __version__
from mixstage.errors import InputError, MixstageError, unknown_name

# Group -> command -> what it does. argparse stays below: every command has its parser, and completion is made of them.
GROUPS: Mapping[str, Mapping[str, str]] = {
    "From data to a released winner": {
        "pipeline": "all phases in order; interrupt it anywhere, the next run goes on",
    },
    "One phase, and what has to come before it": {
        "prepare": "check corpora and applications, write them as tables",
        "train": "train every stage of the retriever and the reranker",
        "index": "embed and index every corpus once per retriever stage",
        "evaluate": "evaluate every combination of stages, depths and mixes; export runs",
        "select": "choose on dev, confirm on test, write the report",
        "release": "pin applications to compositions; rollback, canary, shadow, interleave, status",
    },
    "Serving": {
        "serve": "serve what is released, and follow the registry",
        "keys": "API keys of the gateway",
        "feedback": "what users said of search results, as training data",
    },
    "Tools": {
        "measure": "measure and compare rankings: nDCG@k, RR@k, R@k, ...",
        "judge": "a blind comparison of two compositions by people",
        "init": "write a commented plan for your own data",
        "schema": "the plan's fields, for editors and for people",
        "completion": "a script that completes commands and options in bash, zsh or fish",
    },
}
_BOTH = (
    "mixstage and mixstage-light are both installed, over the same files: uninstalling one breaks the other. "
    "`pip uninstall mixstage mixstage-light`, then install one of them"
)
COMMANDS = {name: text for group in GROUPS.values() for name, text in group.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: the subcommand's; 0 for the manual, 2 with a message for a command that there is not."""
    name, *rest = sys.argv[1:] if arguments is None else arguments or ["--help"]
    if name in ("-h", "--help"):
        print(manual())
        return 0
    if name == "--version":
        print(f"mixstage {__version__}")
        if _both_installed():
            print(_BOTH, file=sys.stderr)
        return 0
    try:
        return int(find_command(name).main(rest))
    except MixstageError as error:
        print(f"mixstage: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # while a command's libraries load; once it works, it says more itself
        print("mixstage: interrupted", file=sys.stderr)
        return 130


def _both_installed() -> bool:
    from importlib.metadata import distributions  # a tenth of a second, of this question alone

    return {"mixstage", "mixstage-light"} <= {one.name for one in distributions()}


def find_command(name: str) -> ModuleType:
    """The module of a subcommand; raises InputError for a name that is none, or whose packages mixstage-light lacks."""
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    try:
        return importlib.import_module(f"mixstage.commands.{name}")
    except ModuleNotFoundError as error:
        raise InputError(
            f"`mixstage {name}` needs {error.name}, which mixstage-light does without: `pip uninstall mixstage-light`, "
            "then `pip install mixstage`"
        ) from error


def manual() -> str:
    """What `mixstage --help` prints."""
    lines = [
        "usage: mixstage COMMAND ...",
        "",
        "Trains a retriever and a reranker in stages, evaluates every combination",
    ]
    lines[-1] += ", releases the winner."
    for group, commands in GROUPS.items():
        lines += ["", f"{group}:", *(f"  {name:<12}{text}" for name, text in commands.items())]
    return "\n".join(
        [
            *lines,
            "",
            "Begin with `mixstage pipeline sample`, then `mixstage serve sample`; `mixstage COMMAND -h` tells more.",
        ]
    )


def whole_parser() -> argparse.ArgumentParser:
    """All commands as one parser, from which completion is made. It imports every one of them."""
    whole = argparse.ArgumentParser(prog="mixstage")
    whole.add_argument("--version", action="store_true", help="print the version")
    commands = whole.add_subparsers(dest="command")
    for name, text in COMMANDS.items():
        part = find_command(name).parser()
        commands.add_parser(name, help=text, description=text, parents=[part], add_help=False)
    return whole
