"""What clouds the numbers, each in a sentence with its figure."""

from collections.abc import Iterator

from mixstage.insight.confounds import LIMIT
from mixstage.insight.explain import Why
from mixstage.insight.reasons import Reasons
from mixstage.report.contents import Contents
from mixstage.selection.forgetting import Flag
from mixstage.stats.power import POWER


def warnings(report: Contents) -> list[str]:
    """Plain text, in the order in which a reader should hear of it."""
    lines = [_forgets(flag) for flag in report.forgetting]
    if report.why is not None:
        for name, reasons in report.why.applications.items():
            lines += _clouds(name, reasons)
        lines += [*_leaks(report.why), *validity_warnings(report.why)]
    return lines


def _forgets(flag: Flag) -> str:
    return (
        f"{flag.component} {flag.stage} forgets: {flag.application} {flag.measure} falls on dev from "
        f"{flag.before:.3f} to {flag.after:.3f} against its parent {flag.parent}"
    )


def _clouds(name: str, reasons: Reasons) -> Iterator[str]:
    if reasons.holes.is_uneven:
        judged = reasons.holes.judged
        yield (
            f"{name}: {judged.winner:.0%} of the winner's first ten are judged, {judged.incumbent:.0%} of the "
            "incumbent's: the one with fewer may be better than it looks (labelling.parquet lists what to judge)"
        )
    if reasons.names_decide:
        yield f"{name}: ties move the metric by more than a thousandth: document names decide"
    if reasons.few_queries:
        least = reasons.detectable
        shown = "no difference" if least is None else f"only a difference of {least:.4f} or more"
        yield (
            f"{name}: {reasons.queries} test queries can show {shown} (one-sided test at 5%, power {POWER:.0%}), which "
            "is above what it may lose"
        )


def _leaks(why: Why) -> Iterator[str]:
    for splits, count in why.leaks.counts.items():
        if count:
            yield f"{count} queries of {splits} are nearly the same"
    for corpus, equal in why.equal_documents.items():
        if equal.copies:
            yield f"{corpus}: {equal.copies} of {equal.documents} documents repeat another's text"


def validity_warnings(why: Why) -> list[str]:
    """What the numbers rest on, where it is weak."""
    lines = [warning for name, reasons in why.applications.items() for warning in _validity(name, reasons)]
    return lines + [
        f"{count} {split} queries stand word for word among the training samples"
        for split, count in why.leaks.trained.items()
        if count
    ]


def _validity(name: str, reasons: Reasons) -> Iterator[str]:
    holes = reasons.holes
    if holes.is_correlated:
        yield (
            f"{name}: the grid's scores follow the share of unjudged documents (r = {holes.correlation:+.2f}): "
            "judgements may favour the compositions that they were collected from"
        )
    gaps = {way: counted.difference.mean for way, counted in holes.counted.items()}
    if "left out" in gaps and gaps["left out"] < 0 < gaps["nothing"]:
        yield f"{name}: without the unjudged documents the winner is behind by {-gaps['left out']:.4f}"
    for row in reasons.shared:
        if row.split == "test" and row.shared:
            yield (
                f"{name}: {row.shared} of {row.queries} test queries share a relevant document with a "
                f"{row.other} query: the splits are not by group"
            )
    for label, ranking in reasons.confounds.items():
        if ranking.share is not None and ranking.share >= LIMIT:
            share = f"{ranking.share:.0%} of the winner"
            yield f"{name}: a ranking that does not read the query ({label}) reaches {share}"
