"""A small report made by hand: two retrievers, two depths, two applications, names that try to be HTML."""

import polars as pl
import pytest

from mixstage.composition import Composition
from mixstage.insight.explain import Why
from mixstage.insight.holes import Compared, Holes
from mixstage.insight.leaks import EqualDocuments, Leaks
from mixstage.insight.losses import LossSplit
from mixstage.insight.reasons import Reasons
from mixstage.insight.stage_curves import StageCurves, StagePoint
from mixstage.insight.wins import Example, Shown
from mixstage.pairs.cost import GridCost, PairCost
from mixstage.plan.load import parse_plan
from mixstage.report.contents import Contents, Machine
from mixstage.report.training import Run, Stage
from mixstage.selection.bias import Gain
from mixstage.selection.choose import Decision
from mixstage.selection.forgetting import Flag
from mixstage.selection.front import Priced
from mixstage.selection.select import Against
from mixstage.selection.sharing import Prices, Sharing
from mixstage.selection.verdict import Bounds, Ruling
from mixstage.stats.paired import Difference, Paired

EVIL = "</script><script>document.title = 'evil'</script><!-- <b>"
WINNER, INCUMBENT = "retriever:broad@10 > reranker:base@10", "retriever:base@10 > none@10"
MIXED = "retriever:base@20 > 0.5*reranker:base@10"
# retriever, depth, reranker, mix -> mean of application a on dev; b's is .1 higher, test's .05 lower
MEANS = {
    ("base", 10, "none", 1.0): 0.30,
    ("base", 10, "oracle", 1.0): 0.90,
    ("base", 10, "base", 1.0): 0.40,
    ("broad", 10, "none", 1.0): 0.35,
    ("broad", 10, "oracle", 1.0): 0.95,
    ("broad", 10, "base", 1.0): 0.50,
    ("base", 20, "none", 1.0): 0.30,
    ("base", 20, "base", 1.0): 0.46,
    ("base", 20, "base", 0.5): 0.45,
    ("broad", 20, "none", 1.0): 0.35,
    ("broad", 20, "base", 1.0): 0.48,
    ("broad", 20, "base", 0.5): 0.49,
}


NO_LOSS = {"a": 0.0, "b": 0.002}


def named(name: str) -> Composition:
    return Composition.parse(name)


def priced(name: str, mean: float, pairs: int) -> Priced:
    return Priced(
        composition=named(name),
        mean=mean,
        p95_ms=None,
        pairs=pairs,
        on_front=True,
        share=0.9,
        on_pairs_front=True,
        pairs_share=0.9,
    )


def name_of(retriever: str, depth: int, reranker: str, mix: float) -> str:
    weight = "" if mix == 1 else f"{mix:g}*"
    second = reranker if reranker in ("none", "oracle") else f"{weight}reranker:{reranker}"
    return f"retriever:{retriever}@{depth} > {second}@10"


@pytest.fixture
def means() -> pl.DataFrame:
    rows = [
        {
            "split": split,
            "application": application,
            "composition": name_of(retriever, depth, reranker, mix),
            "retriever": retriever,
            "depth": depth,
            "reranker": reranker,
            "mix": mix,
            "pairs": 0 if reranker in ("none", "oracle") else depth,
            "queries": 8,
            "nDCG@10": value + more - less,
            "R@10": value + more - less,
            "R@20": value + more - less + 0.02,
            "primary": value + more - less,
        }
        for split, less in (("dev", 0.0), ("test", 0.05))
        for application, more in (("all", 0.05), ("a", 0.0), ("b", 0.1))
        for (retriever, depth, reranker, mix), value in MEANS.items()
    ]
    return pl.DataFrame(rows)


def estimate(mean: float, half: float = 0.02) -> Paired:
    return Paired(mean=mean, low=mean - half, high=mean + half, queries=8)


def difference(mean: float, half: float = 0.02) -> Difference:
    return Difference(mean=mean, low=mean - half, high=mean + half, queries=8, wins=5, losses=3)


def against(composition: str, mean: float) -> Against:
    parts = {"a": difference(mean - 0.01), "b": difference(mean + 0.01)}
    return Against(composition=named(composition), overall=difference(mean), applications=parts)


def example(delta: float, query: str = "who pays?") -> Example:
    documents = [Shown(doc_id="d1", title="", snippet=query, grade=1)]
    documents += [Shown(doc_id="d2", title=query, snippet="text", grade=None)]
    cause = "reordered up" if delta > 0 else "reordered down"
    return Example(query_id="q", query=query, delta=delta, cause=cause, winner=documents, incumbent=documents[::-1])


