"""The page's tables of the grid: a heat table per split and application, and the stages that forget."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import polars as pl

from mixstage.report.page_table import table

Marks = Mapping[tuple[str, str], str]  # (component, stage) -> why it is marked


def marks_of(flags: Sequence[Mapping[str, Any]]) -> Marks:
    """What the ⚠ beside a flagged stage's name says."""
    told: dict[tuple[str, str], list[str]] = {}
    for flag in flags:
        loss = f"{flag['application']} {flag['measure']} {flag['after'] - flag['before']:+.3f} against {flag['parent']}"
        told.setdefault((flag["component"], flag["stage"]), []).append(loss)
    return {stage: "forgets: " + "; ".join(losses) for stage, losses in told.items()}


def forgetting_part(flags: Sequence[Mapping[str, Any]], limit: float) -> str:
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
            *(str(flag[key]) for key in ("component", "stage", "parent", "application", "measure")),
            *(f"{value:.3f}" for value in (flag["before"], flag["after"])),
            f"{flag['after'] - flag['before']:+.3f}",
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
            cells.append("<td></td>" if row is None else _heat_cell(row, low, high, winner))
        name = f"{escape(retriever)}@{depth}{_mark(marks, 'retriever', retriever)}"
        body.append(f"<tr><th scope=row>{name}</th>{''.join(cells)}</tr>")
    return (
        f"<div class=wide><table class=heat><caption>{escape(caption)}</caption><tr><th></th>{head}</tr>{''.join(body)}"
        "</table></div>"
    )


def _mark(marks: Marks, component: str, stage: str) -> str:
    why = escape(marks.get((component, stage), ""))
    return f' <span class=warn role="img" title="{why}" aria-label="{why}">⚠\ufe0e</span>' if why else ""


def _heat_cell(row: Mapping[str, Any], low: float, high: float, winner: str) -> str:
    share = min(1.0, (row["primary"] - low) / ((high - low) or 1))
    colour = f"hsl(156 55% {97 - 42 * share:.0f}%)"
    mark = " class=winner" if row["composition"] == winner else ""
    return f'<td{mark} style="background:{colour}" title="{escape(row["composition"])}">{row["primary"]:.3f}</td>'


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
