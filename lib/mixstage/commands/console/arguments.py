"""The arguments that commands share, and the words by which this one was called."""

import argparse
import sys
from pathlib import Path


def called(name: str) -> str:
    """How the user wrote this command: `mixstage NAME`, or `python -m jobs.NAME` and `python -m serve.app`."""
    door = Path(sys.argv[0])
    if door.suffix == ".py" and door.parent.name in ("jobs", "serve"):
        return f"python -m {door.parent.name}.{door.stem}"
    return f"mixstage {name}"


def command_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """A parser that shows its description as it is written."""
    return argparse.ArgumentParser(
        prog=called(name), description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def plan_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Arguments of a command that works on a plan."""
    options = command_parser(name, description)
    options.add_argument("plan", help="a plan's file, or the name of one that ships, such as sample")
    options.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY.PATH=VALUE",
        help="override a field of the plan; the value is YAML; may be repeated",
    )
    options.add_argument("--verbose", action="store_true", help="show what Ray and other libraries print, too")
    return options
