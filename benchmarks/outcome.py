"""The grid of a plan on test: a row for each retriever and depth, a column for each reranker and its weight in a mix.

python -m benchmarks.outcome jobs/plans/sample.yaml
LEGAL_DATA=FOLDER python -m benchmarks.outcome jobs/plans/legal.yaml

Runs the plan's pipeline (what exists is found) and prints means over applications of their own metrics in Markdown; in
bold what dev chose. The sentences under the table are the report's.
"""

import sys
from collections.abc import Sequence

import polars as pl

from benchmarks.machine import heading, table
from mixstage.commands.console.arguments import plan_parser
from mixstage.commands.console.session import guarded, read_plan
from mixstage.composition import Composition
from mixstage.pipeline import Pipeline
from mixstage.report.means import composition_means


def main(arguments: Sequence[str] | None = None) -> int:
    parser = plan_parser("outcome", __doc__.splitlines()[0])
    parser.prog = "python -m benchmarks.outcome"
    options = parser.parse_args(arguments)

    def work() -> None:
        pipeline = Pipeline.of(read_plan(options))
        report = pipeline.report.read_json("report.json")
        print(heading(f"{pipeline.plan.name}, test, means of {', '.join(pipeline.plan.applications)}"))
        print(cells(pipeline, report["choice"]["winner"]))
        print(f"\nDev chose {report['choice']['winner']}. {report['verdict']['sentence']}")
        print(", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in pipeline.progress.seconds.items()))

    return guarded("outcome", work)


def cells(pipeline: Pipeline, winner: str) -> str:
    """The table; the oracle stays out of it."""
    means = composition_means(pipeline.plan, pipeline.grid, "test").filter(pl.col("application") == "all")
    values = dict(means.select("composition", "primary").iter_rows())
    parsed = {name: Composition.parse(name) for name in values}
    names = {(c.retriever, c.depth, _column(c)): name for name, c in parsed.items() if c.is_servable}
    columns = list(dict.fromkeys(column for _, _, column in names))
    rows = [("test", *columns)]
    for retriever, depth in dict.fromkeys((retriever, depth) for retriever, depth, _ in names):
        row = (names.get((retriever, depth, column)) for column in columns)
        rows.append((f"{retriever}@{depth}", *(_cell(name, values, winner) for name in row)))
    return table(*rows)


def _column(composition: Composition) -> str:
    return composition.reranker if composition.mix == 1 else f"{composition.mix:g}*{composition.reranker}"


def _cell(name: str | None, values: dict[str, float], winner: str) -> str:
    if name is None:
        return ""
    text = f"{values[name]:.3f}".removeprefix("0")
    return f"**{text}**" if name == winner else text


if __name__ == "__main__":
    sys.exit(main())
