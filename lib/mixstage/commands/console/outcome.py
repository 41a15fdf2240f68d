"""What a run ends with on the terminal: the grid, the winner with the reason, where the report lies."""

from collections.abc import Mapping

import polars as pl
from rich.table import Table

from mixstage.evaluation.grid import Grid
from mixstage.pairs.cost import cost_table
from mixstage.pipeline import Pipeline
from mixstage.progress import Progress
from mixstage.report.means import composition_means
from mixstage.report.report import PAGE
from mixstage.selection.bias import Gain
from mixstage.selection.forgetting import Flag
from mixstage.selection.select import Against
from mixstage.selection.sharing import Sharing


def print_outcome(pipeline: Pipeline) -> None:
    """Prints the dev grid, the winner, its rivals on test, and the report's path; makes what is missing."""
    report, progress = pipeline.report, pipeline.progress
    outcome = report.outcome
    choice, pairs = outcome.choice, pipeline.grid.pairs
    progress.console.print(_grid_table(pipeline, str(choice.winner)))
    progress.say(f"Winner: {choice.winner}\n  because: {choice.reason}{_gain(outcome.gain)}")
    progress.say(f"Verdict: {outcome.verdict.sentence}")
    progress.console.print(_rivals_table(outcome.test))
    progress.say("\n".join(_sharing(outcome.sharing, pipeline.plan.selection.max_regression)))
    for flag in outcome.forgetting:
        progress.say(_forgets(flag))
    print_pairs(progress, pipeline.grid)
    progress.say(
        f"Pairs: {pairs.all.union:,} scored once each, instead of {pairs.all.naive:,} for the grid cell by cell"
    )
    progress.say(f"Report: {report.path}/{PAGE}")


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


def _gain(gain: Gain | None) -> str:
    """The size of the gain without the luck of having been chosen."""
    if gain is None:
        return ""
    (often, share), *_ = gain.shares.items()
    return (
        f"\n  gain over the incumbent on dev queries that did not choose: {gain.mean:+.4f} "
        f"[{gain.low:+.4f}, {gain.high:+.4f}]; {share:.0%} of draws choose {often}"
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


def _rivals_table(test: Mapping[str, Against]) -> Table:
    table = Table(title="test, winner minus rival (paired bootstrap)")
    for name in ("rival", "composition", "difference", "interval", "wins : losses", "verdict"):
        table.add_column(name, no_wrap=name != "composition")
    for role, rival in test.items():
        overall = rival.overall
        if overall is None:
            table.add_row(role, str(rival.composition), "", "", "", "is the winner")
            continue
        interval = rf"\[{overall.low:+.4f}, {overall.high:+.4f}]"
        counts = f"{overall.wins} : {overall.losses}"
        table.add_row(role, str(rival.composition), f"{overall.mean:+.4f}", interval, counts, overall.verdict)
    return table


def _forgets(flag: Flag) -> str:
    change = f"{flag.before:.4f} to {flag.after:.4f} against its parent {flag.parent}"
    return f"Forgets: {flag.component} {flag.stage}: {flag.application} {flag.measure} on dev {change}"


def print_pairs(progress: Progress, grid: Grid) -> None:
    """What the grid's pair scores cost, and what a race saved."""
    pairs, race = grid.pairs, grid.race
    title = f"pairs, each scored once; {pairs.all.seconds:,} s in all"
    progress.console.print(cost_table(pairs.rerankers, title, done=True))
    if race is not None:
        spared = f"{race.dropped:,} compositions dropped out, {race.saved:.0%} of all pairs were never needed"
        progress.say(f"Race: {spared}")


def print_seconds(progress: Progress) -> None:
    """The wall time of each phase."""
    parts = [f"{phase} {seconds:.1f} s" for phase, seconds in progress.seconds.items()]
    total = sum(progress.seconds.values())
    progress.say(f"Time: {', '.join(parts)}; together {total:.1f} s")
