"""What a run ends with on the terminal: the grid, the winner with the reason, where the report lies."""

from typing import Any

import polars as pl
from rich.table import Table

from mixstage.pairs.cost import PairCost, cost_table
from mixstage.pipeline import Pipeline
from mixstage.progress import Progress
from mixstage.report.means import composition_means
from mixstage.report.report import PAGE
from mixstage.selection.sharing import Sharing


def print_outcome(pipeline: Pipeline) -> None:
    """Prints the dev grid, the winner, its rivals on test, and the report's path; makes what is missing."""
    report = pipeline.report
    told = report.read_json("report.json")
    console = pipeline.progress.console
    console.print(_grid_table(pipeline, told["choice"]["winner"]))
    choice, pairs = told["choice"], told["pairs"]
    pipeline.progress.say(f"Winner: {choice['winner']}\n  because: {choice['reason']}{_gain(choice['gain'])}")
    pipeline.progress.say(f"Verdict: {told['verdict']['sentence']}")
    console.print(_rivals_table(told["confirmation"]["test"]))
    margin = told["plan"]["selection"]["max_regression"]
    pipeline.progress.say("\n".join(_sharing(Sharing.from_json(told["sharing"]), margin)))
    for flag in told["forgetting"]:
        pipeline.progress.say(_forgets(flag))
    print_pairs(pipeline.progress, pairs, told["race"])
    pipeline.progress.say(
        f"Pairs: {pairs['union']:,} scored once each, instead of {pairs['naive']:,} for the grid cell by cell"
    )
    pipeline.progress.say(f"Report: {report.path}/{PAGE}")


def _grid_table(pipeline: Pipeline, winner: str) -> Table:
    means = composition_means(pipeline.plan, pipeline.grid, "dev").filter(pl.col("application") == "all")
    rerankers = means["reranker"].unique(maintain_order=True).to_list()
    table = Table(title="dev, mean of the applications' metrics; best mix of each cell (x weight of the reranker)")
    table.add_column("retriever", no_wrap=True)
    for reranker in rerankers:
        table.add_column(reranker, justify="right", no_wrap=True)
    lines = means.select("retriever", "depth").unique(maintain_order=True).sort("depth", maintain_order=True)
    for retriever, depth in lines.iter_rows():
        row = means.filter((pl.col("retriever") == retriever) & (pl.col("depth") == depth))
        table.add_row(f"{retriever}@{depth}", *(_cell(row, reranker, winner) for reranker in rerankers))
    return table


def _cell(row: pl.DataFrame, reranker: str, winner: str) -> str:
    mixes = row.filter(pl.col("reranker") == reranker).sort("primary", descending=True)
    if mixes.is_empty():
        return ""
    best = mixes.row(0, named=True)
    winning = mixes.filter(pl.col("composition") == winner)
    if len(winning):
        best = winning.row(0, named=True)
    text = f"{best['primary']:.3f}" + (f" x{best['mix']:g}" if best["mix"] != 1 else "")
    return f"[bold green]{text} *[/]" if len(winning) else text


def _gain(gain: dict[str, Any] | None) -> str:
    """The size of the gain without the luck of having been chosen."""
    if gain is None:
        return ""
    (often, share), *_ = gain["shares"].items()
    return (
        f"\n  gain over the incumbent on dev queries that did not choose: {gain['mean']:+.4f} "
        f"[{gain['low']:+.4f}, {gain['high']:+.4f}]; {share:.0%} of draws choose {often}"
    )


def _sharing(shared: Sharing, margin: float) -> list[str]:
    """What one winner costs each application, and the fewest models that cost none of them more than the margin."""
    prices = [f"{name} {price.mean:+.4f}" for name, price in shared.dev.price.items()]
    services = shared.services
    return [
        f"Sharing: behind their own best on dev are {', '.join(prices)} (own bests run {services['own']} models, the "
        f"winner {services['winner']})",
        f"Cover: {services['cover']} keep all within {margin:g} of their own best: {shared.models}",
    ]


def _rivals_table(test: dict[str, Any]) -> Table:
    table = Table(title="test, winner minus rival (paired bootstrap)")
    for name in ("rival", "composition", "difference", "interval", "wins : losses", "verdict"):
        table.add_column(name, no_wrap=name != "composition")
    for role, found in test.items():
        overall = found["overall"]
        if overall is None:
            table.add_row(role, found["composition"], "", "", "", "is the winner")
            continue
        interval = f"[{overall['low']:+.4f}, {overall['high']:+.4f}]".replace("[", r"\[")
        counts = f"{overall['wins']} : {overall['losses']}"
        table.add_row(role, found["composition"], f"{overall['mean']:+.4f}", interval, counts, overall["verdict"])
    return table


def _forgets(flag: dict[str, Any]) -> str:
    change = f"{flag['before']:.4f} to {flag['after']:.4f} against its parent {flag['parent']}"
    return f"Forgets: {flag['component']} {flag['stage']}: {flag['application']} {flag['measure']} on dev {change}"


def print_pairs(progress: Progress, pairs: dict[str, Any], race: dict[str, Any] | None) -> None:
    """What the grid's pair scores cost, and what a race saved; both as the grid's notes have them."""
    costs = {row["reranker"]: _cost(row) for row in pairs["rerankers"]}
    progress.console.print(cost_table(costs, f"pairs, each scored once; {pairs['seconds']:,} s in all", done=True))
    if race is not None:
        spared = f"{race['dropped']:,} compositions dropped out, {race['saved']:.0%} of all pairs were never needed"
        progress.say(f"Race: {spared}")


def _cost(row: dict[str, Any]) -> PairCost:
    return PairCost(**{name: value for name, value in row.items() if name != "reranker"})


def print_seconds(progress: Progress) -> None:
    """The wall time of each phase."""
    parts = [f"{phase} {seconds:.1f} s" for phase, seconds in progress.seconds.items()]
    total = sum(progress.seconds.values())
    progress.say(f"Time: {', '.join(parts)}; together {total:.1f} s")
