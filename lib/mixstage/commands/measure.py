"""Measures rankings: nDCG@k, nDCGexp@k, RR@k, AP@k, P@k, R@k, Success@k, Rprec, Bpref, Judged@k, equal to trec_eval's.

mixstage measure --qrels qrels/test.tsv --run runs/test.trec --measures nDCG@10 RR@10 R@20
mixstage measure --qrels qrels/test.tsv --run old.trec new.trec newer.json --measures nDCG@10

A run is TREC's (query Q0 document rank score tag), BEIR's JSON (query -> document -> score), the predictions that MTEB
saves, or lines of query, document and score below BEIR's header; judgements are TREC's or BEIR's.

One run prints JSON: values by query, and their means over all judged queries (one without a ranking counts 0). Several
print means, and what each has over the first: the mean difference over queries with its 95 % t interval and a p value
that holds for all rows together (sign flips, max-T). --json prints the same as JSON.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence

import polars as pl
from rich.table import Table

from mixstage.commands.console.arguments import command_parser
from mixstage.errors import InputError, MixstageError
from mixstage.measures.compare_runs import Lead, compare
from mixstage.measures.json_runs import open_run
from mixstage.measures.one_run import RunMeasures, measure, open_qrels
from mixstage.measures.trec import Run
from mixstage.progress import Progress
from mixstage.store.files import open_filesystem, write_table
from mixstage.store.plain import JsonObject


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    options = parser().parse_args(arguments)
    try:
        reports = measure_all(options)
        if options.per_query:
            _write_values(options.per_query, options.run, reports)
    except MixstageError as error:
        print(f"measure: {error}", file=sys.stderr)
        return 2
    if len(reports) == 1:
        print(json.dumps(reports[0], indent=1))
    else:
        _print_comparison(options, reports)
    return 0


def parser() -> argparse.ArgumentParser:
    options = command_parser("measure", __doc__)
    options.add_argument("--qrels", required=True, help="judgements: TREC, 3 or 4 columns, or BEIR")
    options.add_argument("--run", required=True, nargs="+", metavar="FILE", help="one run, or several to compare")
    options.add_argument("--rel-level", type=int, default=1, help="lowest grade that is relevant [1]")
    options.add_argument("--measures", required=True, nargs="+", metavar="NAME", help="nDCG@10 RR@10 R@20 ...")
    options.add_argument("--split", help="of MTEB's predictions [the only one]")
    options.add_argument("--subset", help="of MTEB's predictions [the only one]")
    options.add_argument("--json", action="store_true", help="JSON also for several runs")
    options.add_argument(
        "--per-query", metavar="FILE", help="write values as Parquet: run, query_id, a column a measure"
    )
    return options


def measure_all(options: argparse.Namespace) -> list[RunMeasures]:
    """Says on standard error how many judged queries have no ranking, since each of them lowers the means."""
    qrels, reports = open_qrels(options.qrels), []
    for path in options.run:
        run = open_run(path, options.split, options.subset)
        report = measure(run, qrels, options.measures, rel_level=options.rel_level)
        _tell_missing(path, run, report)
        reports.append(report)
    return reports


def _tell_missing(path: str, run: Run, report: RunMeasures) -> None:
    missing = [query for query in report["per_query"] if query not in run]
    if missing:
        count = f"{len(missing)} of {len(report['per_query'])} judged queries"
        print(f"measure: {path}: {count} have no ranking and count 0, such as {missing[0]!r}", file=sys.stderr)


def _write_values(path: str, names: Sequence[str], reports: Sequence[RunMeasures]) -> None:
    rows = [
        {"run": name, "query_id": query, **values}
        for name, report in zip(names, reports, strict=True)
        for query, values in report["per_query"].items()
    ]
    try:
        write_table(*open_filesystem(path), pl.DataFrame(rows).to_arrow())
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}): give a file in a folder that is there"
        ) from error


def _print_comparison(options: argparse.Namespace, reports: Sequence[RunMeasures]) -> None:
    leads = compare(reports)
    if options.json:
        print(json.dumps(_as_json(options.run, reports, leads), indent=1))
    else:
        _print_tables(options.run, reports, leads)


def _as_json(
    names: Sequence[str], reports: Sequence[RunMeasures], leads: Sequence[Mapping[str, Lead]]
) -> list[JsonObject]:
    return [
        {"run": name, **report, "over_first": {measure: lead.to_json() for measure, lead in differences.items()}}
        for name, report, differences in zip(names, reports, [{}, *leads], strict=True)
    ]


def _print_tables(names: Sequence[str], reports: Sequence[RunMeasures], leads: Sequence[Mapping[str, Lead]]) -> None:
    measures = list(reports[0]["mean"])
    means = Table("run", *measures, title=f"means over {len(reports[0]['per_query'])} judged queries")
    for name, report in zip(names, reports, strict=True):
        means.add_row(name, *(f"{report['mean'][measure]:.4f}" for measure in measures))
    table = Table("run", "measure", "difference", "interval", "wins : losses", "p", title=f"over {names[0]}")
    for name, differences in zip(names[1:], leads, strict=True):
        for label, lead in differences.items():
            interval = f"\\[{lead.low:+.4f}, {lead.high:+.4f}]"
            table.add_row(
                name if label == measures[0] else "",
                label,
                f"{lead.mean:+.4f}",
                interval,
                f"{lead.wins} : {lead.losses}",
                f"{lead.p:.4f}",
            )
    console = Progress().console
    console.print(means)
    console.print(table)
