"""Mining on frames made by hand: which queries are hard, which candidates are surely negative, and what is kept."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from mixstage.plan.stages import MinePlan
from mixstage.training.samples.miners import Mined
from mixstage.training.samples.negatives import KEPT, LEDGER, Findings, choose_negatives, mined_samples
from mixstage.training.samples.supervision import SAMPLE, Supervision, shuffled

NAN = float("nan")


def ranking(**lists: list[tuple[str, float]]) -> pl.DataFrame:
    """Mined: q1=[("d1", 0.9), ...] in order of rank."""
    rows = [(q, d, s, rank) for q, hits in lists.items() for rank, (d, s) in enumerate(hits, 1)]
    schema = {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32, "rank": pl.UInt32}
    return pl.DataFrame(rows, schema=schema, orient="row")


def judged(*rows: tuple[str, str, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"query_id": pl.String, "doc_id": pl.String, "grade": pl.Int16}, orient="row")


def scored(*rows: tuple[str, str, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32}, orient="row")


def kept(findings: Findings) -> list[tuple[str, str, list[str], int]]:
    return [tuple(row) for row in findings.kept.iter_rows()]  # type: ignore[misc]


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
    found = Mined(
        supervision=part(judgements), ranking=by("current", candidates), positives=by("current", positives), texts={}
    )
    return choose_negatives(found, plan)


def suspects(findings: Findings) -> list[str]:
    return findings.ledger.filter(pl.col("use") == "suspect")["doc_id"].to_list()


def test_candidates_below_the_margin_are_negatives_hardest_first_and_those_above_are_suspected() -> None:
    # the positive scores 0.8, so a negative scores below 0.95 x 0.8 = 0.76
    candidates = ranking(q1=[("n1", 0.90), ("n2", 0.77), ("p", 0.80), ("n3", 0.75), ("n4", 0.50), ("n5", 0.40)])
    findings = mine(candidates, judged(("q1", "p", 1)), scored(("q1", "p", 0.8)), settings(margin=0.95))
    assert kept(findings) == [("q1", "p", ["n3", "n4"], 3)]
    assert (findings.queries, findings.easy, findings.short, suspects(findings)) == (1, 0, 0, ["n1", "n2"])
    assert findings.suspected_rate == 1.0  # without the filter n1 and n2 would be the negatives


def test_the_margin_lies_below_a_negative_score_as_well() -> None:
    # logits: the positive scores -2, so a negative scores below -2 - 0.5 x 2 = -3; 0.5 x -2 = -1 would keep them all
    candidates = ranking(q1=[("n1", -1.5), ("p", -2.0), ("n2", -2.9), ("n3", -3.1), ("n4", -4.0)])
    findings = mine(candidates, judged(("q1", "p", 1)), scored(("q1", "p", -2.0)), settings(margin=0.5))
    assert kept(findings) == [("q1", "p", ["n3", "n4"], 2)]
    assert suspects(findings) == ["n1", "n2"]


def test_a_candidate_exactly_at_the_margin_is_suspected() -> None:
    candidates = ranking(q1=[("p", 1.0), ("n1", 0.5), ("n2", 0.25), ("n3", 0.125)])
    findings = mine(candidates, judged(("q1", "p", 1)), scored(("q1", "p", 1.0)), settings(margin=0.5))
    assert kept(findings) == [("q1", "p", ["n2", "n3"], 1)]


def test_the_lowest_positive_sets_the_margin_and_every_positive_gets_the_same_negatives() -> None:
    candidates = ranking(q1=[("p1", 0.9), ("n1", 0.6), ("p2", 0.5), ("n2", 0.4), ("n3", 0.3)])
    judgements = judged(("q1", "p1", 1), ("q1", "p2", 2))
    findings = mine(candidates, judgements, scored(("q1", "p1", 0.9), ("q1", "p2", 0.5)), settings(margin=1.0))
    assert kept(findings) == [("q1", "p1", ["n2", "n3"], 1), ("q1", "p2", ["n2", "n3"], 1)]


def test_a_margin_above_one_lets_negatives_score_above_the_positive() -> None:
    candidates = ranking(q1=[("n1", 1.3), ("n2", 1.1), ("p", 1.0), ("n3", 0.2)])
    findings = mine(candidates, judged(("q1", "p", 1)), scored(("q1", "p", 1.0)), settings(margin=1.2))
    assert kept(findings) == [("q1", "p", ["n2", "n3"], 3)]


def test_without_scores_of_positives_ranks_alone_decide() -> None:
    # BM25 offers no score of a pair by itself
    candidates = ranking(q1=[("n1", 9.0), ("p", 8.0), ("n2", 7.0), ("n3", 6.0)])
    findings = mine(candidates, judged(("q1", "p", 1)), scored(("q1", "p", NAN)), settings(margin=0.1))
    assert kept(findings) == [("q1", "p", ["n1", "n2"], 2)]
    assert suspects(findings) == []


def test_a_positive_without_score_does_not_hide_the_score_of_another() -> None:
    candidates = ranking(q1=[("n1", 0.9), ("p1", 0.8), ("n2", 0.5), ("n3", 0.4)])
    positives = scored(("q1", "p1", 0.8), ("q1", "p2", NAN))
    findings = mine(candidates, judged(("q1", "p1", 1), ("q1", "p2", 1)), positives, settings(margin=1.0))
    assert kept(findings) == [("q1", "p1", ["n2", "n3"], 2), ("q1", "p2", ["n2", "n3"], 2)]


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
    findings = mine(candidates, judgements, positives, settings(hard_rank=hard_rank))
    assert findings.kept["query_id"].unique().sort().to_list() == queries
    assert (findings.queries, findings.easy) == (3, 3 - len(queries))
    if "q3" in queries:
        assert findings.kept.filter(pl.col("query_id") == "q3")["rank"].to_list() == [11]


def test_a_query_with_too_few_negatives_is_left_out_and_counted_never_padded() -> None:
    candidates = ranking(q1=[("p", 0.9), ("n1", 0.2)], q2=[("p", 0.9), ("n1", 0.2), ("n2", 0.1)], q3=[("p", 0.9)])
    judgements = judged(*((q, "p", 1) for q in ("q1", "q2", "q3")))
    findings = mine(candidates, judgements, scored(*((q, "p", 0.9) for q in ("q1", "q2", "q3"))), settings())
    assert kept(findings) == [("q2", "p", ["n1", "n2"], 1)]
    assert (findings.queries, findings.easy, findings.short) == (3, 0, 2)


def test_judgements_below_the_least_grade_are_neither_positives_nor_negatives() -> None:
    candidates = ranking(q1=[("weak", 0.9), ("p", 0.8), ("n1", 0.3), ("n2", 0.2)], q2=[("weak", 0.9), ("n1", 0.1)])
    judgements = judged(("q1", "weak", 1), ("q1", "p", 2), ("q2", "weak", 1))
    positives = scored(("q1", "weak", 0.9), ("q1", "p", 0.8), ("q2", "weak", 0.9))
    findings = mine(candidates, judgements, positives, settings(min_grade=2))
    assert kept(findings) == [("q1", "p", ["n1", "n2"], 2)]
    assert (findings.queries, findings.easy, findings.short) == (1, 0, 0)  # q2 has no positive: it is not looked at


def test_a_document_judged_for_one_query_is_a_negative_of_another() -> None:
    candidates = ranking(q1=[("p1", 0.9), ("p2", 0.2)], q2=[("p2", 0.9), ("p1", 0.3)])
    judgements = judged(("q1", "p1", 1), ("q2", "p2", 1))
    findings = mine(candidates, judgements, scored(("q1", "p1", 0.9), ("q2", "p2", 0.9)), settings(negatives=1))
    assert kept(findings) == [("q1", "p1", ["p2"], 1), ("q2", "p2", ["p1"], 1)]


def test_nothing_found_keeps_the_columns() -> None:
    findings = mine(ranking(), judged(), scored(), settings())
    assert dict(findings.kept.schema) == KEPT
    assert dict(findings.ledger.schema) == LEDGER
    assert (findings.queries, findings.easy, findings.short, findings.suspected_rate) == (0, 0, 0, 0.0)


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


def two_miners(judgements: pl.DataFrame, current: pl.DataFrame, bm25: pl.DataFrame, positives: pl.DataFrame) -> Mined:
    """BM25 has no score of a pair by itself."""
    return Mined(
        supervision=part(judgements),
        ranking=pl.concat([by("current", current), by("bm25", bm25)]),
        positives=pl.concat(
            [by("current", positives), by("bm25", positives.with_columns(score=pl.lit(NAN, pl.Float32)))]
        ),
        texts={},
    )


def test_of_several_miners_the_best_rank_counts_and_one_that_suspects_is_enough() -> None:
    # limit of current: 0.95 x 0.8 = 0.76. n1: suspected by current although BM25 ranks it first. n4: only BM25 has it.
    findings = choose_negatives(
        two_miners(
            judged(("q1", "p", 1)),
            ranking(q1=[("n1", 0.9), ("p", 0.8), ("n2", 0.7), ("n3", 0.6)]),
            ranking(q1=[("n1", 9.0), ("n4", 8.0), ("n3", 7.0), ("p", 6.0)]),
            scored(("q1", "p", 0.8)),
        ),
        settings(miners=("current", "bm25"), negatives=3),
    )
    # ranks: n4 2 (bm25), n2 3 (current), n3 3 (bm25); at equal ranks the first miner's goes first
    assert kept(findings) == [("q1", "p", ["n4", "n2", "n3"], 2)]
    ledger = {row["doc_id"]: row for row in findings.ledger.iter_rows(named=True)}
    assert {name: (row["miner"], row["rank"], row["use"]) for name, row in ledger.items()} == {
        "n1": ("current", 1, "suspect"),
        "n2": ("current", 3, "negative"),
        "n3": ("bm25", 3, "negative"),
        "n4": ("bm25", 2, "negative"),
    }
    assert ledger["n2"]["margin"] == pytest.approx(0.1, abs=1e-6) and ledger["n4"]["margin"] is None
    assert findings.suspected_rate == pytest.approx(1 / 3)  # n1, n4, n2 would be taken unfiltered


def test_a_reranker_turns_away_what_it_scores_near_the_lowest_positive() -> None:
    # logits -1 and -3 of the positives: a negative lies below -3 - 0.05 x 3 = -3.15
    judgements = judged(("q1", "p", 1), ("q1", "p2", 1))
    candidates = Mined(
        supervision=part(judgements),
        ranking=by("bm25", ranking(q1=[("n1", 9.0), ("n2", 8.0), ("p", 7.0), ("n3", 6.0), ("n4", 5.0)])),
        positives=by("bm25", scored(("q1", "p", NAN), ("q1", "p2", NAN))),
        texts={},
    )
    scores = {"p": -1.0, "p2": -3.0, "n1": -3.1, "n2": -3.2, "n3": 0.0, "n4": -9.0}
    teacher = scored(*(("q1", name, score) for name, score in scores.items()))
    findings = choose_negatives(candidates, settings(miners=("bm25",)), teacher)
    assert kept(findings) == [("q1", "p", ["n2", "n4"], 3), ("q1", "p2", ["n2", "n4"], 3)]
    told = {row["doc_id"]: row for row in findings.ledger.iter_rows(named=True)}
    assert {name for name, row in told.items() if row["use"] == "suspect"} == {"n1", "n3"}
    assert told["n2"]["teacher_score"] == pytest.approx(-3.2)
    assert findings.suspected_rate == 0.5  # n1 of n1, n2


def test_shuffling_keeps_the_rows_and_follows_the_seed() -> None:
    frame = pl.DataFrame({"a": list(range(50))})
    one = shuffled(frame, np.random.default_rng(1))
    assert one.equals(shuffled(frame, np.random.default_rng(1)))
    assert not one.equals(shuffled(frame, np.random.default_rng(2)))
    assert one.sort("a").equals(frame) and not one.equals(frame)


Hits = list[tuple[str, float]]


def ranked(miner: str = "current", **lists: Hits) -> pl.DataFrame:
    return by(miner, ranking(**lists))


def rated(*rows: tuple[str, str, float], miner: str = "current") -> pl.DataFrame:
    return by(miner, scored(*rows))


def found_by(candidates: pl.DataFrame, judgements: pl.DataFrame, positives: pl.DataFrame, **texts: str) -> Mined:
    """What miners found. texts: of documents that matter by their words, judged or not."""
    names = set(judgements["doc_id"])
    supervision = part(judgements, {doc_id: text for doc_id, text in texts.items() if doc_id in names})
    return Mined(supervision=supervision, ranking=candidates, positives=positives, texts=texts)


# --- several miners -----------------------------------------------------------------------------------------

TWO = {"miners": ("bm25", "dense")}


def both(bm25: Hits, dense: Hits) -> pl.DataFrame:
    return pl.concat([ranked("bm25", q1=bm25), ranked("dense", q1=dense)])


def two_scored(dense: float) -> pl.DataFrame:
    """BM25 has no score of a pair."""
    return pl.concat([rated(("q1", "p", NAN), miner="bm25"), rated(("q1", "p", dense), miner="dense")])


def test_of_several_miners_the_best_rank_orders_the_negatives_and_the_first_miner_goes_first_in_a_tie() -> None:
    # best ranks: a 1 (bm25), b 1 (dense), c 2 (dense), d 2 (bm25); of equal ranks bm25's come first
    candidates = both([("a", 9), ("d", 8), ("c", 7), ("p", 1)], [("b", 0.4), ("c", 0.3), ("a", 0.2)])
    findings = choose_negatives(
        found_by(candidates, judged(("q1", "p", 1)), two_scored(0.9)), settings(**TWO, negatives=4)
    )
    assert kept(findings) == [("q1", "p", ["a", "b", "d", "c"], 4)]
    assert findings.ledger.select("doc_id", "miner", "rank").rows() == [
        ("a", "bm25", 1),
        ("b", "dense", 1),
        ("c", "dense", 2),
        ("d", "bm25", 2),
    ]


def test_one_miners_suspicion_suffices_even_if_another_ranks_the_document_better() -> None:
    # dense scores a at 0.9 >= 0.95 x 0.8 = 0.76; bm25, which ranks it best, cannot tell
    candidates = both([("a", 9), ("b", 8), ("c", 7)], [("p", 0.8), ("a", 0.9), ("b", 0.5)])
    findings = choose_negatives(found_by(candidates, judged(("q1", "p", 1)), two_scored(0.8)), settings(**TWO))
    assert kept(findings) == [("q1", "p", ["b", "c"], 11)]  # bm25 did not find p: one beyond the depth of 10
    (row,) = findings.ledger.filter(use="suspect").rows()
    assert row == ("q1", "a", "bm25", 1, 9.0, None, None, None, "suspect")


def test_the_first_miner_alone_says_how_hard_a_query_is() -> None:
    candidates = both([("p", 9), ("a", 8), ("b", 7)], [("a", 0.5), ("b", 0.4), ("p", 0.9)])
    judgements = judged(("q1", "p", 1))
    easy = choose_negatives(found_by(candidates, judgements, two_scored(0.9)), settings(**TWO, hard_rank=2))
    assert (kept(easy), easy.easy) == ([], 1)
    turned = choose_negatives(
        found_by(candidates, judgements, two_scored(0.9)), settings(miners=("dense", "bm25"), hard_rank=2)
    )
    assert (kept(turned), turned.easy) == ([("q1", "p", ["a", "b"], 3)], 0)


def test_the_same_miner_twice_changes_nothing() -> None:
    once = ranked("bm25", q1=[("a", 9.0), ("p", 8.0), ("b", 7.0)])
    positives = rated(("q1", "p", NAN), miner="bm25")
    judgements = judged(("q1", "p", 1))
    twice = found_by(pl.concat([once, once]), judgements, pl.concat([positives, positives]))
    findings = choose_negatives(twice, settings(miners=("bm25", "bm25")))
    assert kept(findings) == [("q1", "p", ["a", "b"], 2)]
    assert len(findings.ledger) == 2


# --- the window ---------------------------------------------------------------------------------------------


def test_candidates_above_the_window_are_left_out_unseen() -> None:
    # n1 and n2 at ranks 1 and 2 would be suspects and count in the rate; p at rank 4 still says how hard the query is
    candidates = ranked(q1=[("n1", 0.9), ("n2", 0.85), ("n3", 0.7), ("p", 0.8), ("n4", 0.5)])
    findings = choose_negatives(
        found_by(candidates, judged(("q1", "p", 1)), rated(("q1", "p", 0.8))), settings(first_rank=3)
    )
    assert kept(findings) == [("q1", "p", ["n3", "n4"], 4)]
    assert (suspects(findings), findings.suspected_rate) == ([], 0.0)


def test_a_document_that_any_miner_ranks_above_the_window_is_left_out() -> None:
    # a is at rank 1 of bm25 and at rank 3 of dense: its rank is 1, above the window that starts at 2
    candidates = both([("a", 9), ("b", 8)], [("x", 0.5), ("y", 0.4), ("a", 0.3), ("c", 0.2)])
    findings = choose_negatives(
        found_by(candidates, judged(("q1", "p", 1)), two_scored(0.9)), settings(**TWO, first_rank=2, negatives=3)
    )
    assert kept(findings) == [("q1", "p", ["b", "y", "c"], 11)]


def test_a_miner_suspects_what_another_ranks_inside_the_window() -> None:
    # bm25 ranks a second, dense first but above the margin: out of the window by dense, so it is no negative at all
    candidates = both([("b", 9), ("a", 8), ("c", 7)], [("a", 0.9), ("c", 0.1)])
    findings = choose_negatives(
        found_by(candidates, judged(("q1", "p", 1)), two_scored(0.8)), settings(**TWO, first_rank=2, negatives=1)
    )
    assert kept(findings) == [("q1", "p", ["c"], 11)]


# --- margins ------------------------------------------------------------------------------------------------


def test_an_absolute_margin_replaces_the_relative_one() -> None:
    # the positive scores 0.75: a negative scores below 0.75 - 0.25 = 0.5, whatever `margin` says
    candidates = ranked(q1=[("p", 0.75), ("n1", 0.625), ("n2", 0.5), ("n3", 0.4375), ("n4", 0.25)])
    judgements, positives = judged(("q1", "p", 1)), rated(("q1", "p", 0.75))
    findings = choose_negatives(found_by(candidates, judgements, positives), settings(absolute_margin=0.25, margin=0.1))
    assert (kept(findings), suspects(findings)) == ([("q1", "p", ["n3", "n4"], 1)], ["n1", "n2"])
    # a negative one lets documents score above the positive
    higher = ranked(q1=[("n1", 1.0), ("n2", 0.875), ("p", 0.75), ("n3", 0.5)])
    findings = choose_negatives(found_by(higher, judgements, positives), settings(absolute_margin=-0.25))
    assert (kept(findings), suspects(findings)) == ([("q1", "p", ["n2", "n3"], 3)], ["n1"])


def test_the_suspected_rate_is_the_share_of_suspects_among_the_first_candidates() -> None:
    # two negatives a query: q1's first two are n1 (suspect) and n2; q2's are both suspects; n5 comes after them
    candidates = ranked(
        q1=[("n1", 0.9), ("p", 0.8), ("n2", 0.5), ("n3", 0.4)],
        q2=[("n1", 0.9), ("n2", 0.85), ("p", 0.8), ("n5", 0.79), ("n3", 0.5), ("n4", 0.4)],
    )
    judgements = judged(("q1", "p", 1), ("q2", "p", 1))
    findings = choose_negatives(found_by(candidates, judgements, rated(("q1", "p", 0.8), ("q2", "p", 0.8))), settings())
    assert findings.suspected_rate == 3 / 4
    assert suspects(findings) == ["n1", "n1", "n2", "n5"]
    assert kept(findings) == [("q1", "p", ["n2", "n3"], 2), ("q2", "p", ["n3", "n4"], 3)]


# --- a reranker that has to agree ---------------------------------------------------------------------------


def test_a_reranker_turns_candidates_away_by_the_same_margin_on_its_negative_logits() -> None:
    # its lowest positive is -2.0: suspected from -2 - 0.5 x 2 = -3 on; 0.5 x -2 = -1 would keep n1 and n2
    candidates = ranked(q1=[("n1", 0.3), ("n2", 0.2), ("n3", 0.1), ("n4", 0.05), ("p", 0.9)])
    rows = [("p", -2.0), ("n1", -1.5), ("n2", -3.0), ("n3", -3.25), ("n4", -9.0)]
    teacher = scored(*(("q1", d, s) for d, s in rows))
    plan = settings(margin=0.5, filter_by="reranker:x")
    findings = choose_negatives(found_by(candidates, judged(("q1", "p", 1)), rated(("q1", "p", 0.9))), plan, teacher)
    assert kept(findings) == [("q1", "p", ["n3", "n4"], 5)]
    assert (suspects(findings), findings.suspected_rate) == (["n1", "n2"], 1.0)
    assert findings.ledger["teacher_score"].to_list() == [-3.25, -9.0, -1.5, -3.0]


def test_with_an_absolute_margin_the_reranker_keeps_the_relative_one() -> None:
    candidates = ranked(q1=[("p", 0.9), ("n1", 0.3), ("n2", 0.2), ("n3", 0.1)])
    teacher = scored(("q1", "p", 4.0), ("q1", "n1", 3.5), ("q1", "n2", 1.5), ("q1", "n3", 1.0))
    plan = settings(margin=0.5, absolute_margin=0.5, filter_by="reranker:x")  # 4 - 0.5 x 4 = 2, not 4 - 0.5
    findings = choose_negatives(found_by(candidates, judged(("q1", "p", 1)), rated(("q1", "p", 0.9))), plan, teacher)
    assert (kept(findings), suspects(findings)) == ([("q1", "p", ["n2", "n3"], 1)], ["n1"])


def test_miner_and_reranker_each_turn_away() -> None:
    candidates = ranked(q1=[("n1", 0.9), ("p", 0.8), ("n2", 0.5), ("n3", 0.4), ("n4", 0.3)])
    teacher = scored(*(("q1", d, s) for d, s in [("n1", -5), ("p", 5), ("n2", 6), ("n3", -5), ("n4", -5)]))
    findings = choose_negatives(
        found_by(candidates, judged(("q1", "p", 1)), rated(("q1", "p", 0.8))), settings(), teacher
    )
    assert (kept(findings), suspects(findings)) == ([("q1", "p", ["n3", "n4"], 2)], ["n1", "n2"])


# --- the ledger ---------------------------------------------------------------------------------------------


def test_the_ledger_holds_every_negative_used_and_every_suspect_with_its_figures() -> None:
    # q1: lowest positive 0.75, margin 0.5: suspected from 0.375. q2 falls short of two negatives: only its suspect is
    # listed. n9 passes but comes third: it is not used.
    candidates = ranked(
        q1=[("n1", 0.875), ("p1", 0.8125), ("p2", 0.75), ("n2", 0.25), ("n3", 0.125), ("n9", 0.0625)],
        q2=[("n2", 0.625), ("p1", 0.5), ("n4", 0.0625)],
    )
    judgements = judged(("q1", "p1", 1), ("q1", "p2", 1), ("q2", "p1", 1))
    positives = rated(("q1", "p1", 0.8125), ("q1", "p2", 0.75), ("q2", "p1", 0.5))
    findings = choose_negatives(found_by(candidates, judgements, positives), settings(margin=0.5))
    assert dict(findings.ledger.schema) == LEDGER
    assert findings.ledger.rows() == [
        # query, document, miner, rank, score, positive, margin, teacher, use
        ("q1", "n2", "current", 4, 0.25, 0.75, 0.5, None, "negative"),
        ("q1", "n3", "current", 5, 0.125, 0.75, 0.625, None, "negative"),
        ("q1", "n1", "current", 1, 0.875, 0.75, -0.125, None, "suspect"),
        ("q2", "n2", "current", 1, 0.625, 0.5, -0.125, None, "suspect"),
    ]
    assert (kept(findings)[0], findings.short) == (("q1", "p1", ["n2", "n3"], 2), 1)


def test_easy_queries_leave_nothing_in_the_ledger() -> None:
    candidates = ranked(q1=[("p", 0.9), ("n1", 0.88), ("n2", 0.1)])
    findings = choose_negatives(
        found_by(candidates, judged(("q1", "p", 1)), rated(("q1", "p", 0.9))), settings(hard_rank=2)
    )
    assert (len(findings.ledger), findings.suspected_rate) == (0, 0.0)


# --- the same text under another id -------------------------------------------------------------------------


def test_a_text_that_is_judged_under_one_id_is_no_negative_under_another() -> None:
    candidates = ranked("bm25", q1=[("n1", 9.0), ("p", 9.0), ("n2", 7.0), ("n3", 6.0)])
    positives = rated(("q1", "p", NAN), miner="bm25")
    texts = {"n1": "Deposit.", "p": "Deposit.", "n2": "Rent.", "n3": "Roof."}
    findings = choose_negatives(
        found_by(candidates, judged(("q1", "p", 1)), positives, **texts), settings(miners=("bm25",))
    )
    assert kept(findings) == [("q1", "p", ["n2", "n3"], 2)]
    assert suspects(findings) == []
    # also where the judged document itself was not found: its text is known from the judgements
    lost = found_by(candidates.filter(pl.col("doc_id") != "p"), judged(("q1", "p", 1)), positives, **texts)
    lost = replace(lost, texts={doc_id: text for doc_id, text in texts.items() if doc_id != "p"})
    assert kept(choose_negatives(lost, settings(miners=("bm25",)))) == [("q1", "p", ["n2", "n3"], 11)]


def test_of_equal_texts_one_is_a_negative() -> None:
    candidates = ranked(q1=[("p", 0.9), ("n1", 0.5), ("n2", 0.5), ("n3", 0.4)])
    texts = {"p": "Deposit.", "n1": "Rent.", "n2": "Rent.", "n3": "Roof."}
    findings = choose_negatives(
        found_by(candidates, judged(("q1", "p", 1)), rated(("q1", "p", 0.9)), **texts), settings()
    )
    assert kept(findings) == [("q1", "p", ["n1", "n3"], 1)]


def test_a_text_judged_for_one_query_is_a_negative_of_another_under_any_id() -> None:
    candidates = ranked(q1=[("p1", 0.9), ("n", 0.1)], q2=[("n", 0.5), ("p2", 0.9)])
    judgements = judged(("q1", "p1", 1), ("q2", "p2", 1))
    positives = rated(("q1", "p1", 0.9), ("q2", "p2", 0.9))
    texts = {"p1": "Deposit.", "n": "Deposit.", "p2": "Rent."}
    findings = choose_negatives(found_by(candidates, judgements, positives, **texts), settings(negatives=1))
    assert kept(findings) == [("q2", "p2", ["n"], 2)]


# --- samples ------------------------------------------------------------------------------------------------

QUERIES = {"q1": "may he keep it?", "q2": "how long?"}
TEXTS = {name: f"text of {name}" for name in ("p1", "p2", "n1", "n2")}


def mined(*rows: tuple[str, str, list[str], int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=KEPT, orient="row")


def learned(**documents: str) -> Supervision:
    queries = pl.DataFrame({"query_id": list(QUERIES), "text": list(QUERIES.values())})
    documents = documents or {"p1": "learned p1", "p2": "learned p2"}
    return replace(part(judged()), queries=queries, documents=documents)


def test_samples_carry_texts_one_row_a_positive() -> None:
    rows = mined(("q1", "p1", ["n1", "n2"], 1), ("q2", "p2", ["n2", "n1"], 4))
    frame = mined_samples(rows, learned(), TEXTS)
    assert dict(frame.schema) == SAMPLE
    assert frame.rows() == [
        ("may he keep it?", "learned p1", ["text of n1", "text of n2"], [], "judged:a+mined"),
        ("how long?", "learned p2", ["text of n2", "text of n1"], [], "judged:a+mined"),
    ]


def test_a_teachers_scores_travel_with_the_positive_first_and_the_negatives_in_their_order() -> None:
    rows = mined(("q1", "p1", ["n2", "n1"], 1), ("q2", "p2", ["n1", "n2"], 4))
    teacher = scored(
        ("q1", "n1", -1.5),
        ("q1", "n2", -2.5),
        ("q1", "p1", 3.5),
        ("q2", "n1", -4.0),
        ("q2", "n2", -5.0),
        ("q2", "p2", 6.0),
    )
    frame = mined_samples(rows, learned(), TEXTS, shuffled(teacher, np.random.default_rng(1)))
    assert frame["scores"].to_list() == [[3.5, -2.5, -1.5], [6.0, -4.0, -5.0]]


@pytest.mark.parametrize("teacher", [None, scored()])
def test_nothing_mined_gives_no_samples_but_the_columns(teacher: pl.DataFrame | None) -> None:
    frame = mined_samples(mined(), learned(), {}, teacher)
    assert (dict(frame.schema), len(frame)) == (SAMPLE, 0)
