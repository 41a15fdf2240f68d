"""The page's section on the reason why: what the gap is made of, where quality is lost, what each stage brings."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from mixstage.report.charts.spec import figure, interval, signed
from mixstage.report.charts.why import losses, shares, stage_curve
from mixstage.report.page.table import table

_LOSSES = ("achieved", "ceiling", "retrieval", "ranking")
_CURVES = {
    "retrievers": "Retrievers alone: recall",
    "rerankers": "Rerankers alone, same candidates",
    "end_to_end": "End to end, best of each retriever",
}


def why_part(why: Mapping[str, Any] | None) -> str:
    """Charts and tables out of `Explanation.data`; None if it was not to be had."""
    if why is None:
        return "<p>What it is read from has left the store, or the grid was not made by a plan.</p>"
    found = why["applications"]
    return (
        "<p>Winner against incumbent, on test. Shares are Shapley's, over every order in which the parts could be "
        "exchanged; they add up to the gap. 1 = achieved + ranking loss (a perfect reranker would undo it) + retrieval "
        "loss (no reranker could).</p>"
        f"<div class='charts two'>{_shares(found)}"
        f"{figure(losses(found), 'Where quality is lost', table=_losses(found))}</div>"
        f"<h3>What each stage brings</h3><p>Filled: the step from the stage before is away from 0.</p>"
        f"<div class=charts>{''.join(_curves(found))}</div>{_agreement(found)}"
    )


def _shares(applications: Mapping[str, Mapping[str, Any]]) -> str:
    spec = shares(applications)
    numbers = "".join(_gap(name, found) for name, found in applications.items())
    return figure(spec, "What the gap is made of", table=numbers) if spec else numbers


def _gap(name: str, found: Mapping[str, Any]) -> str:
    rows = [("gap", found["gap"]), *(found["shares"] or {}).items()]
    if found["interaction"] is not None:
        rows.append(("interaction of retriever and reranker", found["interaction"]))
    cells = [(part, signed(one["mean"]), interval(one)) for part, one in rows]
    caption = f"{name}: winner minus incumbent, {found['metric']}, {found['queries']} queries"
    return table(["of what", "points", "interval"], cells, texts=1, caption=caption)


def _losses(applications: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (name, side, *(f"{split[part]['mean']:.4f}" for part in _LOSSES), f"{split['efficiency']:.1%}")
        for name, found in applications.items()
        for side, split in found["losses"].items()
    ]
    head = ["application", "composition", "achieved", "ceiling", "retrieval loss", "ranking loss", "efficiency"]
    return table(head, rows, texts=2)


def _curves(applications: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for curve, title in _CURVES.items():
        spec = stage_curve(applications, curve)
        if spec is not None:
            yield figure(spec, title, table=_steps(applications, curve))


def _steps(applications: Mapping[str, Mapping[str, Any]], curve: str) -> str:
    rows = [
        (
            *(name, one["stage"], f"{one['mean']:.4f}"),
            *((signed(one["step"]["mean"]), interval(one["step"])) if one["step"] else ("", "")),
        )
        for name, found in applications.items()
        for one in found["stages"][curve]
    ]
    return table(["application", "stage", "mean", "step", "interval"], rows, texts=2)


def _agreement(applications: Mapping[str, Mapping[str, Any]]) -> str:
    told = [
        f"{escape(name)} {found['stages']['tau']:.2f}"
        for name, found in applications.items()
        if found["stages"]["tau"] is not None
    ]
    return (
        f"<p>Does recall foretell the end result? Kendall's tau over the retrievers: {', '.join(told)}.</p>"
        if told
        else ""
    )
