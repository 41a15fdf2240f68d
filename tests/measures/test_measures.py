"""Measures against numbers worked out by hand, and against pytrec_eval with == (never approx)."""

import math
import re

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from mixstage.errors import InputError
from mixstage.measures.measures import ABSENT, Judged, Measure, parse_measure, rank_keys, ranks_of_judged
from mixstage.measures.one_run import evaluate_run

Run = dict[str, dict[str, float]]
Qrels = dict[str, dict[str, int]]

# Our name -> the measure to ask of pytrec_eval. RR@k has none: it follows from the uncut reciprocal rank.
TREC_NAMES = {
    "nDCG@1": "ndcg_cut_1",
    "nDCG@3": "ndcg_cut_3",
    "nDCG@10": "ndcg_cut_10",
    "nDCG@1000": "ndcg_cut_1000",
    "RR": "recip_rank",
    "AP": "map",
    "AP@3": "map_cut_3",
    "P@1": "P_1",
    "P@5": "P_5",
    "P@100": "P_100",
    "R@2": "recall_2",
    "R@100": "recall_100",
    "Success@1": "success_1",
    "Success@5": "success_5",
    "Rprec": "Rprec",
    "Bpref": "bpref",
}


def value(name: str, ranking: dict[str, float], grades: dict[str, int], rel_level: int = 1) -> float:
    report = evaluate_run({"q": ranking}, {"q": grades}, [parse_measure(name)], rel_level)
    return next(iter(report["per_query"]["q"].values()))


def in_order(*documents: str) -> dict[str, float]:
    return {document: -float(place) for place, document in enumerate(documents)}


# --- numbers worked out by hand -----------------------------------------------------------------------------

GRADES = {"a": 3, "b": 2, "c": 1, "n": 0}
RANKING = in_order("b", "x", "a")  # b, then an unjudged document, then a; c and n are not retrieved


@pytest.mark.parametrize(
    ("name", "rel_level", "expected"),
    [
        # DCG@3 = 2/log2(2) + 3/log2(4) = 3.5; ideal = 3/log2(2) + 2/log2(3) + 1/log2(4)
        ("nDCG@3", 1, 3.5 / (3 + 2 / math.log2(3) + 0.5)),
        ("nDCG@1", 1, 2 / 3),  # 2/1 over 3/1
        ("nDCG@10", 1, 3.5 / (3 + 2 / math.log2(3) + 0.5)),  # beyond the list: nothing changes
        ("nDCG@3", 3, 3.5 / (3 + 2 / math.log2(3) + 0.5)),  # the level plays no part
        # gains 2^2-1 = 3 and 2^3-1 = 7: DCG = 3/1 + 7/2 = 6.5; ideal = 7/1 + 3/log2(3) + 1/2
        ("nDCGexp@3", 1, 6.5 / (7 + 3 / math.log2(3) + 0.5)),
        ("RR", 1, 1.0),
        ("RR", 3, 1 / 3),  # only a is relevant now, at rank 3
        ("RR@2", 3, 0.0),
        ("RR@3", 3, 1 / 3),
        ("AP", 1, (1 / 1 + 2 / 3) / 3),  # relevant at ranks 1 and 3; c is missing but counts below
        ("AP@2", 1, 1 / 3),  # divided by all 3 relevant documents, not by the 2 that could be returned
        ("P@3", 1, 2 / 3),
        ("P@5", 1, 2 / 5),  # 5, though three documents were returned
        ("R@1", 1, 1 / 3),
        ("R@3", 2, 2 / 2),
        ("Success@1", 1, 1.0),
        ("Success@2", 3, 0.0),
        ("Rprec", 1, 2 / 3),  # R = 3: b and a
        ("Rprec", 3, 0.0),  # R = 1, and rank 1 holds b of grade 2
        ("Judged@2", 1, 1 / 2),
        ("Judged@10", 1, 2 / 3),  # the list has 3 documents
    ],
)
def test_a_value_is_the_one_worked_out_by_hand(name: str, rel_level: int, expected: float) -> None:
    assert value(name, RANKING, GRADES, rel_level) == expected


