"""The page's queries to read: the greatest wins and losses, with what winner and incumbent answer first."""

from collections.abc import Mapping, Sequence
from html import escape

from mixstage.insight.explain import Why
from mixstage.insight.wins import Example, Shown

_SHOWN = 10  # in each direction, taken from the applications in turn
_OPEN = 2  # unfolded, in each direction


def examples_part(why: Why) -> str:
    """Won queries, then lost ones, the first few unfolded."""
    parts = [
        "<p>Dev queries that the winner answers better or worse than the incumbent, the greatest difference of each "
        "application first. What is marked ✓ was judged relevant; winloss.parquet lists more.</p>"
    ]
    for title, sign in (("Won", 1), ("Lost", -1)):
        shown = in_turn({name: reasons.examples for name, reasons in why.applications.items()}, sign)
        parts += [f"<h3>{title}</h3>", *(_example(*row, place < _OPEN) for place, row in enumerate(shown))]
        if not shown:
            parts.append("<p class=soft>None.</p>")
    return "".join(parts)


def in_turn(applications: Mapping[str, Sequence[Example]], sign: int) -> list[tuple[str, Example]]:
    """The first of every application, then the second, ...: _SHOWN of those whose difference has the sign."""
    ranked = [
        (place, -abs(row.delta), name, row)
        for name, examples in applications.items()
        for place, row in enumerate(row for row in examples if row.delta * sign > 0)
    ]
    ranked.sort(key=lambda one: one[:3])
    return [(name, row) for _, _, name, row in ranked[:_SHOWN]]


def _example(application: str, row: Example, is_open: bool) -> str:
    way = "up" if row.delta > 0 else "down"
    label = f"<span>{escape(application)}, {escape(row.cause)}</span>"
    both = {"winner": row.winner, "incumbent": row.incumbent}
    lists = "".join(f"<div><h4>{which}'s first</h4>{_answers(shown)}</div>" for which, shown in both.items())
    return (
        f"<details class=example{' open' * is_open}><summary>{escape(row.query)} "
        f"<b class={way}>{row.delta:+.3f}</b> {label}</summary><div class=charts>{lists}</div></details>"
    )


def _answers(documents: Sequence[Shown]) -> str:
    return f"<ol>{''.join(_answer(document) for document in documents)}</ol>"


def _answer(document: Shown) -> str:
    is_relevant = document.grade is not None and document.grade > 0
    mark = f" <span class=grade>✓ grade {document.grade}</span>" if is_relevant else ""
    title = escape(document.title or document.doc_id)
    kind = " class=relevant" if is_relevant else ""
    return f"<li{kind}><b>{title}</b>{mark}<br><span class=soft>{escape(document.snippet)}</span></li>"
