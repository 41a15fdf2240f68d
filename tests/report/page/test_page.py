"""The page: one file that asks for nothing, its parts, odd notes, and names that are no HTML."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import polars as pl
import pytest

from mixstage.report.contents import Contents
from mixstage.report.page.examples import in_turn
from mixstage.report.page.grid import forgetting_part, marks_of
from mixstage.report.page.page import render_page
from mixstage.report.page.table import table
from mixstage.report.page.training import training_part
from mixstage.report.page.why import why_part
from mixstage.report.training import Ledger, Run, Stage, Suspect
from mixstage.selection.forgetting import Flag
from mixstage.selection.select import Against
from mixstage.selection.verdict import Ruling
from tests.report.conftest import EVIL, WINNER, example, named


class Reader(HTMLParser):
    """Tags with their attributes, and the texts of scripts, as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data


@pytest.fixture
def page(report: Contents, means: pl.DataFrame) -> str:
    return render_page(report, means)


def specs(page: str) -> list[dict[str, Any]]:
    return [json.loads(script) for script in Reader(page).scripts[:-2]]  # the last are Vega and the page's own


def test_the_page_asks_for_nothing(page: str) -> None:
    asking = {"src", "href", "data", "action", "poster", "srcset"}
    asked = [value for _, found in Reader(page).tags for name, value in found.items() if name in asking]
    assert asked and all(value is not None and value.startswith("#") for value in asked)
    tags = [tag for tag, _ in Reader(page).tags]
    assert "link" not in tags and "@import" not in page
    assert "default-src 'none'" in page  # the browser holds it to that
    assert len(page.encode()) < 1_500_000


def test_the_verdict_is_the_first_thing_said(page: str) -> None:
    body = page[page.index("<body>") :]
    assert body.index("<div class=word>SHIP</div>") < body.index("<h2")
    assert "<b>+0.2000</b> [+0.1800, +0.2200]" in body and "<b>10</b> incumbent: 0" in body


def test_a_page_has_its_scripts_once_and_a_figure_for_each_chart(page: str) -> None:
    # two depths, recall, cost, one forest, shares, losses, two stage curves, one training curve
    assert len(specs(page)) == page.count("<figure class=chart>") == 10
    assert page.count("window.vegaEmbed=") == 1


def test_names_and_texts_are_never_html(page: str) -> None:
    assert EVIL not in page
    assert len(Reader(page).scripts) == 10 + 2
    assert page.count("&lt;/script&gt;") > 5


def test_examples_take_the_applications_in_turn() -> None:
    rows = {"a": [example(d) for d in (0.9, 0.8, -0.2)], "b": [example(0.5)]}
    assert [(name, row.delta) for name, row in in_turn(rows, 1)] == [("a", 0.9), ("b", 0.5), ("a", 0.8)]
    assert [row.delta for _, row in in_turn(rows, -1)] == [-0.2]
    many = {"a": [example(0.5)] * 30}
    assert len(in_turn(many, 1)) == 10


def test_examples_show_both_lists_and_what_is_relevant(page: str) -> None:
    (shown,) = re.findall(r"<details class=example[^>]*><summary>who pays\? <b class=up>\+0.400.*?</details>", page)
    first, second = shown.split("incumbent's first")
    assert first.index("<b>d1</b> <span class=grade>✓ grade 1") < first.index("<b>who pays?</b>")
    assert second.index("<b>who pays?</b>") < second.index("<b>d1</b>")


def test_the_configuration_has_the_digests(page: str) -> None:
    for digest in ("g" * 24, "h" * 24, "c" * 24):
        assert f"<td class=text>{digest}</td>" in page
    assert "ranking_depth: 20" in page


def test_a_winner_that_is_the_incumbent_has_a_page(report: Contents, means: pl.DataFrame) -> None:
    same = Against(composition=named(WINNER), overall=None, applications={})
    kept = replace(
        report,
        verdict=Ruling(word="KEEP", sentence=f"KEEP {WINNER}: it is."),
        choice=replace(report.choice, incumbent=named(WINNER), base=None),
        gain=None,
        confirmation={split: {"incumbent": same} for split in ("dev", "test")},
        why=None,
    )
    page = render_page(kept, means)
    assert "The winner is also: incumbent" in page and "has left the store" in page
    assert "Queries won and lost" not in page and why_part(None) in page