def test_bpref_counts_the_nonrelevant_above_each_relevant_document() -> None:
    # R = 3, N = 2. r1 has n1 above: 1 - 1/2. r2 has n1 and n2 above: 1 - 2/2. r3 is not retrieved: 0.
    grades = {"r1": 1, "r2": 1, "r3": 1, "n1": 0, "n2": 0}
    assert value("Bpref", in_order("n1", "r1", "unjudged", "n2", "r2"), grades) == (0.5 + 0.0) / 3


def test_bpref_bounds_the_nonrelevant_above_by_the_number_of_relevant() -> None:
    # R = 1, N = 3 with all three above: 1 - min(3, 1)/min(3, 1) = 0. With a second relevant document on top:
    # R = 2: r2 gets 1, r1 gets 1 - min(3, 2)/min(3, 2) = 0, so 1/2.
    ranking = in_order("r2", "n1", "n2", "n3", "r1")
    assert value("Bpref", ranking, {"r1": 1, "n1": 0, "n2": 0, "n3": 0}) == 0.0
    assert value("Bpref", ranking, {"r1": 1, "r2": 1, "n1": 0, "n2": 0, "n3": 0}) == 0.5


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("9", "10"),  # bytes, not numbers: 0x39 > 0x31
        ("a", "Z"),  # 0x61 > 0x5A
        ("é", "z"),  # 0xC3 > 0x7A
        ("d10", "d1"),  # the longer of two ids with a common start
        ("\U0001f600", "\uffff"),  # 0xF0 > 0xEF, where UTF-16 units would say the opposite
    ],
)
def test_equal_scores_rank_by_document_id_bytes_descending(first: str, second: str) -> None:
    tied = {second: 0.5, first: 0.5}
    assert value("RR", tied, {first: 1}) == 1.0
    assert value("RR", tied, {second: 1}) == 1 / 2


@pytest.mark.parametrize(
    ("greater", "smaller"),
    [
        (1.0 + 1e-9, 1.0),
        (0.1 + 1e-10, 0.1),
        (0.0, -0.0),
        (1e-50, 0.0),
        (1e39, float("inf")),
        (16777217, 16777216),
    ],
)
def test_scores_that_are_one_float32_are_a_tie(greater: float, smaller: float) -> None:
    assert value("RR", {"a": greater, "b": smaller}, {"b": 1}) == 1.0  # b ranks first by its id


def test_scores_one_float32_step_apart_are_not_a_tie() -> None:
    assert value("RR", {"a": 1.0 + 2**-23, "b": 1.0}, {"b": 1}) == 1 / 2
    assert value("RR", {"a": -1e-45, "b": -3e-45}, {"b": 1}) == 1 / 2  # denormals count too


