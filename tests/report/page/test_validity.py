"""The tables, sentences and warnings on what the numbers rest on, from values made by hand."""

import math
from dataclasses import replace

import polars as pl
import pytest

from mixstage.composition import Composition
from mixstage.insight.anova import Anova, Effect, tell
from mixstage.insight.confounds import Confound
from mixstage.insight.explain import Why
from mixstage.insight.finding import Finding, Table
from mixstage.insight.holes import Compared, Holes
from mixstage.insight.leaks import Leaks, SharedDocuments
from mixstage.insight.other_candidates import Addition, UnionBound, tell_bound
from mixstage.insight.reasons import Reasons
from mixstage.report.page.validity import validity_part
from mixstage.report.warnings import validity_warnings
from mixstage.stats.paired import Paired
from tests.report.conftest import explained

INTERVAL = Paired(mean=0.02, low=-0.01, high=0.05, queries=9)
COMPOSITION = Composition(retriever="base", depth=20, reranker="none")


def alone(mean: float) -> Paired:
    """Of a single query, which tells nothing."""
    return Paired(mean=mean, low=-math.inf, high=math.inf, queries=1)


def effect(share: float, f: float | None = None, p: float | None = None) -> Effect:
    return Effect(ss=1.0, df=3, error_ss=1.0, error_df=30, epsilon=0.5, f=f, p=p, omega2=0.034, share=share)


def why(reasons: Reasons, test: int = 0) -> Why:
    return Why(
        winner=COMPOSITION,
        incumbent=COMPOSITION,
        applications={"a": reasons},
        won_and_lost=pl.DataFrame(),
        leaks=Leaks(counts={}, first=[], trained={"dev": 0, "test": test}, trained_first=[]),
        equal_documents={},
    )


ANOVA = Anova(
    depth=20,
    mix=0.5,
    retrievers=["a", "b"],
    rerankers=["a", "b", "c", "d"],
    queries=0.75,
    effects={"reranker": effect(0.125, 4.25, 0.0123), "retriever": effect(0.0), "both": effect(0.0)},
)
BOUND = UnionBound(
    candidates=20.0,
    ceiling=0.88,
    achieved=0.61,
    additions=[Addition(added="bm25", candidates=31.5, ceiling=0.9, achieved=0.6, could=INTERVAL, does=alone(-0.01))],
)


@pytest.fixture
def reasons() -> Reasons:
    counted = Compared(winner=0.6, incumbent=0.5, difference=alone(0.1))
    return replace(
        explained([]),
        findings={"anova": tell(ANOVA, alpha=0.05), "union_bound": tell_bound(BOUND)},
        holes=Holes(
            judged=counted,
            counted={"nothing": counted, "left out": counted, "highest grade": counted},
            correlation=-0.8,
            only_relevant_judged=True,
        ),
        shared=[SharedDocuments(split="test", other="train", queries=40, shared=0, gain_shared=None, gain_others=0.1)],
        confounds={"longest": Confound(mean=0.02, share=0.03), "often relevant": Confound(mean=0.1, share=None)},
    )


def test_every_table_with_its_figures(reasons: Reasons) -> None:
    page = validity_part("a", reasons, 0.95)
    for cells in (
        ["reranker", "12.50%", "0.034", "4.25", "1.5, 15.0", "0.0123"],
        ["reranker x retriever", "0.00%", "0.034", "", "1.5, 15.0", ""],
        ["bm25", "31.5", "0.9000", "+0.0200 [-0.0100, +0.0500]", "0.6000", "-0.0100"],
        ["left out", "0.6000", "0.5000", "+0.1000"],
        ["test with train", "0 of 40", "", "+0.1000"],
        ["longest", "0.0200", "3%"],
    ):
        assert "</td><td>".join(cells) in page, cells
    assert "2 retrievers x 4 rerankers at depth 20, weight 0.5; 75.0% of all squares" in page
    assert "by construction: only relevant documents are judged" in page
    assert validity_warnings(why(reasons)) == []


def test_two_tests_of_an_interaction_are_told_apart_by_name(reasons: Reasons) -> None:
    """The contrast of four corners may exclude 0 where the analysis of all cells shows nothing: no contradiction."""
    both = effect(0.01, 0.72, 0.5512)
    found = tell(replace(ANOVA, effects=ANOVA.effects | {"both": both}), alpha=0.05)
    corners = Paired(mean=0.03, low=0.01, high=0.05, queries=9)
    page = validity_part("a", replace(reasons, interaction=corners, findings={"anova": found}), 0.95)
    corner, analysis = [line for line in page.split("<p>") if "interaction" in line]
    assert "at the four corners that they span, is +0.0300; its paired t interval at 95%, [+0.0100, +0.0500]" in corner
    assert "excludes 0: of these two, what one brings depends on the other" in corner
    assert "over 2 retrievers x 4 rerankers at depth 20, weight 0.5, a within-query ANOVA with Greenhouse" in analysis
    assert "shows no interaction: F(1.5, 15.0) = 0.72, p = 0.5512" in analysis
    apart = tell(replace(ANOVA, effects=ANOVA.effects | {"both": replace(both, p=0.01)}), alpha=0.05)
    assert "shows an interaction" in apart.note


def test_a_contrast_that_contains_0_says_so_and_that_of_one_query_nothing(reasons: Reasons) -> None:
    page = validity_part("a", replace(reasons, interaction=INTERVAL), 0.95)
    assert "[-0.0100, +0.0500], contains 0: no interaction shows" in page
    assert "four corners" not in validity_part("a", replace(reasons, interaction=alone(0.2)), 0.95)


def test_each_cloud_has_its_warning(reasons: Reasons) -> None:
    left_out = Compared(winner=0.5, incumbent=0.6, difference=alone(-0.1))
    holes = replace(reasons.holes, only_relevant_judged=False, counted=reasons.holes.counted | {"left out": left_out})
    clouded = replace(
        reasons,
        holes=holes,
        shared=[replace(reasons.shared[0], shared=10)],
        confounds={"longest": Confound(mean=0.02, share=0.25)},
    )
    correlated, depends, shared, confounded = validity_warnings(why(clouded))
    assert "(r = -0.80)" in correlated and "the winner is behind by 0.1000" in depends
    assert "10 of 40 test queries share" in shared and "(longest) reaches 25%" in confounded


def test_what_is_not_to_be_had_is_left_out(reasons: Reasons) -> None:
    page = validity_part("<script>", replace(reasons, findings={}, interaction=None), 0.95)
    assert "squares" not in page and "candidates help" not in page and "interact" not in page
    assert "<script>" not in page


def test_queries_that_were_trained_on(reasons: Reasons) -> None:
    (told,) = validity_warnings(why(reasons, test=2))
    assert told.startswith("2 test queries")


def test_a_finding_is_shown_with_what_it_has(reasons: Reasons) -> None:
    evil = "<u>"
    table = Table(head=["what", evil], rows=[["x", "1"]])
    chart = {"mark": "bar", "data": {"values": [{"x": evil}]}}
    findings = {
        "full": Finding(title=f"full {evil}", value=1, note=f"a note {evil}", table=table, chart=chart),
        "bare": Finding(title="only a title", value=2),
    }
    page = validity_part("a", replace(reasons, findings=findings), 0.95)
    assert "<p>a: a note &lt;u&gt;.</p>" in page and "<caption>a: full &lt;u&gt;</caption>" in page
    assert page.count("<figure class=chart>") == 1 and "<p>a: only a title</p>" in page and evil not in page