def stage(*rounds: dict[str, Any], **notes: Any) -> Stage:
    blank = {"samples": None, "ledger": None, "curve": [], "measured": [], "step": None}
    known = {"checkpoint": "c" * 24, "fingerprint": "f", "parents": ["base"], "soup": None, "adapter": None}
    return Stage(**{**known, "rounds": [Run(**{**blank, **one}) for one in rounds], **notes})


def test_rounds_follow_each_other_on_one_count_of_steps() -> None:
    steps = [{"step": 1.0, "loss": 4.0}, {"step": 2.0, "loss": 2.0}]
    measured = [{"step": 2.0, "score": 0.5}]
    page = training_part({"retriever": {"robust": stage(*[{"curve": steps, "measured": measured, "step": 2}] * 2)}})
    (spec,) = [json.loads(script) for script in Reader(page).scripts]
    rows = spec["data"]["values"]
    assert [(row["step"], row["value"]) for row in rows if row["kind"] == "loss"] == [(1, 4), (2, 2), (3, 4), (4, 2)]
    assert [(row["step"], row["kept"]) for row in rows if row["kind"] == "dev R@60"] == [(2, False), (4, True)]
    assert [row["step"] for row in rows if row["kind"] == "cut"] == [2.5]
    assert "Round 2 of 2" in page and "kept step 2; dev R@60 there 0.500" in page


def test_a_soup_says_its_members_and_weights() -> None:
    page = training_part({"reranker": {"mixed": stage(soup={"broad": 0.6, "robust": 0.4})}})
    assert "weighted mean of broad 60%, robust 40%" in page and "<figure" not in page


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"samples": {}},
        {"samples": {"sources": {}}},
        {"samples": {"sources": {"title:c": 0}, "mining": {}}},
        {"samples": {"sources": {"a": 1}, "mining": {"a": {"queries": 3, "kept": 2, "suspected_positives": 9}}}},
        {"curve": [{"step": 1.0}, {"loss": 1.0}, {"step": 2.0, "loss": float("nan")}]},
        {"measured": [{"step": 1.0}, {"score": 0.5}], "step": 1},
        {"measured": [{"step": 2.0, "score": 0.5}], "step": 1},
        {"ledger": Ledger(path="p", suspects=0, first=[]), "samples": {"samples": 1}},
    ],
)
def test_odd_notes_are_survived(odd: dict[str, Any]) -> None:
    page = training_part({"retriever": {"base": stage(), "odd": stage(odd, parents=[])}})
    assert "not measured on dev" in page.lower() and "nan" not in page and "untrained" in page


def test_nothing_from_a_run_is_taken_for_html() -> None:
    evil = "<script>"
    suspect = Suspect(source=evil, query_id=evil, doc_id=evil, miner=evil, rank=1, score=0.5, positive_score=None)
    told = {
        "samples": {"sources": {evil: 1}, "mining": {evil: {}}},
        "ledger": Ledger(path=evil, suspects=1, first=[suspect]),
        "measured": [{"step": 1.0, "score": 0.5, evil: 0.5}],
        "step": 1,
    }
    flags = [
        Flag(component="retriever", stage=evil, parent=evil, application=evil, measure=evil, before=0.5, after=0.4)
    ]
    assert evil not in training_part({"retriever": {"odd": stage(told, parents=[evil])}})
    assert evil not in forgetting_part(flags, 0.01)
    assert evil not in table([evil], [[evil]], texts=1, caption=evil)


def test_the_mark_lists_what_a_stage_forgets() -> None:
    flag = Flag(
        component="retriever",
        stage="robust",
        parent="broad",
        measure="R@60",
        before=0.5,
        application="a",
        after=0.4,
    )
    flags = [flag, replace(flag, application="b", after=0.45)]
    told = "forgets: a R@60 -0.100 against broad; b R@60 -0.050 against broad"
    assert marks_of(flags) == {("retriever", "robust"): told}


def test_without_flags_the_page_says_so() -> None:
    assert "None was flagged." in forgetting_part([], 0.01)