def test_a_judged_query_without_a_ranking_counts_zero() -> None:
    qrels = {"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"a": 1}, "q4": {"a": 0}}
    run: Run = {"q1": {"a": 1.0}, "q2": {}, "unjudged": {"a": 1.0}}
    report = evaluate_run(run, qrels, [parse_measure("nDCG@10"), parse_measure("Judged@10")])
    # q2 has an empty list, q3 none, q4 no relevant document; "unjudged" is left out of both tables.
    assert {query: values["nDCG@10"] for query, values in report["per_query"].items()} == {
        "q1": 1.0,
        "q2": 0.0,
        "q3": 0.0,
        "q4": 0.0,
    }
    assert report["mean"] == {"nDCG@10": 1 / 4, "Judged@10": 1 / 4}


def test_a_query_with_negative_grades_only_is_not_a_judged_query() -> None:
    qrels = {"q1": {"a": 1}, "q2": {"a": -1, "b": -2}, "q3": {}}
    report = evaluate_run({"q1": {"a": 1.0}, "q2": {"a": 1.0}}, qrels, [parse_measure("P@1")])
    assert report == {"per_query": {"q1": {"P@1": 1.0}}, "mean": {"P@1": 1.0}}


def test_a_negative_grade_is_not_a_judgement() -> None:
    grades = {"a": -1, "b": 1, "c": 0}
    ranking = in_order("a", "c", "b")
    assert value("Judged@2", ranking, grades) == 1 / 2
    assert value("nDCG@3", ranking, grades) == 1 / math.log2(4)  # a costs b a rank but takes no gain away
    assert value("Bpref", ranking, grades) == 0.0  # 1 - 1/min(N = 1, R = 1): only c counts above b


def test_no_judged_queries_give_means_of_zero() -> None:
    report = evaluate_run({"q": {"a": 1.0}}, {}, [parse_measure("RR")])
    assert report["per_query"] == {} and report["mean"] == {"RR": 0.0}


def test_a_nan_score_is_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        value("RR", {"a": float("nan")}, {"a": 1})


def test_a_relevance_level_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="rel_level is 0"):
        value("RR", {"a": 1.0}, {"a": 1}, rel_level=0)


def test_an_exponential_gain_beyond_float64_is_refused() -> None:
    assert value("nDCGexp@1", in_order("b", "a"), {"a": 52, "b": 51}) == (2**51 - 1) / (2**52 - 1)
    with pytest.raises(InputError, match="grade 53"):
        value("nDCGexp@1", {"a": 1.0}, {"a": 53})


# --- keys and ranks -----------------------------------------------------------------------------------------


def test_keys_order_by_score_then_ordinal_and_are_never_zero() -> None:
    scores = np.array([-np.inf, -3e38, -1.0, -1e-45, 0.0, 1e-45, 0.5, 0.5, 1.0, np.inf], dtype=np.float32)
    ordinals = np.array([0, 0, 9, 0, 0, 0, 1, 2, 0, 0], dtype=np.uint32)
    keys = rank_keys(scores, ordinals)
    assert keys.dtype == np.uint64 and keys.tolist() == sorted(set(keys.tolist()))
    assert keys[0] == 0x007FFFFF << 32  # the least key there can be


def test_keys_keep_the_shape_and_the_whole_ordinal() -> None:
    keys = rank_keys(np.ones((2, 2)), np.array([[0, 1], [2, 2**32 - 1]]))
    assert (keys & np.uint64(2**32 - 1)).tolist() == [[0, 1], [2, 2**32 - 1]]
    assert (keys >> np.uint64(32)).tolist() == [[0xBF800000] * 2] * 2  # 1.0 is 0x3F800000, sign bit set


def test_ranks_count_the_greater_keys_and_skip_padding() -> None:
    keys = np.array([[5, 9, 7, 0], [3, 0, 0, 0]], dtype=np.uint64)
    judged = np.array([[0, 1, -1], [0, 3, -1]])  # the last but one points at padding
    ranks = ranks_of_judged(keys, judged)
    assert ranks.dtype == np.int32 and ranks.tolist() == [[3, 1, 0], [1, 0, 0]]


def test_lists_without_documents_have_no_ranks() -> None:
    assert ranks_of_judged(np.zeros((2, 0), dtype=np.uint64), np.full((2, 1), -1)).tolist() == [[0], [0]]


def test_measures_of_no_queries_and_of_no_judgements_are_empty_or_zero() -> None:
    none = np.zeros(0, dtype=np.int32)
    empty = Judged(ranks=np.zeros((0, 3), np.int32), grades=np.zeros((0, 3), np.int16), returned=none)
    bare = Judged(
        ranks=np.zeros((2, 0), np.int32),
        grades=np.zeros((2, 0), np.int16),
        returned=np.array([0, 9], np.int32),
    )
    for name in [*TREC_NAMES, "nDCGexp@10", "RR@10", "Judged@10"]:
        assert parse_measure(name).values(empty).tolist() == []
        assert parse_measure(name).values(bare).tolist() == [0.0, 0.0]


