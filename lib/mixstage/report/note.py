"""report.md: the choice in the length of a pull request's description."""

from collections.abc import Iterator, Mapping
from typing import Any

from mixstage.report.charts.spec import interval, signed
from mixstage.report.warnings import warnings


def render_note(report: Mapping[str, Any], page: str) -> str:
    """Markdown. page: where the whole report lies, relative to the note."""
    choice, plan = report["choice"], report["plan"]
    lines = [
        f"## {report['verdict']['word']}: {_code(choice['winner'])}",
        "",
        _text(report["verdict"]["sentence"]),
        "",
        f"Winner: {_code(choice['winner'])}, {_text(choice['reason'])}.",
        "",
        *_rivals(report["confirmation"]["test"], list(plan["applications"])),
        *(["Warnings:", "", *(f"- {_text(line)}" for line in found), ""] if (found := warnings(report)) else []),
        f"Plan {_code(plan['name'])}; curves, examples and the whole grid: [{page}]({page})",
    ]
    return "\n".join(lines) + "\n"


def _rivals(test: Mapping[str, Any], applications: list[str]) -> Iterator[str]:
    """Winner minus rival, a row a rival, a column an application."""
    yield "Winner minus rival on test, with intervals:"
    yield ""
    names = ["all", *applications]
    yield _row(["rival", "composition", *names])
    yield _row(["---"] * (len(names) + 2))
    for role, found in test.items():
        parts = [found["overall"], *(found["applications"].get(name) for name in applications)]
        cells = [f"{signed(part['mean'])} {interval(part)}" if part else "" for part in parts]
        cells[0] = cells[0] or "is the winner"
        yield _row([role, _code(found["composition"]), *(_text(cell) for cell in cells)])
    yield ""


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _code(name: str) -> str:
    return f"`{name.replace('`', '')}`"


def _text(text: str) -> str:
    """Names from a plan can't open a tag or a link, nor swallow what follows."""
    for sign in "\\`*_<[":
        text = text.replace(sign, f"\\{sign}")
    return text
