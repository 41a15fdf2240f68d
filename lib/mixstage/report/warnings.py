"""What clouds the numbers, each in a sentence with its figure."""

from collections.abc import Iterator, Mapping
from typing import Any

from mixstage.report.page_validity import validity_warnings


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
