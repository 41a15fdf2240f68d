"""What clouds the numbers, each in a sentence with its figure."""

from collections.abc import Iterator, Mapping
from typing import Any

from mixstage.insight.confounds import LIMIT


def warnings(report: Mapping[str, Any]) -> list[str]:
    """Plain text, in the order in which a reader should hear of it."""
    why = report["why"]
    told = [_forgets(flag) for flag in report["forgetting"]]
    if why is not None:
        for name, found in why["applications"].items():
            told += _clouds(name, found)
        told += [*_leaks(why), *validity_warnings(why)]
    return told


def _forgets(flag: Mapping[str, Any]) -> str:
    return (
        f"{flag['component']} {flag['stage']} forgets: {flag['application']} {flag['measure']} falls on dev from "
        f"{flag['before']:.3f} to {flag['after']:.3f} against its parent {flag['parent']}"
    )


def _clouds(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    holes = found["holes"]
    if holes["uneven"]:
        yield (
            f"{name}: {holes['winner']:.0%} of the winner's first ten are judged, {holes['incumbent']:.0%} of the "
            "incumbent's: the one with fewer may be better than it looks (labelling.parquet lists what to judge)"
        )
    if found["names_decide"]:
        yield f"{name}: ties move the metric by more than a thousandth: document names decide"
    if found["few_queries"]:
        least = found["detectable"]
        shown = "no difference" if least is None else f"only a difference of {least:.4f} or more"
        yield f"{name}: {found['queries']} test queries can show {shown}, which is above what it may lose"


def _leaks(why: Mapping[str, Any]) -> Iterator[str]:
    for pair, count in why["leaks"]["counts"].items():
        if count:
            yield f"{count} queries of {pair} are nearly the same"
    for corpus, equal in why["equal_documents"].items():
        if equal["copies"]:
            yield f"{corpus}: {equal['copies']} of {equal['documents']} documents repeat another's text"


def validity_warnings(why: Mapping[str, Any]) -> list[str]:
    """What clouds the numbers, in plain sentences without a full stop; why: `Explanation.data`."""
    told = [warning for name, found in why["applications"].items() for warning in _validity(name, found)]
    return told + [
        f"{count} {split} queries stand word for word among the training samples"
        for split, count in why["leaks"]["trained"].items()
        if count
    ]


def _validity(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    holes = found["holes"]
    if holes["correlated"]:
        yield (
            f"{name}: the grid's scores follow the share of unjudged documents (r = {holes['correlation']:+.2f}): "
            "judgements may favour the compositions that they were collected from"
        )
    counted = holes["counted"]
    if "left out" in counted and _gap(counted["left out"]) < 0 < _gap(counted["nothing"]):
        yield f"{name}: without the unjudged documents the winner is behind by {-_gap(counted['left out']):.4f}"
    for row in found["shared"]:
        if row["split"] == "test" and row["shared"]:
            yield (
                f"{name}: {row['shared']} of {row['queries']} test queries share a relevant document with a "
                f"{row['other']} query: the splits are not by group"
            )
    for label, ranking in found["confounds"].items():
        if ranking["share"] is not None and ranking["share"] >= LIMIT:
            share = f"{ranking['share']:.0%} of the winner"
            yield f"{name}: a ranking that does not read the query ({label}) reaches {share}"


def _gap(side: Mapping[str, Any]) -> float:
    return float(side["difference"]["mean"])
