"""The page's parts: coordinates worked out by hand, odd notes, and names that are no HTML."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from mixstage.report.page_curve import Chart, draw
from mixstage.report.page_grid import forgetting_part, marks_of
from mixstage.report.page_table import table
from mixstage.report.page_training import training_part


def chart(**parts: Any) -> Chart:
    blank: dict[str, Any] = {"loss": [], "scores": [], "kept": None, "cuts": []}
    return Chart(**{"name": "n", "title": "Loss of n", "measure": "R@60", **blank, **parts})


def numbers(text: str, pattern: str) -> list[float]:
    return [float(found) for found in re.findall(pattern, text)]


def test_the_curve_spans_the_plot_and_its_ends_are_labelled() -> None:
    svg = draw(chart(loss=[(1, 2.0), (2, 1.5), (5, 1.0)]))
    # steps 1..5 on 58..310, losses 1..2 on 136..32: step 2 a quarter of the way, 1.5 half way
    assert 'points="58.0,32.0 121.0,84.0 310.0,136.0"' in svg
    assert ">2</text>" in svg and ">1</text>" in svg
    assert ">step 1</text>" in svg and ">step 5</text>" in svg


def test_dev_scores_have_a_scale_of_their_own_and_the_kept_step_is_filled() -> None:
    svg = draw(chart(loss=[(1, 9.0), (4, 8.0)], scores=[(2, 0.25), (4, 0.75)], kept=4))
    assert numbers(svg, r'cx="([\d.]+)"') == [142.0, 310.0]
    assert numbers(svg, r'cy="([\d.]+)"') == [136.0, 32.0]
    assert re.findall(r'class="(dev[^"]*)"', svg) == ["dev", "dev kept"]
    assert ">0.250</text>" in svg and ">0.750</text>" in svg


def test_the_curve_tells_its_content_to_who_cannot_see_it() -> None:
    svg = draw(chart(loss=[(1, 2.0), (5, 1.0)], scores=[(5, 0.25)]))
    root = ElementTree.fromstring(re.sub(r"=([\w]+)(?=[\s>/])", r'="\1"', svg))
    assert root.attrib["role"] == "img" and root.attrib["aria-labelledby"] == "n-t n-d"
    assert {child.attrib["id"]: child.text for child in root[:2]} == {
        "n-t": "Loss of n",
        "n-d": "loss from 2 at step 1 to 1 at step 5; dev R@60 from 0.25 at step 5 to 0.25 at step 5",
    }


def test_one_point_is_a_dot_and_none_is_no_drawing() -> None:
    svg = draw(chart(loss=[(3, 1.0)]))
    assert "polyline" not in svg and svg.count("<circle") == 1 and svg.count(">step 3<") == 1
    assert draw(chart()) == ""


def test_a_long_curve_is_thinned_to_its_end() -> None:
    svg = draw(chart(loss=[(step, 1 / step) for step in range(1, 5002)]))
    (points,) = re.findall(r'points="([^"]*)"', svg)
    assert len(points.split()) <= 201 and points.endswith("310.0,136.0")


def stage(*rounds: dict[str, Any], **notes: Any) -> dict[str, Any]:
    blank = {"samples": None, "ledger": None, "curve": [], "measured": [], "step": None}
    told = [{**blank, **one} for one in rounds]
    return {"checkpoint": "c" * 24, "parents": ["base"], "soup": None, "adapter": None, "rounds": told, **notes}


def test_rounds_follow_each_other_on_one_count_of_steps() -> None:
    steps = [{"step": 1.0, "loss": 4.0}, {"step": 2.0, "loss": 2.0}]
    measured = [{"step": 2.0, "score": 0.5}]
    page = training_part({"retriever": {"robust": stage(*[{"curve": steps, "measured": measured, "step": 2}] * 2)}})
    # steps 1..4 on 58..310; the second round begins between 2 and 3
    assert 'points="58.0,32.0 142.0,136.0 226.0,32.0 310.0,136.0"' in page
    assert numbers(page, r"class=cut d=\"M([\d.]+) ") == [184.0]
    assert re.findall(r'class="(dev[^"]*)"', page) == ["dev", "dev kept"]
    assert "Round 2 of 2" in page and "kept step 2; dev R@60 there 0.500" in page


def test_a_soup_says_its_members_and_weights() -> None:
    page = training_part({"reranker": {"mixed": stage(soup={"broad": 0.6, "robust": 0.4})}})
    assert "weighted mean of broad 60%, robust 40%" in page and "<svg" not in page


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
        {"ledger": {"path": "p", "suspects": 0, "first": []}, "samples": {"samples": 1}},
    ],
)
def test_odd_notes_are_survived(odd: dict[str, Any]) -> None:
    page = training_part({"retriever": {"base": stage(), "odd": stage(odd, parents=[])}})
    assert "not measured on dev" in page.lower() and "nan" not in page and "untrained" in page


def test_nothing_from_a_run_is_taken_for_html() -> None:
    evil = "<script>"
    row = dict.fromkeys(("source", "query_id", "doc_id", "miner"), evil)
    told = {
        "samples": {"sources": {evil: 1}, "mining": {evil: {}}},
        "ledger": {"path": evil, "suspects": 1, "first": [{**row, "rank": 1, "score": 0.5, "positive_score": None}]},
        "measured": [{"step": 1.0, "score": 0.5, evil: 0.5}],
        "step": 1,
    }
    flag = {"component": "retriever", "stage": evil, "parent": evil, "application": evil, "measure": evil}
    flags = [{**flag, "before": 0.5, "after": 0.4}]
    assert evil not in training_part({"retriever": {"odd": stage(told, parents=[evil])}})
    assert evil not in forgetting_part(flags, 0.01)
    assert evil not in table([evil], [[evil]], texts=1, caption=evil)


def test_the_mark_lists_what_a_stage_forgets() -> None:
    flag = {"component": "retriever", "stage": "robust", "parent": "broad", "measure": "R@60", "before": 0.5}
    flags = [{**flag, "application": "a", "after": 0.4}, {**flag, "application": "b", "after": 0.45}]
    told = "forgets: a R@60 -0.100 against broad; b R@60 -0.050 against broad"
    assert marks_of(flags) == {("retriever", "robust"): told}


def test_without_flags_the_page_says_so() -> None:
    assert "None was flagged." in forgetting_part([], 0.01)
