"""The page of the commands: their parsers in Markdown."""

import argparse
import getpass
from collections.abc import Iterator, Mapping, Sequence

from mixstage.commands.console.main import GROUPS, find_command

_COMMON = ("help", "set", "verbose")  # of every command with a plan: told once
_HEAD = """\
# Commands

<!-- Written by `make docs` from the commands' own parsers. -->

In a submitted job `python -m jobs.COMMAND` is the same as `mixstage COMMAND`, and `python -m serve.app` is
`mixstage serve`. A command that needs what an earlier phase makes runs that phase first. Exit status: 0, or 2 with a
message.

Every command with a PLAN also takes:
"""


def page() -> str:
    """Every command by its group: what it does, its arguments."""
    every = [action for action in find_command("pipeline").parser()._actions if action.dest in _COMMON[1:]]
    lines = [_HEAD, *_table(every)]
    for group, commands in GROUPS.items():
        lines.append(f"## {group}\n")
        for name, text in commands.items():
            lines += _command(name, text)
    return "\n".join(lines)


def subcommands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """name -> parser of each action that a command has, such as those of `release`; none of most."""
    found = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return found[0] if found else {}


def _command(name: str, text: str) -> Iterator[str]:
    parser = find_command(name).parser()
    yield f"### mixstage {name}\n"
    if parser.formatter_class is argparse.RawDescriptionHelpFormatter and parser.description:
        yield f"```text\n{parser.description.strip()}\n```\n"
    else:
        yield _sentence(text)
    parts = subcommands(parser)
    if not parts:
        yield from _arguments(parser)
    for action, part in parts.items():
        yield f"#### mixstage {name} {action}\n"
        yield _sentence(part.description or "")
        yield from _arguments(part)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].strip()}.\n"


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    return _table([action for action in parser._actions if action.dest not in _COMMON])


def _table(actions: Sequence[argparse.Action]) -> Iterator[str]:
    if actions:
        yield "| argument | |\n|---|---|"
        yield from (f"| `{_name(action)}` | {_help(action)} |" for action in actions)
        yield ""


def _name(action: argparse.Action) -> str:
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    if not action.option_strings:
        return str(value)
    flag = ", ".join(action.option_strings)
    return flag if action.nargs == 0 else f"{flag} {value}" + (" ..." if action.nargs == "+" else "")


def _help(action: argparse.Action) -> str:
    shown = {**vars(action), "default": "you" if action.default == getpass.getuser() else action.default}
    text = " ".join(((action.help or "") % shown).split()).replace("|", "\\|")
    return text + ("; required" if action.required and action.option_strings else "")