def test_unused_slots_and_their_order_change_nothing() -> None:
    ranks = np.array([[4, 1, 0, 2]], dtype=np.int32)
    grades = np.array([[2, 0, 1, 3]], dtype=np.int16)
    wide = Judged(
        ranks=np.array([[0, 2, 0, 0, 1, 4]], dtype=np.int32),
        grades=np.array([[ABSENT, 3, 1, ABSENT, 0, 2]], dtype=np.int16),
        returned=np.array([9], dtype=np.int32),
    )
    plain = Judged(ranks=ranks, grades=grades, returned=np.array([9], dtype=np.int32))
    for name in [*TREC_NAMES, "nDCGexp@10", "RR@10", "Judged@10"]:
        assert parse_measure(name).values(plain) == parse_measure(name).values(wide)


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nDCG@10", "nDCG@10"),
        ("nDCGexp@10", "nDCGexp@10"),
        ("nDCG(dcg='exp-log2')@10", "nDCGexp@10"),
        ('nDCG(dcg="exp-log2")@10', "nDCGexp@10"),
        ("RR", "RR"),
        ("MRR", "RR"),
        ("MRR@10", "RR@10"),
        ("AP", "AP"),
        ("MAP@100", "AP@100"),
        ("Recall@20", "R@20"),
        (" P@5 ", "P@5"),
        ("Success@1", "Success@1"),
        ("Rprec", "Rprec"),
        ("Bpref", "Bpref"),
        ("Judged@10", "Judged@10"),
    ],
)
def test_a_name_parses_to_one_canonical_measure(text: str, name: str) -> None:
    measure = parse_measure(text)
    assert repr(measure) == str(measure) == name
    assert parse_measure(name) == measure and {measure: 1}[parse_measure(name)] == 1


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("ndcg@10", "use one of nDCG@k"),
        ("", "use one of nDCG@k"),
        ("AP(rel=2)@10", "use one of nDCG@k"),
        ("nDCG", "write nDCG@10"),
        ("Recall", "write Recall@10"),
        ("Rprec@10", "write Rprec"),
        ("P@0", "use a whole number from 1"),
        ("RR@", "use a whole number from 1"),
        ("P@1_0", "use a whole number from 1"),
        ("P@-1", "use a whole number from 1"),
        ("R@٣", "use a whole number from 1"),
    ],
)
def test_a_name_that_is_not_understood_says_what_is(text: str, remedy: str) -> None:
    with pytest.raises(InputError, match=re.escape(remedy)):
        parse_measure(text)


# --- the same numbers as pytrec_eval ------------------------------------------------------------------------


def pytrec_values(run: Run, qrels: Qrels, rel_level: int) -> dict[str, dict[str, float]]:
    """pytrec_eval's answer under our names, query by query, with 0 for a query without a ranking.

    It hangs on a query with negative grades only, and its bpref reads past an array where `rel_level` exceeds
    the highest grade + 1: neither is ever asked of it. nDCGexp is its nDCG of the grades 2^g - 1.
    """
    answers = {}
    for query in sorted(query for query, grades in qrels.items() if max(grades.values(), default=-1) >= 0):
        safe = rel_level <= max(qrels[query].values()) + 1
        names = {ours: trec for ours, trec in TREC_NAMES.items() if ours != "Bpref" or safe}
        values = ask(run.get(query), qrels[query], names, rel_level)
        steep = {document: 2 ** max(grade, 0) - 1 if grade >= 0 else grade for document, grade in qrels[query].items()}
        values["nDCGexp@10"] = ask(run.get(query), steep, {"nDCGexp@10": "ndcg_cut_10"}, 1)["nDCGexp@10"]
        values["RR@3"] = values["RR"] if values["RR"] >= 1 / 3 else 0.0
        answers[query] = values if safe else values | {"Bpref": 0.0}
    return answers


