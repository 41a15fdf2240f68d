"""The page's queries to read: the greatest wins and losses, with what winner and incumbent answer first."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_SHOWN = 10  # in each direction, taken from the applications in turn
_OPEN = 2  # unfolded, in each direction


def examples_part(why: Mapping[str, Any]) -> str:
    parts = [
        "<p>Dev queries that the winner answers better or worse than the incumbent, the greatest difference of each "
        "application first. What is marked ✓ was judged relevant; winloss.parquet lists more.</p>"
    ]
    for title, sign in (("Won", 1), ("Lost", -1)):
        found = in_turn(why["applications"], sign)
        parts += [f"<h3>{title}</h3>", *(_example(row, place < _OPEN) for place, row in enumerate(found))]
        if not found:
            parts.append("<p class=soft>None.</p>")
    return "".join(parts)


def in_turn(applications: Mapping[str, Mapping[str, Any]], sign: int) -> list[dict[str, Any]]:
    """The first of every application, then the second, ...: _SHOWN of those whose difference has the sign."""
    ranked = [
        (place, -abs(row["delta"]), name, row)
        for name, found in applications.items()
        for place, row in enumerate(row for row in found["examples"] if row["delta"] * sign > 0)
    ]
    ranked.sort(key=lambda one: one[:3])
    return [{"application": name, **row} for _, _, name, row in ranked[:_SHOWN]]


def _example(row: Mapping[str, Any], is_open: bool) -> str:
    way = "up" if row["delta"] > 0 else "down"
    told = f"<span>{escape(row['application'])}, {escape(row['cause'])}</span>"
    lists = "".join(f"<div><h4>{side}'s first</h4>{_answers(row[side])}</div>" for side in ("winner", "incumbent"))
    return (
        f"<details class=example{' open' * is_open}><summary>{escape(row['query'])} "
        f"<b class={way}>{row['delta']:+.3f}</b> {told}</summary><div class=charts>{lists}</div></details>"
    )


def _answers(documents: Sequence[Mapping[str, Any]]) -> str:
    return f"<ol>{''.join(_answer(document) for document in documents)}</ol>"


def _answer(document: Mapping[str, Any]) -> str:
    grade = document["grade"]
    is_relevant = grade is not None and grade > 0
    mark = f" <span class=grade>✓ grade {grade}</span>" if is_relevant else ""
    title = escape(document["title"] or document["doc_id"])
    kind = " class=relevant" if is_relevant else ""
    return f"<li{kind}><b>{title}</b>{mark}<br><span class=soft>{escape(document['snippet'])}</span></li>"
