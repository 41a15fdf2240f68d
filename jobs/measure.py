"""Prints the measures of a TREC run as JSON.

python -m jobs.measure --qrels qrels/test.tsv --run runs/test.trec --measures nDCG@10 RR@10 R@20
"""

import argparse
import json
import sys
from collections.abc import Sequence

from mixstage.errors import InputError
from mixstage.evaluation.measure_run import RunMeasures, evaluate_run
from mixstage.evaluation.runs import read_qrels, read_run
from mixstage.measures import parse_measure


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 with JSON on standard output, 2 with a message on standard error."""
    try:
        print(json.dumps(measure(parser().parse_args(arguments)), indent=1))
    except InputError as error:
        print(f"measure: {error}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m jobs.measure", description="Measures of a TREC run, as JSON.")
    options.add_argument("--qrels", required=True, help="judgements: TREC, 3 or 4 columns, or BEIR")
    options.add_argument("--run", required=True, help="TREC run: query Q0 document rank score tag")
    options.add_argument("--rel-level", type=int, default=1, help="lowest grade that is relevant [1]")
    options.add_argument("--measures", required=True, nargs="+", metavar="NAME", help="nDCG@10 RR@10 R@20 ...")
    return options


def measure(options: argparse.Namespace) -> RunMeasures:
    """Says on standard error how many judged queries have no ranking, since each of them lowers the means."""
    measures = [parse_measure(name) for name in options.measures]
    run, qrels = read_run(options.run), read_qrels(options.qrels)
    report = evaluate_run(run, qrels, measures, options.rel_level)
    if not report["per_query"]:
        raise InputError(f"{options.qrels} has no query with a grade of 0 or more: nothing can be measured")
    missing = [query for query in report["per_query"] if query not in run]
    if missing:
        count = f"{len(missing)} of {len(report['per_query'])} judged queries"
        print(f"measure: {count} have no ranking and count 0, such as {missing[0]!r}", file=sys.stderr)
    return report


if __name__ == "__main__":
    sys.exit(main())