def ask(
    ranking: dict[str, float] | None, grades: dict[str, int], names: dict[str, str], rel_level: int
) -> dict[str, float]:
    if not ranking:
        return dict.fromkeys(names, 0.0)
    asked = {re.sub(r"_(\d+)$", r".\1", trec) for trec in names.values()}
    evaluator = pytrec_eval.RelevanceEvaluator({"q": grades}, asked, relevance_level=rel_level)
    answer = evaluator.evaluate({"q": ranking})["q"]
    return {ours: answer[trec] for ours, trec in names.items()}


def assert_equals_pytrec(run: Run, qrels: Qrels, rel_level: int = 1) -> None:
    expected = pytrec_values(run, qrels, rel_level)
    measures = [parse_measure(name) for name in [*TREC_NAMES, "nDCGexp@10", "RR@3"]]
    report = evaluate_run(run, qrels, measures, rel_level)
    assert report["per_query"] == expected
    for name, mean in report["mean"].items():
        assert mean == math.fsum(values[name] for values in expected.values()) / max(len(expected), 1)


HAND_MADE: list[tuple[Run, Qrels]] = [
    ({"q": RANKING}, {"q": GRADES}),
    ({"q": {"9": 1.0, "10": 1.0, "a": 1.0, "Z": 1.0, "é": 1.0, "z": 1.0}}, {"q": {"10": 1, "Z": 2, "z": 3}}),
    ({"q": {"a": 1.0 + 1e-9, "b": 1.0, "c": 1.0 - 1e-9}}, {"q": {"a": 1}}),
    ({"q": {"a": 0.0, "b": -0.0, "c": -1e-50}}, {"q": {"a": 1, "c": 2}}),
    ({"q": {"a": float("inf"), "b": float("-inf"), "c": 0.0}}, {"q": {"b": 1, "c": 1}}),
    ({"q": in_order("n", "u", "r")}, {"q": {"n": 0, "u": -1, "r": 1}}),
    ({"q": in_order("n", "u", "r")}, {"q": {"n": 0, "u": -2, "r": 4, "s": 4}}),
    ({"q": in_order("a", "b")}, {"q": {"x": 1, "y": 2}}),  # nothing judged was retrieved
    ({"q": in_order("a", "b")}, {"q": {"a": 0, "b": 0}}),  # nothing is relevant
    ({"q1": in_order("a")}, {"q1": {"a": 1}, "q2": {"a": 1}}),  # q2 has no ranking
    ({"q1": in_order("a"), "q2": {}}, {"q1": {"a": 1}, "q2": {"a": 1}}),  # an empty one
    ({"q1": in_order("a"), "q3": in_order("a")}, {"q1": {"a": 1}, "q2": {"a": -1}}),  # q2 is dropped
    ({"q": in_order(*map(str, range(150)))}, {"q": {str(d): d % 4 for d in range(0, 300, 3)}}),
]


@pytest.mark.parametrize(("run", "qrels"), HAND_MADE)
@pytest.mark.parametrize("rel_level", [1, 2, 3, 6])
def test_hand_made_cases_equal_pytrec_eval(run: Run, qrels: Qrels, rel_level: int) -> None:
    assert_equals_pytrec(run, qrels, rel_level)


def test_a_list_of_twenty_thousand_equals_pytrec_eval() -> None:
    # Long enough for any difference in log2, and for sums whose order shows in the last bit.
    rng = np.random.default_rng(3)
    grades = {f"d{place}": int(rng.integers(0, 4)) for place in rng.choice(20_000, 300, replace=False).tolist()}
    ranking = in_order(*(f"d{place}" for place in range(20_000)))
    evaluator = pytrec_eval.RelevanceEvaluator({"q": grades}, {"ndcg_cut.20000", "map", "bpref"})
    answer = evaluator.evaluate({"q": ranking})["q"]
    assert value("nDCG@20000", ranking, grades) == answer["ndcg_cut_20000"]
    assert value("AP", ranking, grades) == answer["map"]
    assert value("Bpref", ranking, grades) == answer["bpref"]


