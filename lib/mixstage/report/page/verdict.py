"""The top of the page: the verdict in a sentence, its few figures, and why this winner.

The page's part on the winner against its rivals: forest plots, and the numbers.
"""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from mixstage.composition import Composition
from mixstage.report.charts.forest import forests
from mixstage.report.charts.spec import figure, interval, signed
from mixstage.report.page.table import table
from mixstage.report.warnings import warnings


def verdict_part(report: Mapping[str, Any]) -> str:
    choice, verdict = report["choice"], report["verdict"]
    word = verdict["word"]
    rest = escape(verdict["sentence"].removeprefix(word).lstrip(", "))
    facts = "".join(f"<div><dt>{escape(what)}</dt><dd>{told}</dd></div>" for what, told in _facts(report))
    own = "; ".join(f"{escape(app)} <code>{escape(name)}</code>" for app, name in choice["per_application"].items())
    found = warnings(report)
    clouds = f'<p class=warn><a href="#warnings">{len(found)} warnings</a> cloud these numbers.</p>' if found else ""
    return (
        f"<section class='verdict {word}'><div class=word>{word}</div><p class=sentence>{rest}</p>"
        f"<dl class=facts>{facts}</dl>"
        f"<p>Why <code>{escape(choice['winner'])}</code>: {escape(choice['reason'])}. {_turned_away(choice)}</p>"
        f"<p class=soft>Best for each application by itself on dev: {own}.</p>{clouds}</section>"
    )


def _facts(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(what, HTML)."""
    choice, verdict, gain = report["choice"], report["verdict"], report["choice"]["gain"]
    winner, incumbent = (Composition.parse(name) for name in (choice["winner"], choice["rivals"]["incumbent"]))
    for name, bounds in {"all": verdict["overall"], **verdict["applications"]}.items():
        if bounds is not None:
            what = "gain on test" if name == "all" else f"{name}, {bounds['queries']} queries"
            yield what, f"<b>{signed(bounds['mean'])}</b> {interval(bounds)}"
    yield "pairs scored a query", f"<b>{winner.pairs}</b> incumbent: {incumbent.pairs}"
    if gain is not None:
        yield "gain on dev queries that did not choose", f"<b>{signed(gain['mean'])}</b> {interval(gain)}"


def _turned_away(choice: Mapping[str, Any]) -> str:
    return (
        f"{choice['eligible']} compositions were eligible, {choice['over_budget']} over budget, {choice['regressing']} "
        f"turned away because an application would lose too much; {len(choice['near'])} tie with the best."
    )


def rivals_part(report: Mapping[str, Any]) -> str:
    confirmation, limit = report["confirmation"], report["plan"]["selection"]["max_regression"]
    figures = [
        figure(spec, f"winner minus {role}", confirmation["test"][role]["composition"], _numbers(confirmation, role))
        for role, spec in forests(confirmation, limit).items()
    ]
    same = [role for role, found in confirmation["test"].items() if found["overall"] is None]
    told = f"<p class=soft>The winner is also: {escape(', '.join(same))}.</p>" if same else ""
    return (
        "<p>Paired bootstrap intervals of the difference, right of 0 where the winner is better. Dev chose, so its "
        f"intervals flatter the winner; test did not. Dashed: the {limit:g} points that no application may lose.</p>"
        f"{told}<div class='charts two'>{''.join(figures)}</div>"
    )


def _numbers(confirmation: Mapping[str, Mapping[str, Any]], role: str) -> str:
    rows = [
        (
            *(split, name, signed(one["mean"]), interval(one)),
            f"{one['wins']} : {one['losses']} of {one['queries']}",
            one["verdict"],
        )
        for split in ("test", "dev")
        for name, one in _differences(confirmation[split][role]).items()
    ]
    return table(["split", "application", "difference", "interval", "wins : losses", "verdict"], rows, texts=2)


def _differences(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"all": found["overall"], **found["applications"]}
