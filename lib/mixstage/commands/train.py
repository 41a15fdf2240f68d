"""Phase 1: trains every stage of both components.

mixstage train sample
"""

import argparse
from collections.abc import Sequence

from mixstage.commands.console.arguments import plan_parser
from mixstage.commands.console.session import run_plan
from mixstage.pipeline import Pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    return run_plan("train", parser().parse_args(arguments), work)


def parser() -> argparse.ArgumentParser:
    return plan_parser("train", __doc__)


def work(pipeline: Pipeline) -> None:
    curriculum = pipeline.curriculum
    for component, stages in (("retriever", curriculum.retrievers), ("reranker", curriculum.rerankers)):
        for name, checkpoint in stages.items():
            print(f"{component}:{name} in {checkpoint.path}")
