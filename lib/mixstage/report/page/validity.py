"""The page's tables on what the numbers rest on: components, other candidates, holes, shared documents, confounds."""

from collections.abc import Mapping
from html import escape
from typing import Any

from mixstage.report.page.table import table

_SOURCES = {"reranker": "reranker", "retriever": "retriever", "both": "reranker x retriever"}
_COUNTED = {
    "nothing": "count nothing (as measured)",
    "left out": "left out",
    "highest grade": "all of the highest grade",
}


def validity_part(name: str, found: Mapping[str, Any]) -> str:
    """Tables of one application, out of `Explanation.data`."""
    tables = (_anova, _union, _holes, _shared, _confounds)
    return _mixing(name, found) + "".join(make(name, found) for make in tables)


def _mixing(name: str, found: Mapping[str, Any]) -> str:
    """Whether a mixed composition wins because its parts fit, or because each is the best of its kind."""
    if found["interacts"] is None:
        return ""
    told = (
        "retriever and reranker interact: what one brings depends on the other"
        if found["interacts"]
        else "no interaction of retriever and reranker shows: mixing stages is then picking each best part"
    )
    return f"<p>{escape(name)}: {told}.</p>"


def _anova(name: str, found: Mapping[str, Any]) -> str:
    anova = found["anova"]
    if anova is None:
        return ""
    rows = [
        (
            label,
            f"{effect['share']:.2%}",
            f"{effect['omega2']:.3f}",
            "" if effect["f"] is None else f"{effect['f']:.2f}",
            f"{effect['df'] * effect['epsilon']:.1f}, {effect['error_df'] * effect['epsilon']:.1f}",
            "" if effect["p"] is None else f"{effect['p']:.4f}",
        )
        for label, effect in ((_SOURCES[source], effect) for source, effect in anova["effects"].items())
    ]
    mix = "" if anova["mix"] == 1 else f", weight {anova['mix']:g}"
    caption = (
        f"{name}: what differences come from, {len(anova['retrievers'])} retrievers x {len(anova['rerankers'])} "
        f"rerankers at depth {anova['depth']}{mix}; {anova['queries']:.1%} of all squares lie between queries"
    )
    head = ["source", "share of squares", "partial omega squared", "F", "degrees of freedom", "p"]
    return table(head, rows, texts=1, caption=caption)


def _union(name: str, found: Mapping[str, Any]) -> str:
    bound = found["union_bound"]
    if bound is None:
        return ""
    own = ("nothing", f"{bound['candidates']:.1f}", f"{bound['ceiling']:.4f}", "", f"{bound['achieved']:.4f}", "")
    rows = [
        (
            one["added"],
            f"{one['candidates']:.1f}",
            f"{one['ceiling']:.4f}",
            _interval(one["could"]),
            f"{one['achieved']:.4f}",
            _interval(one["does"]),
        )
        for one in bound["additions"]
    ]
    head = ["added to the winner's candidates", "a query", "ceiling", "gain", "its reranker alone", "gain"]
    return table(head, [own, *rows], texts=1, caption=f"{name}: would other retrievers' candidates help?")


def _holes(name: str, found: Mapping[str, Any]) -> str:
    rows = [
        (_COUNTED[way], f"{side['winner']:.4f}", f"{side['incumbent']:.4f}", _interval(side["difference"]))
        for way, side in found["holes"]["counted"].items()
    ]
    holes = found["holes"]
    told = (
        ""
        if holes["correlation"] is None
        else f"; over the grid, score and their share: r = {holes['correlation']:+.2f}"
    )
    if told and holes["only_relevant_judged"]:
        told += " (by construction: only relevant documents are judged)"
    caption = f"{name}: unjudged documents{told}"
    return table(["unjudged documents", "winner", "incumbent", "difference"], rows, texts=1, caption=caption)


def _shared(name: str, found: Mapping[str, Any]) -> str:
    rows = [
        (
            f"{row['split']} with {row['other']}",
            f"{row['shared']} of {row['queries']}",
            *("" if row[key] is None else f"{row[key]:+.4f}" for key in ("gain_shared", "gain_others")),
        )
        for row in found["shared"]
    ]
    head = ["splits", "queries that share a document", "their gain", "gain of the others"]
    caption = f"{name}: relevant documents in two splits, and winner minus incumbent with and without"
    return table(head, rows, texts=1, caption=caption)


def _confounds(name: str, found: Mapping[str, Any]) -> str:
    rows = [
        (label, f"{ranking['mean']:.4f}", "" if ranking["share"] is None else f"{ranking['share']:.0%}")
        for label, ranking in found["confounds"].items()
    ]
    caption = f"{name}: {found['metric']} of rankings that do not read the query"
    return table(["ranked by", "mean", "of the winner"], rows, texts=1, caption=caption)


def _interval(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return f"{found['mean']:+.4f}"
    return f"{found['mean']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
