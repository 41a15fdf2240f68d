"""Mining on frames made by hand: which queries are hard, which candidates are surely negative, and what is kept."""

from typing import Any

import polars as pl
import pytest

from mixstage.plan import MinePlan
from mixstage.training.mining import MINED, Findings, labelled_pairs, mine, shuffled, triplets

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


def test_candidates_below_the_margin_are_negatives_hardest_first_and_those_above_are_suspected() -> None:
    # the positive scores 0.8, so a negative scores below 0.95 x 0.8 = 0.76
    candidates = ranking(q1=[("n1", 0.90), ("n2", 0.77), ("p", 0.80), ("n3", 0.75), ("n4", 0.50), ("n5", 0.40)])
    found = mine(candidates, judged(("q1", "p", 1)), scored(("q1", "p", 0.8)), settings(margin=0.95))
    assert kept(found) == [("q1", "p", ["n3", "n4"], 3)]
    assert (found.queries, found.easy, found.short, found.suspected) == (1, 0, 0, 2)


def test_the_margin_lies_below_a_negative_score_as_well() -> None:
    # logits: the positive scores -2, so a negative scores below -2 - 0.5 x 2 = -3; 0.5 x -2 = -1 would keep them all
    candidates = ranking(q1=[("n1", -1.5), ("p", -2.0), ("n2", -2.9), ("n3", -3.1), ("n4", -4.0)])
    found = mine(candidates, judged(("q1", "p", 1)), scored(("q1", "p", -2.0)), settings(margin=0.5))
    assert kept(found) == [("q1", "p", ["n3", "n4"], 2)]
    assert found.suspected == 2


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
    assert found.suspected == 0


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
    assert (found.queries, found.easy, found.short, found.suspected) == (0, 0, 0, 0)


def test_the_order_of_the_rows_that_come_in_does_not_matter() -> None:
    candidates = ranking(
        q1=[("n1", 0.9), ("p", 0.8), ("n2", 0.3), ("n3", 0.2), ("n4", 0.1)],
        q2=[("n2", 0.9), ("p", 0.8), ("n4", 0.3), ("n1", 0.2), ("n3", 0.1)],
    )
    judgements = judged(("q1", "p", 1), ("q2", "p", 1))
    positives = scored(("q1", "p", 0.8), ("q2", "p", 0.8))
    straight = mine(candidates, judgements, positives, settings())
    for seed in range(3):
        mixed = [shuffled(frame, seed) for frame in (candidates, judgements, positives)]
        assert kept(mine(*mixed, settings())) == kept(straight)
    assert kept(straight) == [("q1", "p", ["n2", "n3"], 2), ("q2", "p", ["n4", "n1"], 2)]


QUERIES = {"q1": "may he keep it?", "q2": "how long?"}
TEXTS = {name: f"text of {name}" for name in ("p1", "p2", "n1", "n2")}


def mined(*rows: tuple[str, str, list[str], int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=MINED, orient="row")


def test_triplets_carry_texts_one_row_a_positive() -> None:
    frame = triplets(mined(("q1", "p1", ["n1", "n2"], 1), ("q2", "p2", ["n2", "n1"], 4)), QUERIES, TEXTS, "mined:a")
    assert frame.columns == ["anchor", "positive", "negative_1", "negative_2", "source"]
    assert frame.rows() == [
        ("may he keep it?", "text of p1", "text of n1", "text of n2", "mined:a"),
        ("how long?", "text of p2", "text of n2", "text of n1", "mined:a"),
    ]


def test_labelled_pairs_hold_every_positive_with_1_and_every_negative_of_a_query_once_with_0() -> None:
    rows = mined(("q1", "p1", ["n1", "n2"], 1), ("q1", "p2", ["n1", "n2"], 1), ("q2", "p1", ["n1", "p2"], 2))
    frame = labelled_pairs(triplets(rows, QUERIES, TEXTS, "mined:a"))
    assert frame.columns == ["query", "document", "label", "source"]
    assert sorted(frame.select("query", "document", "label").rows()) == sorted(
        [
            (QUERIES["q1"], TEXTS["p1"], 1.0),
            (QUERIES["q1"], TEXTS["p2"], 1.0),
            (QUERIES["q1"], TEXTS["n1"], 0.0),
            (QUERIES["q1"], TEXTS["n2"], 0.0),
            (QUERIES["q2"], TEXTS["p1"], 1.0),
            (QUERIES["q2"], TEXTS["n1"], 0.0),
            (QUERIES["q2"], TEXTS["p2"], 0.0),  # a positive of q1 is a negative of q2
        ]
    )
    assert set(frame["source"]) == {"mined:a"}


def test_a_text_that_is_positive_under_one_id_is_no_negative_under_another() -> None:
    texts = {**TEXTS, "n1": TEXTS["p1"]}  # the same article twice in the corpus
    frame = labelled_pairs(triplets(mined(("q1", "p1", ["n1", "n2"], 1)), QUERIES, texts, "mined:a"))
    assert sorted(frame.select("document", "label").rows()) == [(TEXTS["n2"], 0.0), (TEXTS["p1"], 1.0)]


def test_shuffling_keeps_the_rows_and_follows_the_seed() -> None:
    frame = pl.DataFrame({"a": list(range(50))})
    one = shuffled(frame, 1)
    assert one.equals(shuffled(frame, 1))
    assert not one.equals(shuffled(frame, 2))
    assert one.sort("a").equals(frame) and not one.equals(frame)
