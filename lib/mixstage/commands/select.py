"""Phase 4: chooses on dev, confirms on test, writes the report.

mixstage select sample
"""

import argparse
from collections.abc import Sequence

from mixstage.commands.console.arguments import plan_parser
from mixstage.commands.console.outcome import print_outcome
from mixstage.commands.console.session import run_plan
from mixstage.pipeline import Pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    return run_plan("select", parser().parse_args(arguments), work)


def parser() -> argparse.ArgumentParser:
    return plan_parser("select", __doc__)


def work(pipeline: Pipeline) -> None:
    print_outcome(pipeline)
