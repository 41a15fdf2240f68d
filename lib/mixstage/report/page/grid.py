"""The page's part on the grid: heat maps, recall budgets, quality against cost; the stages that forget."""

from collections.abc import Mapping, Sequence
from html import escape

import polars as pl

from mixstage.report.charts.front import quality_cost
from mixstage.report.charts.grid import CHOSEN, heat_maps, least_width, recall_budget
from mixstage.report.charts.spec import figure
from mixstage.report.contents import Contents
from mixstage.report.page.sharing import front_part
from mixstage.report.page.table import table
from mixstage.selection.forgetting import Flag

Marks = Mapping[tuple[str, str], str]  # (component, stage) -> why it is marked

_LEGEND = (
    "<div class=legend><span><i class=winner></i>winner</span><span><i class=near></i>near-best on dev: can't be told "
    "from the best</span><span><i class=incumbent></i>incumbent</span><span><i class=scale></i>higher mean, within an "
    "application and split</span></div>"
)


def grid_part(report: Contents, means: pl.DataFrame) -> str:
    """`means` is `composition_means` of both splits."""
    plan, marks = report.plan, marks_of(report.forgetting)
    maps = heat_maps(means, report.choice, marks)
    least = least_width(means)
    heats = "".join(figure(spec, f"depth {depth}", least=least) for depth, spec in maps.items())
    recall = recall_budget(means, plan.grid.ranking_depth)
    front, prices = quality_cost(report.front, report.choice), front_part(report.front, report.timed)
    bare = retrievers_table(means, plan.grid.ranking_depth)
    others = [
        figure(recall, "Recall budget:", "what a reranker could still find", bare) if recall else bare,
        figure(front, "Quality against cost:", "nothing beats the line at its price", prices),
    ]
    return (
        "<p>Primary metric of every retriever with every reranker, by the depth handed on. Dev chose the winner; test "
        "only confirms. Where a cell stands for several mix weights it shows the winner's, a near-best one or the best."
        f"</p><div class=bar>{_select('application', list(plan.applications))}{_select('split', [])}</div>{_LEGEND}"
        f"<div class=charts style='--least:{least}px'>{heats}{''.join(others)}</div>{_tables(report, means, marks)}"
    )


def _select(param: str, names: Sequence[str]) -> str:
    labels = {"all": "all, weighted mean", "dev": "dev: chose", "test": "test: confirms"}
    values = ["dev", "test"] if param == "split" else [CHOSEN[param], *names]
    options = "".join(f'<option value="{escape(name)}">{escape(labels.get(name, name))}</option>' for name in values)
    return f"<label>{param} <select data-param={param} autocomplete=off>{options}</select></label>"


def _tables(report: Contents, means: pl.DataFrame, marks: Marks) -> str:
    """Every composition's mean, all mix weights, folded."""
    applications = report.plan.applications
    parts = []
    for split in ("dev", "test"):
        for name in ["all", *applications]:
            rows = means.filter((pl.col("split") == split) & (pl.col("application") == name))
            metric = "weighted mean" if name == "all" else applications[name].metric
            parts.append(heat_table(rows, f"{split}, {name}: {metric}", str(report.winner), marks))
    summary = "The numbers, with every mix weight (a number before a name is the reranker's share of the score)"
    return f"<details><summary>{summary}</summary>{''.join(parts)}</details>"


def marks_of(flags: Sequence[Flag]) -> Marks:
    """What the ⚠ beside a flagged stage's name says."""
    losses: dict[tuple[str, str], list[str]] = {}
    for flag in flags:
        loss = f"{flag.application} {flag.measure} {flag.after - flag.before:+.3f} against {flag.parent}"
        losses.setdefault((flag.component, flag.stage), []).append(loss)
    return {stage: "forgets: " + "; ".join(lost) for stage, lost in losses.items()}


def forgetting_part(flags: Sequence[Flag], limit: float) -> str:
    """A sentence, and the flags as a table."""
    how = (
        "Each stage against the stage it came from, on dev: retrievers alone, rerankers alone on the base retriever's "
        f"deepest candidates. Flagged (⚠) is a loss of more than {limit:g} in any application; flagged stages stay "
        "candidates."
    )
    if not flags:
        return f"<p>{how} None was flagged.</p>"
    rows = [
        (
            *(flag.component, flag.stage, flag.parent, flag.application, flag.measure),
            *(f"{value:.3f}" for value in (flag.before, flag.after)),
            f"{flag.after - flag.before:+.3f}",
        )
        for flag in flags
    ]
    head = ("component", "stage", "parent", "application", "measure", "parent's", "stage's", "change")
    return f"<p>{how}</p>{table(head, rows, texts=5)}"


def heat_table(rows: pl.DataFrame, caption: str, winner: str, marks: Marks) -> str:
    """Retriever and depth down, reranker and mix across; the winner is outlined, flagged stages are marked."""
    columns = rows.select("reranker", "mix").unique(maintain_order=True).rows()
    lines = rows.select("retriever", "depth").unique(maintain_order=True).sort("depth", maintain_order=True).rows()
    values = {(r["retriever"], r["depth"], r["reranker"], r["mix"]): r for r in rows.iter_rows(named=True)}
    real = rows.filter(pl.col("reranker") != "oracle")["primary"]  # the ceiling would leave all others one colour
    low, high = float(real.min() or 0), float(real.max() or 1)  # type: ignore[arg-type]
    head = "".join(
        f"<th>{'' if mix == 1 else f'<small>{mix:g}*</small><br>'}{escape(name)}{_mark(marks, 'reranker', name)}</th>"
        for name, mix in columns
    )
    body = []
    for retriever, depth in lines:
        cells = []
        for reranker, mix in columns:
            row = values.get((retriever, depth, reranker, mix))
            marked = row is not None and row["composition"] == winner
            cells.append("<td></td>" if row is None else _heat_cell(row["primary"], low, high, marked))
        name = f"{escape(retriever)}@{depth}{_mark(marks, 'retriever', retriever)}"
        body.append(f"<tr><th scope=row>{name}</th>{''.join(cells)}</tr>")
    return (
        f"<div class=wide><table class=heat><caption>{escape(caption)}</caption><tr><th></th>{head}</tr>{''.join(body)}"
        "</table></div>"
    )


def _mark(marks: Marks, component: str, stage: str) -> str:
    why = escape(marks.get((component, stage), ""))
    return f' <span class=warn role="img" title="{why}" aria-label="{why}">⚠\ufe0e</span>' if why else ""


def _heat_cell(mean: float, low: float, high: float, is_winner: bool) -> str:
    share = min(1.0, (mean - low) / ((high - low) or 1))
    mark = " class=winner" if is_winner else ""
    return f'<td{mark} style="--share:{share:.0%}">{mean:.3f}</td>'


def retrievers_table(means: pl.DataFrame, depth: int) -> str:
    """Every measure of every bare retriever at the ranking depth."""
    bare = means.filter((pl.col("reranker") == "none") & (pl.col("depth") == depth))
    measures = bare.columns[bare.columns.index("queries") + 1 : bare.columns.index("primary")]
    names = ("split", "application", "retriever")
    rows = [
        (*(row[name] for name in names), *(f"{row[measure]:.3f}" for measure in measures))
        for row in bare.iter_rows(named=True)
    ]
    return table((*names, *measures), rows, texts=3)
