"""Mining on frames made by hand: which queries are hard, which candidates are surely negative, and what is kept."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from mixstage.stage_plan import MinePlan
from mixstage.training.candidates import Candidates
from mixstage.training.mining import LEDGER, MINED, Findings, mined_samples
from mixstage.training.mining import mine as mine_candidates
from mixstage.training.samples import SAMPLE, Supervision, shuffled

NAN = float("nan")


def ranking(**lists: list[tuple[str, float]]) -> pl.DataFrame:
    """Candidates: q1=[("d1", 0.9), ...] in order of rank."""
    rows = [(q, d, s, rank) for q, hits in lists.items() for rank, (d, s) in enumerate(hits, 1)]
    schema = {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32, "rank": pl.UInt32}
    return pl.DataFrame(rows, schema=schema, orient="row")


def judged(*rows: tuple[str, str, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"query_id": pl.String, "doc_id": pl.String, "grade": pl.Int16}, orient="row")


def scored(*rows: tuple[str, str, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32}, orient="row")


def kept(findings: Findings) -> list[tuple[str, str, list[str], int]]:
    return [tuple(row) for row in findings.mined.iter_rows()]  # type: ignore[misc]


def settings(**fields: Any) -> MinePlan:
    return MinePlan(**{"negatives": 2, "depth": 10, **fields})


def part(judgements: pl.DataFrame, documents: dict[str, str] | None = None) -> Supervision:
    queries = judgements["query_id"].unique(maintain_order=True).to_list()
    return Supervision(
        source="judged:a",
        corpus=None,  # type: ignore[arg-type]  # mining reads no corpus
        queries=pl.DataFrame({"query_id": queries, "text": [f"? {query}" for query in queries]}),
        judgements=judgements,
        documents=documents or {},
    )


def by(miner: str, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(pl.lit(miner).alias("miner"), pl.all())


def mine(candidates: pl.DataFrame, judgements: pl.DataFrame, positives: pl.DataFrame, plan: MinePlan) -> Findings:
    """Mining with one miner, the current weights."""
    found = Candidates(
        supervision=part(judgements), ranking=by("current", candidates), positives=by("current", positives), texts={}
    )
    return mine_candidates(found, plan)


def suspects(findings: Findings) -> int:
    return int((findings.ledger["use"] == "suspect").sum())


def test_candidates_below_the_margin_are_negatives_hardest_first_and_those_above_are_suspected() -> None:
    # the positive scores 0.8, so a negative scores below 0.95 x 0.8 = 0.76
    candidates = ranking(q1=[("n1", 0.90), ("n2", 0.77), ("p", 0.80), ("n3", 0.75), ("n4", 0.50), ("n5", 0.40)])
    found = mine(candidates, judged(("q1", "p", 1)), scored(("q1", "p", 0.8)), settings(margin=0.95))
    assert kept(found) == [("q1", "p", ["n3", "n4"], 3)]
    assert (found.queries, found.easy, found.short, suspects(found)) == (1, 0, 0, 2)
    assert found.suspected_rate == 1.0  # without the filter n1 and n2 would be the negatives


def test_the_margin_lies_below_a_negative_score_as_well() -> None:
    # logits: the positive scores -2, so a negative scores below -2 - 0.5 x 2 = -3; 0.5 x -2 = -1 would keep them all
    candidates = ranking(q1=[("n1", -1.5), ("p", -2.0), ("n2", -2.9), ("n3", -3.1), ("n4", -4.0)])
    found = mine(candidates, judged(("q1", "p", 1)), scored(("q1", "p", -2.0)), settings(margin=0.5))
    assert kept(found) == [("q1", "p", ["n3", "n4"], 2)]
    assert suspects(found) == 2


def test_a_candidate_exactly_at_the_margin_is_suspected() -> None:
    candidates = ranking(q1=[("p", 1.0), ("n1", 0.5), ("n2", 0.25), ("n3", 0.125)])
    found = mine(candidates, judged(("q1", "p", 1)), scored(("q1", "p", 1.0)), settings(margin=0.5))
    assert kept(found) == [("q1", "p", ["n2", "n3"], 1)]


def test_the_lowest_positive_sets_the_margin_and_every_positive_gets_the_same_negatives() -> None:
    candidates = ranking(q1=[("p1", 0.9), ("n1", 0.6), ("p2", 0.5), ("n2", 0.4), ("n3", 0.3)])
    judgements = judged(("q1", "p1", 1), ("q1", "p2", 2))
    found = mine(candidates, judgements, scored(("q1", "p1", 0.9), ("q1", "p2", 0.5)), settings(margin=1.0))
    assert kept(found) == [("q1", "p1", ["n2", "n3"], 1), ("q1", "p2", ["n2", "n3"], 1)]


def test_a_margin_above_one_lets_negatives_score_above_the_positive() -> None:
    candidates = ranking(q1=[("n1", 1.3), ("n2", 1.1), ("p", 1.0), ("n3", 0.2)])
    found = mine(candidates, judged(("q1", "p", 1)), scored(("q1", "p", 1.0)), settings(margin=1.2))
    assert kept(found) == [("q1", "p", ["n2", "n3"], 3)]


def test_without_scores_of_positives_ranks_alone_decide() -> None:
    # BM25 offers no score of a pair by itself
    candidates = ranking(q1=[("n1", 9.0), ("p", 8.0), ("n2", 7.0), ("n3", 6.0)])
    found = mine(candidates, judged(("q1", "p", 1)), scored(("q1", "p", NAN)), settings(margin=0.1))
    assert kept(found) == [("q1", "p", ["n1", "n2"], 2)]
    assert suspects(found) == 0


def test_a_positive_without_score_does_not_hide_the_score_of_another() -> None:
    candidates = ranking(q1=[("n1", 0.9), ("p1", 0.8), ("n2", 0.5), ("n3", 0.4)])
    positives = scored(("q1", "p1", 0.8), ("q1", "p2", NAN))
    found = mine(candidates, judged(("q1", "p1", 1), ("q1", "p2", 1)), positives, settings(margin=1.0))
    assert kept(found) == [("q1", "p1", ["n2", "n3"], 2), ("q1", "p2", ["n2", "n3"], 2)]


@pytest.mark.parametrize(("hard_rank", "queries"), [(1, ["q1", "q2", "q3"]), (2, ["q2", "q3"]), (3, ["q3"]), (12, [])])
def test_a_query_is_hard_if_its_first_judged_document_ranks_low_enough(hard_rank: int, queries: list[str]) -> None:
    # first positives at ranks 1 and 2; that of q3 was not retrieved: it counts as rank 11, one beyond the depth of 10
    candidates = ranking(
        q1=[("p", 0.9), ("x", 0.2), ("y", 0.1)],
        q2=[("x", 0.9), ("p", 0.8), ("y", 0.2), ("z", 0.1)],
        q3=[("x", 0.4), ("y", 0.3), ("z", 0.2)],
    )
    judgements = judged(("q1", "p", 1), ("q2", "p", 1), ("q2", "z", 1), ("q3", "p", 1))
    positives = scored(*((q, d, NAN) for q, d, _ in judgements.iter_rows()))
    found = mine(candidates, judgements, positives, settings(hard_rank=hard_rank))
    assert found.mined["query_id"].unique().sort().to_list() == queries
    assert (found.queries, found.easy) == (3, 3 - len(queries))
    if "q3" in queries:
        assert found.mined.filter(pl.col("query_id") == "q3")["rank"].to_list() == [11]


def test_a_query_with_too_few_negatives_is_left_out_and_counted_never_padded() -> None:
    candidates = ranking(q1=[("p", 0.9), ("n1", 0.2)], q2=[("p", 0.9), ("n1", 0.2), ("n2", 0.1)], q3=[("p", 0.9)])
    judgements = judged(*((q, "p", 1) for q in ("q1", "q2", "q3")))
    found = mine(candidates, judgements, scored(*((q, "p", 0.9) for q in ("q1", "q2", "q3"))), settings())
    assert kept(found) == [("q2", "p", ["n1", "n2"], 1)]
    assert (found.queries, found.easy, found.short) == (3, 0, 2)


def test_judgements_below_the_least_grade_are_neither_positives_nor_negatives() -> None:
    candidates = ranking(q1=[("weak", 0.9), ("p", 0.8), ("n1", 0.3), ("n2", 0.2)], q2=[("weak", 0.9), ("n1", 0.1)])
    judgements = judged(("q1", "weak", 1), ("q1", "p", 2), ("q2", "weak", 1))
    positives = scored(("q1", "weak", 0.9), ("q1", "p", 0.8), ("q2", "weak", 0.9))
    found = mine(candidates, judgements, positives, settings(min_grade=2))
    assert kept(found) == [("q1", "p", ["n1", "n2"], 2)]
    assert (found.queries, found.easy, found.short) == (1, 0, 0)  # q2 has no positive: it is not looked at


def test_a_document_judged_for_one_query_is_a_negative_of_another() -> None:
    candidates = ranking(q1=[("p1", 0.9), ("p2", 0.2)], q2=[("p2", 0.9), ("p1", 0.3)])
    judgements = judged(("q1", "p1", 1), ("q2", "p2", 1))
    found = mine(candidates, judgements, scored(("q1", "p1", 0.9), ("q2", "p2", 0.9)), settings(negatives=1))
    assert kept(found) == [("q1", "p1", ["p2"], 1), ("q2", "p2", ["p1"], 1)]


def test_nothing_found_keeps_the_columns() -> None:
    found = mine(ranking(), judged(), scored(), settings())
    assert dict(found.mined.schema) == MINED
    assert dict(found.ledger.schema) == LEDGER
    assert (found.queries, found.easy, found.short, found.suspected_rate) == (0, 0, 0, 0.0)


def test_the_order_of_the_rows_that_come_in_does_not_matter() -> None:
    candidates = ranking(
        q1=[("n1", 0.9), ("p", 0.8), ("n2", 0.3), ("n3", 0.2), ("n4", 0.1)],
        q2=[("n2", 0.9), ("p", 0.8), ("n4", 0.3), ("n1", 0.2), ("n3", 0.1)],
    )
    judgements = judged(("q1", "p", 1), ("q2", "p", 1))
    positives = scored(("q1", "p", 0.8), ("q2", "p", 0.8))
    straight = mine(candidates, judgements, positives, settings())
    for seed in range(3):
        generator = np.random.default_rng(seed)
        mixed = [shuffled(frame, generator) for frame in (candidates, judgements, positives)]
        assert kept(mine(*mixed, settings())) == kept(straight)
    assert kept(straight) == [("q1", "p", ["n2", "n3"], 2), ("q2", "p", ["n4", "n1"], 2)]


def two_miners(
    judgements: pl.DataFrame, current: pl.DataFrame, bm25: pl.DataFrame, positives: pl.DataFrame
) -> Candidates:
    """BM25 has no score of a pair by itself."""
    return Candidates(
        supervision=part(judgements),
        ranking=pl.concat([by("current", current), by("bm25", bm25)]),
        positives=pl.concat(
            [by("current", positives), by("bm25", positives.with_columns(score=pl.lit(NAN, pl.Float32)))]
        ),
        texts={},
    )


def test_of_several_miners_the_best_rank_counts_and_one_that_suspects_is_enough() -> None:
    # limit of current: 0.95 x 0.8 = 0.76. n1: suspected by current although BM25 ranks it first. n4: only BM25 has it.
    found = mine_candidates(
        two_miners(
            judged(("q1", "p", 1)),
            ranking(q1=[("n1", 0.9), ("p", 0.8), ("n2", 0.7), ("n3", 0.6)]),
            ranking(q1=[("n1", 9.0), ("n4", 8.0), ("n3", 7.0), ("p", 6.0)]),
            scored(("q1", "p", 0.8)),
        ),
        settings(miners=("current", "bm25"), negatives=3),
    )
    # ranks: n4 2 (bm25), n2 3 (current), n3 3 (bm25); at equal ranks the first miner's goes first
    assert kept(found) == [("q1", "p", ["n4", "n2", "n3"], 2)]
    ledger = {row["doc_id"]: row for row in found.ledger.iter_rows(named=True)}
    assert {name: (row["miner"], row["rank"], row["use"]) for name, row in ledger.items()} == {
        "n1": ("current", 1, "suspect"),
        "n2": ("current", 3, "negative"),
        "n3": ("bm25", 3, "negative"),
        "n4": ("bm25", 2, "negative"),
    }
    assert ledger["n2"]["margin"] == pytest.approx(0.1, abs=1e-6) and ledger["n4"]["margin"] is None
    assert found.suspected_rate == pytest.approx(1 / 3)  # n1, n4, n2 would be taken unfiltered


def test_the_first_miner_says_how_hard_a_query_is() -> None:
    candidates = two_miners(
        judged(("q1", "p", 1)),
        ranking(q1=[("p", 0.8), ("n1", 0.3), ("n2", 0.2)]),
        ranking(q1=[("n1", 9.0), ("n2", 8.0), ("p", 7.0)]),
        scored(("q1", "p", 0.8)),
    )
    assert mine_candidates(candidates, settings(miners=("current", "bm25"), hard_rank=2)).easy == 1
    assert kept(mine_candidates(candidates, settings(miners=("bm25", "current"), hard_rank=2)))[0][3] == 3


def test_an_absolute_margin_replaces_the_share() -> None:
    candidates = ranking(q1=[("p", 0.8), ("n1", 0.65), ("n2", 0.5), ("n3", 0.4)])
    plan = settings(margin=0.95, absolute_margin=0.25)  # below 0.55
    assert kept(mine(candidates, judged(("q1", "p", 1)), scored(("q1", "p", 0.8)), plan)) == [
        ("q1", "p", ["n2", "n3"], 1)
    ]


def test_a_rank_window_leaves_the_first_candidates_out_unseen() -> None:
    candidates = ranking(q1=[("n1", 0.9), ("p", 0.8), ("n2", 0.5), ("n3", 0.4), ("n4", 0.3)])
    found = mine(candidates, judged(("q1", "p", 1)), scored(("q1", "p", 0.8)), settings(first_rank=4))
    assert kept(found) == [("q1", "p", ["n3", "n4"], 2)]
    assert suspects(found) == 0, "n1 was not looked at"


def test_a_reranker_turns_away_what_it_scores_near_the_lowest_positive() -> None:
    # logits -1 and -3 of the positives: a negative lies below -3 - 0.05 x 3 = -3.15
    judgements = judged(("q1", "p", 1), ("q1", "p2", 1))
    candidates = Candidates(
        supervision=part(judgements),
        ranking=by("bm25", ranking(q1=[("n1", 9.0), ("n2", 8.0), ("p", 7.0), ("n3", 6.0), ("n4", 5.0)])),
        positives=by("bm25", scored(("q1", "p", NAN), ("q1", "p2", NAN))),
        texts={},
    )
    scores = {"p": -1.0, "p2": -3.0, "n1": -3.1, "n2": -3.2, "n3": 0.0, "n4": -9.0}
    teacher = scored(*(("q1", name, score) for name, score in scores.items()))
    found = mine_candidates(candidates, settings(miners=("bm25",)), teacher)
    assert kept(found) == [("q1", "p", ["n2", "n4"], 3), ("q1", "p2", ["n2", "n4"], 3)]
    told = {row["doc_id"]: row for row in found.ledger.iter_rows(named=True)}
    assert {name for name, row in told.items() if row["use"] == "suspect"} == {"n1", "n3"}
    assert told["n2"]["teacher_score"] == pytest.approx(-3.2)
    assert found.suspected_rate == 0.5  # n1 of n1, n2


def test_samples_carry_texts_and_the_teachers_scores_of_the_positive_and_of_each_negative() -> None:
    judgements = judged(("q1", "p1", 1), ("q2", "p2", 1))
    supervision = part(judgements, {"p1": "one", "p2": "two"})
    rows = pl.DataFrame([("q1", "p1", ["n1", "n2"], 1), ("q2", "p2", ["n2", "n1"], 4)], schema=MINED, orient="row")
    texts = {"n1": "first", "n2": "second"}
    teacher = scored(
        ("q1", "p1", 5), ("q1", "n1", 1), ("q1", "n2", 2), ("q2", "p2", 6), ("q2", "n1", 3), ("q2", "n2", 4)
    )
    frame = mined_samples(rows, supervision, texts, teacher)
    assert dict(frame.schema) == SAMPLE
    assert frame.rows() == [
        ("? q1", "one", ["first", "second"], [5.0, 1.0, 2.0], "judged:a+mined"),
        ("? q2", "two", ["second", "first"], [6.0, 4.0, 3.0], "judged:a+mined"),
    ]
    assert mined_samples(rows, supervision, texts)["scores"].to_list() == [[], []]


def test_shuffling_keeps_the_rows_and_follows_the_seed() -> None:
    frame = pl.DataFrame({"a": list(range(50))})
    one = shuffled(frame, np.random.default_rng(1))
    assert one.equals(shuffled(frame, np.random.default_rng(1)))
    assert not one.equals(shuffled(frame, np.random.default_rng(2)))
    assert one.sort("a").equals(frame) and not one.equals(frame)
