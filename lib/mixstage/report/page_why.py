"""The page's section on the reason why: what the gap is made of, where quality is lost, and what clouds the numbers."""

from collections import Counter
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from mixstage.report.page_table import table

_CAUSES = 5  # queries won, and as many lost, shown of each application; more lie in winloss.parquet
_LOSSES = ("achieved", "ceiling", "retrieval", "ranking")


def why_part(why: Mapping[str, Any] | None) -> str:
    """Tables out of `Explanation.data`; None if it was not to be had."""
    if why is None:
        return "<p>What it is read from has left the store, or the grid was not made by a plan.</p>"
    parts = [
        "<p>On test. Shares are Shapley's, over every order in which the parts could be exchanged; they add up to the "
        "gap. 1 = achieved + retrieval loss (no reranker could undo it) + ranking loss (a perfect one would).</p>"
    ]
    for name, found in why["applications"].items():
        parts += [_gap(name, found), _losses(name, found), *_clouds(name, found)]
    parts += [_causes(why["won_and_lost"]), *_leaks(why)]
    return "".join(parts)


def _gap(name: str, found: Mapping[str, Any]) -> str:
    rows = [("gap", found["gap"]), *(found["shares"] or {}).items()]
    if found["interaction"] is not None:
        rows.append(("interaction of retriever and reranker", found["interaction"]))
    cells = [(part, f"{one['mean']:+.4f}", f"[{one['low']:+.4f}, {one['high']:+.4f}]") for part, one in rows]
    caption = f"{name}: winner minus incumbent, {found['metric']}, {found['queries']} queries"
    return table(["of what", "points", "interval"], cells, texts=1, caption=caption)


def _losses(name: str, found: Mapping[str, Any]) -> str:
    rows = [
        (side, *(f"{split[part]['mean']:.4f}" for part in _LOSSES), f"{split['efficiency']:.1%}")
        for side, split in found["losses"].items()
    ]
    head = ["composition", "achieved", "ceiling", "retrieval loss", "ranking loss", "efficiency"]
    return table(head, rows, texts=1, caption=f"{name}: where quality is lost")


def _clouds(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    """Warnings, each with its figure."""
    holes = found["holes"]
    if holes["uneven"]:
        yield _warn(
            f"{name}: {holes['winner']:.0%} of the winner's first ten are judged, {holes['incumbent']:.0%} of the "
            "incumbent's: the one with fewer may be better than it looks (labelling.parquet lists what to judge)"
        )
    if found["names_decide"]:
        yield _warn(f"{name}: ties move the metric by more than a thousandth: document names decide")
    if found["few_queries"]:
        least = found["detectable"]
        shown = "none" if least is None else f"{least:.4f} or more"
        yield _warn(f"{name}: {found['queries']} queries can show a difference of {shown}, above what may be lost")


def _causes(rows: list[Mapping[str, Any]]) -> str:
    shown: Counter[tuple[str, bool]] = Counter()
    cells = []
    for row in rows:
        side = row["application"], row["delta"] > 0
        shown[side] += 1
        if shown[side] <= _CAUSES:
            first = ("" if row[rank] is None else str(row[rank]) for rank in ("winner_first", "incumbent_first"))
            cells.append((row["application"], row["query_id"], row["cause"], f"{row['delta']:+.3f}", *first))
    head = ["application", "query", "cause", "points", "first relevant: winner", "incumbent"]
    return table(head, cells, texts=3, caption="dev: greatest wins, then losses; more of them in winloss.parquet")


def _leaks(why: Mapping[str, Any]) -> Iterator[str]:
    for pair, count in why["leaks"]["counts"].items():
        if count:
            yield _warn(f"{count} queries of {pair} are nearly the same")
    for corpus, equal in why["equal_documents"].items():
        if equal["copies"]:
            yield _warn(f"{corpus}: {equal['copies']} of {equal['documents']} documents repeat another's text")


def _warn(text: str) -> str:
    return f"<p class=warn>{escape(text)}.</p>"
