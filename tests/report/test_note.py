"""report.md, line by line."""

from dataclasses import replace

from mixstage.report.contents import Contents
from mixstage.report.note import render_note
from mixstage.report.warnings import warnings
from tests.report.conftest import INCUMBENT, WINNER


def renamed(report: Contents, plan: str) -> Contents:
    return replace(report, plan=report.plan.model_copy(update={"name": plan}))


def test_the_note_says_verdict_winner_rivals_and_warnings(report: Contents) -> None:
    report = renamed(report, "p")
    report = replace(report, choice=replace(report.choice, reason="cheapest of 2 for 0.5*reranker"))
    lines = render_note(report, "report.html").splitlines()
    assert lines[0] == f"## SHIP: `{WINNER}`"
    assert lines[2] == f"SHIP {WINNER}: +0.2000 on test."
    assert lines[4] == f"Winner: `{WINNER}`, cheapest of 2 for 0.5\\*reranker."
    rows = [line for line in lines if line.startswith("|")]
    assert rows == [
        "| rival | composition | all | a | b |",
        "| --- | --- | --- | --- | --- |",
        f"| incumbent | `{INCUMBENT}` | +0.2000 [+0.1800, +0.2200] | +0.1900 [+0.1700, +0.2100] "
        "| +0.2100 [+0.1900, +0.2300] |".replace("[", "\\["),
        f"| base + base | `{WINNER}` | is the winner |  |  |",
    ]
    assert [line[2:] for line in lines if line.startswith("- ")] == warnings(report)
    assert lines[-1] == "Plan `p`; curves, examples and the whole grid: [report.html](report.html)"


def test_a_name_cannot_break_out_of_its_cell(report: Contents) -> None:
    report = renamed(report, "a`|<script>")
    report = replace(report, forgetting=[replace(report.forgetting[0], application="[x](http://y)<b>")])
    note = render_note(report, "report.html")
    assert "Plan `a|<script>`" in note
    assert "\\[x](http://y)\\<b>" in note


def test_warnings_tell_what_clouds_the_numbers(report: Contents) -> None:
    found = warnings(report)
    assert found[0] == ("retriever broad forgets: a R@60 falls on dev from 0.500 to 0.400 against its parent base")
    assert "a: 50% of the winner's first ten are judged, 70% of the incumbent's" in found[1]
    assert found[2] == (
        "a: 8 test queries can show only a difference of 0.2500 or more (one-sided test at 5%, power 80%), which is "
        "above what it may lose"
    )
    assert found[-1] == "2 queries of dev and test are nearly the same"
    assert len(found) == 1 + 2 * 2 + 1  # equal documents: none
    assert warnings(replace(report, forgetting=[], why=None)) == []