def explained(examples: list[Example]) -> Reasons:
    split = LossSplit(achieved=estimate(0.5), ceiling=estimate(0.9), retrieval=estimate(0.1), ranking=estimate(0.4))
    curve = [
        StagePoint(stage="base", mean=0.3, step=None),
        StagePoint(stage="broad", mean=0.35, step=estimate(0.05)),
        StagePoint(stage="robust", mean=0.34, step=estimate(-0.01)),
    ]
    return Reasons(
        metric="nDCG@10",
        recall="R@20",
        queries=8,
        gap=estimate(0.2),
        shares={"retriever": estimate(0.05), "reranker": estimate(0.15)},
        interaction=estimate(0.01),
        shared=[],
        confounds={},
        losses={"winner": split, "incumbent": split},
        depths={},
        stages=StageCurves(retrievers=curve, rerankers=curve[:1], end_to_end=curve, tau=0.5),
        holes=Holes(
            judged=Compared(winner=0.5, incumbent=0.7, difference=estimate(-0.2)),
            counted={},
            correlation=None,
            only_relevant_judged=True,
        ),
        ties={},
        few_queries=True,
        detectable=0.25,
        queries_needed=None,
        examples=examples,
        unjudged=0,
        findings={},
    )


def trained() -> Stage:
    steps = [{"step": 1.0, "loss": 4.0}, {"step": 2.0, "loss": 2.0}]
    measured = [{"step": 1.0, "score": 0.25}, {"step": 2.0, "score": 0.5}]
    one = Run(samples={"sources": {EVIL: 3}}, ledger=None, curve=steps, measured=measured, step=2)
    return Stage(
        checkpoint="c" * 24, fingerprint="f" * 24, parents=["base"], soup=None, adapter=None, rounds=[one, one]
    )


@pytest.fixture
def report() -> Contents:
    plan = parse_plan(
        {
            "name": "t",
            "corpora": {"c": {"source": "x"}},
            "applications": {name: {"corpus": "c", "source": "x"} for name in "ab"},
            "grid": {"depths": [10, 20], "ranking_depth": 20, "bm25": False},
        }
    )
    incumbent = against(INCUMBENT, 0.2)
    itself = Against(composition=named(WINNER), overall=None, applications={})
    bounds = Bounds(mean=0.2, low=0.18, high=0.22, queries=8, needed=4)
    return Contents(
        plan=plan.model_copy(update={"name": EVIL}),
        choice=Decision(
            winner=named(WINNER),
            best=named(WINNER),
            near=(named(WINNER), named(MIXED)),
            critical=2.0,
            incumbent=named(INCUMBENT),
            uniform=None,
            base=named(WINNER),
            bm25=None,
            per_application={"a": named(WINNER), "b": named(WINNER)},
            eligible=7,
            over_budget=1,
            regressing=2,
            reason=f"cheapest of 2 {EVIL}",
        ),
        gain=Gain(mean=0.18, low=0.16, high=0.2, draws=100, shares={WINNER: 1.0}),
        table=[],
        verdict=Ruling(
            word="SHIP",
            sentence=f"SHIP {WINNER}: +0.2000 on test.",
            alpha=0.05,
            earlier=0,
            overall=bounds,
            applications={"a": bounds, "b": bounds},
        ),
        confirmation={split: {"incumbent": incumbent, "base + base": itself} for split in ("dev", "test")},
        why=Why(
            winner=named(WINNER),
            incumbent=named(INCUMBENT),
            applications={"a": explained([example(0.5, EVIL), example(-0.1)]), "b": explained([example(0.4)])},
            won_and_lost=pl.DataFrame(),
            leaks=Leaks(counts={"dev and test": 2}, first=[], trained={}, trained_first=[]),
            equal_documents={"c": EqualDocuments(documents=9, copies=0)},
        ),
        sharing=Sharing(
            winner=named(WINNER),
            own={"a": named(WINNER), "b": named(MIXED)},
            retrievers=["broad"],
            rerankers=[EVIL],
            assignment={"a": named(WINNER), "b": named(WINNER)},
            services={"winner": 2, "own": 3, "cover": 2},
            dev=Prices(price={name: difference(0.01) for name in "ab"}, loss=NO_LOSS),
            test=Prices(price={name: difference(0.0) for name in "ab"}, loss=NO_LOSS),
        ),
        operating_points=[],
        race=None,
        front={name: [priced(WINNER, 0.5, 10), priced(INCUMBENT, 0.3, 0)] for name in ("overall", "a", "b")},
        timed=None,
        digests={"grid": "g" * 24, "choice": "h" * 24},
        queries={split: {"a": 8, "b": 8} for split in ("dev", "test")},
        pairs=GridCost(all=PairCost(naive=8, union=4, found=0, scored=4, tokens=0, seconds=0.1), rerankers={}),
        served=[],
        forgetting=[
            Flag(
                component="retriever",
                stage="broad",
                parent="base",
                application="a",
                measure="R@60",
                before=0.5,
                after=0.4,
            )
        ],
        training={"retriever": {"broad": trained()}},
        machine=Machine(processor="x86_64", python="3.11.7"),
        libraries={"mixstage": "0.1.0"},
    )
