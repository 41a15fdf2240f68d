"""Does the curriculum earn its keep? Every stage of both components on the full test split, dev for every choice.

python -m benchmarks.curriculum benchmarks/plans/sample.yaml

Runs the plan's pipeline (what exists is found) and prints two tables in Markdown: retriever stages and fusions alone
(Recall@{20,60,100}, MRR@10, nDCG@10), and reranker stages at the plan's largest depth behind the retriever that dev
prefers, each with the paired bootstrap interval of its nDCG@10 against no reranker. --queries FILE (a JSON list of test
queries) prints them for those queries as well.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from mixstage.commands.console.arguments import plan_parser
from mixstage.commands.console.session import guarded, read_plan
from mixstage.composition import Composition
from mixstage.pipeline import Pipeline
from mixstage.stats.paired import difference

_RETRIEVAL = ("R@20", "R@60", "R@100", "RR@10", "nDCG@10")
_RANKING = ("RR@10", "nDCG@10")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = plan_parser("curriculum", "Measures every stage of a plan on test.")
    parser.prog = "python -m benchmarks.curriculum"
    parser.add_argument("--queries", type=Path, help="a JSON list of test queries: a slice to be shown by itself")
    options = parser.parse_args(arguments)

    def work() -> None:
        plan = read_plan(options)
        pipeline = Pipeline.of(plan)
        dev, test = (pipeline.grid.table(split) for split in ("dev", "test"))
        for application in plan.applications:
            part = pl.col("application") == application
            slices = {"": test.filter(part)}
            if options.queries:
                inside = pl.col("query_id").is_in(json.loads(options.queries.read_text()))
                slices[f" in {options.queries.name}"] = slices[""].filter(inside)
            for name, one in slices.items():
                if len(one):
                    print("\n".join(tables(pipeline, application, dev.filter(part), one, name)))
        print(", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in pipeline.progress.seconds.items()))

    return guarded("curriculum", work)


def tables(pipeline: Pipeline, application: str, dev: pl.DataFrame, test: pl.DataFrame, which: str) -> list[str]:
    """The lines of one application's two tables."""
    grid = pipeline.plan.grid
    queries = test["query_id"].n_unique()
    lines = ["", f"**{application}**, {queries} test queries{which}", ""]
    lines += [_row("retriever", *_RETRIEVAL, "nDCG@10 on dev"), _rule(6)]
    retrievers = list(dict.fromkeys(Composition.parse(name).retriever for name in test["composition"].unique()))
    order = [name for name in pipeline.retrievers if name in retrievers]
    for retriever in [*order, *sorted(set(retrievers) - set(order))]:
        bare = Composition(retriever=retriever, depth=grid.ranking_depth, reranker="none", k=grid.k)
        lines.append(_row(retriever, *_shown(test, bare, _RETRIEVAL), *_shown(dev, bare, ("nDCG@10",))))
    best = _best_retriever(dev, order, grid.ranking_depth, grid.k)
    depth = max(grid.depths)
    before = Composition(retriever=best, depth=depth, reranker="none", k=grid.k)
    lines += [
        "",
        _row(f"reranker behind {best}@{depth}", *_RANKING, "nDCG@10 against none", "nDCG@10 on dev"),
        _rule(4),
    ]
    lines.append(_row("none", *_shown(test, before, _RANKING), "", *_shown(dev, before, ("nDCG@10",))))
    for reranker in pipeline.curriculum.rerankers:
        for mix in (*grid.mix, 1.0):
            after = Composition(retriever=best, depth=depth, reranker=reranker, mix=mix, k=grid.k)
            label = reranker if mix == 1 else f"{mix:g}*{reranker}"
            interval = _interval(pipeline, application, test, after, before)
            on_dev = _shown(dev, after, ("nDCG@10",))
            lines.append(_row(label, *_shown(test, after, _RANKING), interval, *on_dev))
    return lines


def _shown(table: pl.DataFrame, composition: Composition, measures: Sequence[str]) -> list[str]:
    found = means(table, composition)
    return [f"{found[name]:.3f}" for name in measures]


def means(table: pl.DataFrame, composition: Composition) -> Mapping[str, float]:
    rows = table.filter(pl.col("composition") == str(composition))
    return {name: float(rows[name].to_numpy().mean()) for name in (*_RETRIEVAL, "nDCG@10")}


def _best_retriever(dev: pl.DataFrame, names: Sequence[str], depth: int, k: int) -> str:
    """By nDCG@10 on dev, of what is one retriever."""
    return max(
        names, key=lambda name: means(dev, Composition(retriever=name, depth=depth, reranker="none", k=k))["nDCG@10"]
    )


def _interval(pipeline: Pipeline, application: str, test: pl.DataFrame, after: Composition, before: Composition) -> str:
    values = [
        test.filter(pl.col("composition") == str(one)).sort("query_id")["nDCG@10"].to_numpy() for one in (after, before)
    ]
    selection = pipeline.plan.selection
    found = difference(
        {application: values[0] - values[1]},
        {application: 1.0},
        replicates=selection.bootstrap,
        confidence=selection.confidence,
        seed=pipeline.plan.seed,
    )
    return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _rule(columns: int) -> str:
    return "|" + "---|" * (columns + 1)


if __name__ == "__main__":
    sys.exit(main())