def test_six_hundred_queries_with_ties_equal_pytrec_eval() -> None:
    # More than two blocks of queries, in one call; lists of 0 to 59 with few distinct scores.
    rng = np.random.default_rng(7)
    run: Run = {}
    qrels: Qrels = {}
    for number in range(600):
        documents = rng.permutation(90)[: rng.integers(0, 60)].tolist()
        run[f"q{number}"] = {str(d): float(rng.integers(0, 25)) / 7 for d in documents}
        qrels[f"q{number}"] = {str(d): int(rng.integers(-1, 4)) for d in rng.permutation(90)[:40].tolist()}
    assert_equals_pytrec(run, qrels, 2)


DOCUMENTS = ["9", "10", "a", "Z", "é", "z", "d1", "d10", "d2", "文", "\U0001f600", "\uffff"]
SCORES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1.0 + 1e-9, 0.1, 0.1 + 1e-10, 1e-50, 16777217.0, 16777216.0, -2.5]),
    st.floats(-1e30, 1e30),
    st.integers(0, 3).map(float),
)
RANKINGS = st.dictionaries(st.sampled_from(DOCUMENTS), SCORES)
JUDGEMENTS = st.dictionaries(st.sampled_from([*DOCUMENTS, "never"]), st.integers(-2, 4), min_size=1)
QUERIES = st.sampled_from(["1", "10", "q", "ü"])
RUNS = st.dictionaries(QUERIES, RANKINGS)
QRELS = st.dictionaries(QUERIES, JUDGEMENTS, min_size=1)
ALL = [parse_measure(name) for name in [*TREC_NAMES, "nDCGexp@10", "RR@3", "Judged@3"]]


@settings(max_examples=500, deadline=None)
@given(RUNS, QRELS, st.integers(1, 6))
def test_any_run_equals_pytrec_eval(run: Run, qrels: Qrels, rel_level: int) -> None:
    assert_equals_pytrec(run, qrels, rel_level)


@settings(max_examples=100, deadline=None)
@given(RUNS, QRELS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(run: Run, qrels: Qrels, random: object) -> None:
    def shuffled(table: dict) -> dict:  # type: ignore[type-arg]
        rows = list(table.items())
        random.shuffle(rows)  # type: ignore[attr-defined]
        return {key: shuffled(value) if isinstance(value, dict) else value for key, value in rows}

    assert evaluate_run(shuffled(run), shuffled(qrels), ALL) == evaluate_run(run, qrels, ALL)


@settings(max_examples=100, deadline=None)
@given(RUNS, QRELS)
def test_renaming_documents_in_the_same_order_changes_nothing(run: Run, qrels: Qrels) -> None:
    renamed = {name: f"doc{place:03d}" for place, name in enumerate(sorted([*DOCUMENTS, "never"], key=str.encode))}
    new_run = {query: {renamed[d]: score for d, score in ranking.items()} for query, ranking in run.items()}
    new_qrels = {query: {renamed[d]: grade for d, grade in grades.items()} for query, grades in qrels.items()}
    assert evaluate_run(new_run, new_qrels, ALL) == evaluate_run(run, qrels, ALL)


@settings(max_examples=100, deadline=None)
@given(RUNS, QRELS)
def test_values_are_shares_and_the_best_ranking_scores_one(run: Run, qrels: Qrels) -> None:
    ideal: Run = {query: {d: float(grade) for d, grade in grades.items()} for query, grades in qrels.items()}
    best = evaluate_run(ideal, qrels, [Measure("nDCG", 10), Measure("Bpref"), Measure("Judged", 1)])["per_query"]
    for query, values in evaluate_run(run, qrels, ALL)["per_query"].items():
        assert all(0.0 <= value <= 1.0 for value in values.values())
        relevant = max(qrels[query].values()) > 0
        assert best[query] == {"nDCG@10": float(relevant), "Bpref": float(relevant), "Judged@1": 1.0}
