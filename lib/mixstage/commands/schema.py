"""The plan's fields, for editors and for people: both are made of the texts that stand under the fields.

mixstage schema > plan.schema.json   # for editors: a plan's first line names it, # yaml-language-server: $schema=PATH
mixstage schema --markdown           # for people: docs/reference/plan.md
"""

import argparse
import sys
from collections.abc import Sequence

from mixstage.commands.console.arguments import command_parser
from mixstage.plan.reference import json_schema, markdown


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0."""
    options = parser().parse_args(arguments)
    sys.stdout.write(markdown() if options.markdown else json_schema())
    return 0


def parser() -> argparse.ArgumentParser:
    options = command_parser("schema", __doc__)
    options.add_argument("--markdown", action="store_true", help="a page for people instead of a JSON schema")
    return options
