"""report.md: the choice in the length of a pull request's description."""

from collections.abc import Iterator, Mapping

from mixstage.composition import Composition
from mixstage.insight.finding import with_interval
from mixstage.report.contents import Contents
from mixstage.report.warnings import warnings
from mixstage.selection.select import Against


def render_note(report: Contents, page: str) -> str:
    """Markdown. page: where the whole report lies, relative to the note."""
    clouds = [f"- {_text(line)}" for line in warnings(report)]
    lines = [
        f"## {report.verdict.word}: {_code(report.winner)}",
        "",
        _text(report.verdict.sentence),
        "",
        f"Winner: {_code(report.winner)}, {_text(report.choice.reason)}.",
        "",
        *_rivals(report.confirmation["test"], list(report.plan.applications)),
        *(["Warnings:", "", *clouds, ""] if clouds else []),
        f"Plan {_code(report.plan.name)}; curves, examples and the whole grid: [{page}]({page})",
    ]
    return "\n".join(lines) + "\n"


def _rivals(test: Mapping[str, Against], applications: list[str]) -> Iterator[str]:
    """Winner minus rival, a row a rival, a column an application."""
    yield "Winner minus rival on test, with paired bootstrap intervals:"
    yield ""
    names = ["all", *applications]
    yield _row(["rival", "composition", *names])
    yield _row(["---"] * (len(names) + 2))
    for role, rival in test.items():
        parts = [rival.overall, *(rival.applications.get(name) for name in applications)]
        cells = [with_interval(part) if part else "" for part in parts]
        cells[0] = cells[0] or "is the winner"
        yield _row([role, _code(rival.composition), *(_text(cell) for cell in cells)])
    yield ""


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _code(name: str | Composition) -> str:
    return f"`{str(name).replace('`', '')}`"


def _text(text: str) -> str:
    """Names from a plan can't open a tag or a link, nor swallow what follows."""
    for sign in "\\`*_<[":
        text = text.replace(sign, f"\\{sign}")
    return text
