"""Phase 0: checks the plan's collections and writes them as tables.

mixstage prepare sample
"""

import argparse
from collections.abc import Sequence

from mixstage.commands.console.arguments import plan_parser
from mixstage.commands.console.session import run_plan
from mixstage.pipeline import Pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    return run_plan("prepare", parser().parse_args(arguments), work)


def parser() -> argparse.ArgumentParser:
    return plan_parser("prepare", __doc__)


def work(pipeline: Pipeline) -> None:
    prepared = pipeline.prepared
    for name, corpus in prepared.corpora.items():
        print(f"corpus {name}: {corpus.documents} documents in {corpus.path}")
    for name, application in prepared.applications.items():
        print(f"application {name}: queries {application.queries} in {application.path}")
