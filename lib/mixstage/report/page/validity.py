"""The page's section on what the numbers rest on: analyses of an application, holes, shared documents, confounds."""

import math
from collections.abc import Iterator
from html import escape

from mixstage.insight.finding import Finding, interval, signed, with_interval
from mixstage.insight.reasons import Reasons
from mixstage.report.charts.spec import figure
from mixstage.report.page.table import table

_COUNTED = {
    "nothing": "count nothing (as measured)",
    "left out": "left out",
    "highest grade": "all of the highest grade",
}


def validity_part(name: str, reasons: Reasons, confidence: float) -> str:
    """Sentences and tables of one application; confidence: of the intervals."""
    sentences = [_corners(reasons, confidence), *(finding.note for finding in reasons.findings.values())]
    findings = "".join(part for finding in reasons.findings.values() for part in _finding(name, finding))
    tables = _holes(name, reasons), _shared(name, reasons), _confounds(name, reasons)
    return "".join([*(f"<p>{escape(f'{name}: {one}')}.</p>" for one in sentences if one), findings, *tables])


def _corners(reasons: Reasons, confidence: float) -> str:
    """Whether the winner's parts fit each other, or each is the best of its kind: one contrast, and its test."""
    contrast = reasons.interaction
    if contrast is None or not math.isfinite(contrast.low):
        return ""
    shows = (
        "excludes 0: of these two, what one brings depends on the other"
        if contrast.excludes_zero
        else "contains 0: no interaction shows, and mixing stages is then picking each best part"
    )
    return (
        "the interaction of the winner's and the incumbent's retriever and reranker, at the four corners that they "
        f"span, is {signed(contrast.mean)}; its paired t interval at {confidence:.0%}, {interval(contrast)}, {shows}"
    )


def _finding(name: str, finding: Finding) -> Iterator[str]:
    """The table and the chart of an analysis, or its title alone."""
    if finding.table is not None:
        caption = f"{name}: {finding.title}"
        yield table(finding.table.head, finding.table.rows, texts=finding.table.texts, caption=caption)
    if finding.chart is not None:
        yield figure(finding.chart, name, finding.title)
    if finding.table is None and finding.chart is None:
        yield f"<p>{escape(f'{name}: {finding.title}')}</p>"


def _holes(name: str, reasons: Reasons) -> str:
    holes = reasons.holes
    rows = [
        (_COUNTED[way], f"{one.winner:.4f}", f"{one.incumbent:.4f}", with_interval(one.difference))
        for way, one in holes.counted.items()
    ]
    caption = f"{name}: unjudged documents"
    if holes.correlation is not None:
        caption += f"; over the grid, score and their share: r = {holes.correlation:+.2f}"
        if holes.only_relevant_judged:
            caption += " (by construction: only relevant documents are judged)"
    return table(["unjudged documents", "winner", "incumbent", "difference"], rows, texts=1, caption=caption)


def _shared(name: str, reasons: Reasons) -> str:
    rows = [
        (
            f"{row.split} with {row.other}",
            f"{row.shared} of {row.queries}",
            *("" if gain is None else signed(gain) for gain in (row.gain_shared, row.gain_others)),
        )
        for row in reasons.shared
    ]
    head = ["splits", "queries that share a document", "their gain", "gain of the others"]
    caption = f"{name}: relevant documents in two splits, and winner minus incumbent with and without"
    return table(head, rows, texts=1, caption=caption)


def _confounds(name: str, reasons: Reasons) -> str:
    rows = [
        (label, f"{ranking.mean:.4f}", "" if ranking.share is None else f"{ranking.share:.0%}")
        for label, ranking in reasons.confounds.items()
    ]
    caption = f"{name}: {reasons.metric} of rankings that do not read the query"
    return table(["ranked by", "mean", "of the winner"], rows, texts=1, caption=caption)
