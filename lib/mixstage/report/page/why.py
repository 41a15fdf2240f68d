"""The page's section on the reason why: what the gap is made of, where quality is lost, what each stage brings."""

from collections.abc import Iterator, Mapping
from html import escape

from mixstage.insight.explain import Why
from mixstage.insight.finding import interval, signed
from mixstage.insight.reasons import Reasons
from mixstage.report.charts.spec import figure
from mixstage.report.charts.why import Curve, losses, points_of, shares, stage_curve
from mixstage.report.page.table import table

_LOSSES = ("achieved", "ceiling", "retrieval", "ranking")
_CURVES: dict[Curve, str] = {
    "retrievers": "Retrievers alone: recall",
    "rerankers": "Rerankers alone, same candidates",
    "end_to_end": "End to end, best of each retriever",
}


def why_part(why: Why | None) -> str:
    """Charts and tables; None if the reasons were not to be had."""
    if why is None:
        return "<p>What it is read from has left the store, or the grid was not made by a plan.</p>"
    reasons = why.applications
    return (
        "<p>Winner against incumbent, on test. Shares are Shapley's, over every order in which the parts could be "
        "exchanged; they add up to the gap. Every interval is a paired t interval. 1 = achieved + ranking loss (a "
        "perfect reranker would undo it) + retrieval loss (no reranker could).</p>"
        f"<div class='charts two'>{_shares(reasons)}"
        f"{figure(losses(reasons), 'Where quality is lost', table=_losses(reasons))}</div>"
        "<h3>What each stage brings</h3><p>Filled: the paired t interval of the step from the stage before excludes 0."
        f"</p><div class=charts>{''.join(_curves(reasons))}</div>{_agreement(reasons)}"
    )


def _shares(applications: Mapping[str, Reasons]) -> str:
    spec = shares({name: reasons.shares for name, reasons in applications.items()})
    numbers = "".join(_gap(name, reasons) for name, reasons in applications.items())
    return figure(spec, "What the gap is made of", table=numbers) if spec else numbers


def _gap(name: str, reasons: Reasons) -> str:
    rows = [("gap", reasons.gap), *(reasons.shares or {}).items()]
    if reasons.interaction is not None:
        rows.append(("interaction of retriever and reranker, at the four corners", reasons.interaction))
    cells = [(part, signed(one.mean), interval(one)) for part, one in rows]
    caption = f"{name}: winner minus incumbent, {reasons.metric}, {reasons.queries} queries"
    return table(["of what", "points", "interval"], cells, texts=1, caption=caption)


def _losses(applications: Mapping[str, Reasons]) -> str:
    rows = [
        (name, which, *(f"{getattr(split, part).mean:.4f}" for part in _LOSSES), f"{split.efficiency:.1%}")
        for name, reasons in applications.items()
        for which, split in reasons.losses.items()
    ]
    head = ["application", "composition", "achieved", "ceiling", "retrieval loss", "ranking loss", "efficiency"]
    return table(head, rows, texts=2)


def _curves(applications: Mapping[str, Reasons]) -> Iterator[str]:
    for curve, title in _CURVES.items():
        spec = stage_curve(applications, curve)
        if spec is not None:
            yield figure(spec, title, table=_steps(applications, curve))


def _steps(applications: Mapping[str, Reasons], curve: Curve) -> str:
    rows = [
        (
            *(name, point.stage, f"{point.mean:.4f}"),
            *((signed(point.step.mean), interval(point.step)) if point.step else ("", "")),
        )
        for name, reasons in applications.items()
        for point in points_of(reasons.stages, curve)
    ]
    return table(["application", "stage", "mean", "step", "interval"], rows, texts=2)


def _agreement(applications: Mapping[str, Reasons]) -> str:
    taus = [
        f"{escape(name)} {reasons.stages.tau:.2f}"
        for name, reasons in applications.items()
        if reasons.stages.tau is not None
    ]
    sentence = f"Does recall foretell the end result? Kendall's tau over the retrievers: {', '.join(taus)}."
    return f"<p>{sentence}</p>" if taus else ""
