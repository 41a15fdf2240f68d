"""Step selection by hand, and measurements of models against trec_eval."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from mixstage.corpus.application import read_application, write_application
from mixstage.corpus.collection import Collection
from mixstage.corpus.hashing import text_hash
from mixstage.corpus.prepare import Prepared
from mixstage.corpus.tables import Application
from mixstage.errors import InputError
from mixstage.models.hashing import HashingEncoder, HashingReranker
from mixstage.models.lexical import Lexical
from mixstage.plan.data import SplitSizes
from mixstage.plan.load import parse_plan
from mixstage.plan.stages import ValidationPlan
from mixstage.progress import Progress
from mixstage.store.store import Store
from mixstage.training.validation import Measured, Probe, _mean, choose_step, is_over, make_probe, validate

# --- which step is kept -------------------------------------------------------------------------------------


def measured(*scores: float) -> list[Measured]:
    """At steps 10, 20, 30, ..."""
    return [Measured(step=10 * number, score=score) for number, score in enumerate(scores, 1)]


@pytest.mark.parametrize(
    ("scores", "patience", "chosen"),
    [
        ([0.5], None, (10, 10)),
        ([0.1, 0.3, 0.2], None, (20, 30)),
        ([0.1, 0.3, 0.3], None, (20, 30)),  # the earliest best wins
        ([0.3, 0.3, 0.3], None, (10, 30)),
        ([0.5, 0.4, 0.9], None, (30, 30)),
        ([0.5, 0.4, 0.9], 1, (10, 20)),  # stopped at 20: the 0.9 was never reached
        ([0.5, 0.4, 0.4, 0.9], 2, (10, 30)),
        ([0.5, 0.4, 0.9, 0.8, 0.7], 2, (30, 50)),  # a better one starts the waiting anew
        ([0.5, 0.5, 0.6], 1, (10, 20)),  # an equal one is not better
        ([0.1, 0.2, 0.3], 1, (30, 30)),
        ([-2.0, -1.0], 3, (20, 20)),
        ([0.0, 0.0], 3, (10, 20)),
    ],
)
def test_the_best_step_before_patience_ends_is_chosen(
    scores: list[float], patience: int | None, chosen: tuple[int, int]
) -> None:
    assert choose_step(measured(*scores), patience) == chosen


@pytest.mark.parametrize(
    ("scores", "patience", "over"),
    [
        ([], 1, False),
        ([0.5], 1, False),
        ([0.5, 0.4], None, False),
        ([0.5, 0.4], 1, True),
        ([0.5, 0.4], 2, False),
        ([0.5, 0.4, 0.6, 0.5], 2, False),
        ([0.5, 0.4, 0.6, 0.5, 0.6], 2, True),
        ([0.5, 0.4, 0.4, 0.9], 2, True),  # step 40 came too late: the reading stops at 30
    ],
)
def test_a_run_is_over_when_patience_is(scores: list[float], patience: int | None, over: bool) -> None:
    assert is_over(measured(*scores), patience) is over


SCORES = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, max_size=8)
PATIENCE = st.none() | st.integers(1, 4)


@given(SCORES, PATIENCE, st.randoms())
def test_the_order_of_arrival_does_not_matter(scores: list[float], patience: int | None, random: Any) -> None:
    arrived = measured(*scores)
    random.shuffle(arrived)
    assert choose_step(arrived, patience) == choose_step(measured(*scores), patience)
    assert is_over(arrived, patience) == is_over(measured(*scores), patience)


@given(SCORES, PATIENCE, SCORES)
def test_once_over_no_later_step_changes_the_choice_and_before_that_a_better_one_does(
    scores: list[float], patience: int | None, later: list[float]
) -> None:
    now = choose_step(measured(*scores), patience)
    if is_over(measured(*scores), patience):
        assert choose_step(measured(*scores, *later), patience) == now
    else:
        better = 10 * (len(scores) + 1)
        assert choose_step(measured(*scores, 1.0), patience) == (better, better)


@given(SCORES, PATIENCE)
def test_without_patience_the_choice_is_the_first_maximum(scores: list[float], patience: int | None) -> None:
    best, last = choose_step(measured(*scores), None)
    assert (best, last) == (10 * (scores.index(max(scores)) + 1), 10 * len(scores))


# --- the mean of a measure ----------------------------------------------------------------------------------


def ids(count: int) -> list[str]:
    """In byte order, which is neither that of numbers nor that of letters alone."""
    return sorted((f"d{n}" if n % 3 else f"é{n}" for n in range(count)), key=str.encode)


@given(st.integers(0, 10_000), st.booleans())
def test_the_mean_is_that_of_trec_eval_with_ties_and_unlisted_documents(seed: int, partial: bool) -> None:
    generator = np.random.default_rng(seed)
    queries, documents = [f"q{n}" for n in range(4)], ids(70)
    scores = generator.integers(0, 9, size=(4, 70)).astype(np.float32)  # ties
    if partial:
        scores[generator.random(scores.shape) < 0.3] = np.nan
    judged = [
        (query, document, int(generator.integers(0, 4)))
        for query in queries
        for document in generator.choice(documents, size=generator.integers(1, 30), replace=False)
    ]
    tables = {
        "queries": pl.DataFrame({"query_id": queries}),
        "documents": pl.DataFrame({"doc_id": documents}),
        "judgements": pl.DataFrame(judged, schema=["query_id", "doc_id", "grade"], orient="row"),
    }
    qrels: dict[str, dict[str, int]] = {query: {} for query in queries}
    for query, document, grade in judged:
        qrels[query][str(document)] = grade
    run = {
        query: {d: float(s) for d, s in zip(documents, row, strict=True) if not np.isnan(s)}
        for query, row in zip(queries, scores, strict=True)
    }
    report = pytrec_eval.RelevanceEvaluator(qrels, {"recall.60", "ndcg_cut.10"}).evaluate(run)
    for measure, name in (("R@60", "recall_60"), ("nDCG@10", "ndcg_cut_10")):
        assert _mean(scores, tables, measure) == pytest.approx(np.mean([v[name] for v in report.values()]), abs=1e-12)


def test_a_query_for_which_nothing_is_listed_counts_as_0() -> None:
    tables = {
        "queries": pl.DataFrame({"query_id": ["q1", "q2"]}),
        "documents": pl.DataFrame({"doc_id": ["a", "b"]}),
        "judgements": pl.DataFrame({"query_id": ["q1", "q2"], "doc_id": ["a", "b"], "grade": [1, 1]}),
    }
    scores = np.array([[0.5, 0.4], [np.nan, np.nan]], dtype=np.float32)
    assert _mean(scores, tables, "R@60") == 0.5


# --- probes -------------------------------------------------------------------------------------------------

WORDS = ["deposit", "rent", "roof", "keys", "tenant", "landlord", "notice", "repair", "damage", "month", "year", "fee"]
Setting = Callable[[], Prepared]


def texts_of(count: int, seed: int, size: int = 4) -> list[str]:
    return [" ".join(row) for row in np.random.default_rng(seed).choice(WORDS, size=(count, size))]


def judged_of(query: int) -> list[tuple[int, int]]:
    """(document, grade 0..3) of the query with that number."""
    return [((7 * query + 5 * k) % 90, 3 - k % 4) for k in range(8)]


@pytest.fixture
def setting(store: Store, beir: Any, make_corpus: Any) -> Setting:
    """90 documents, 12 dev queries with eight judged documents each; a second application has two."""

    def make() -> Prepared:
        counts = {"one": 12, "two": 2}
        corpus = make_corpus(
            [{"_id": f"d{n}", "title": "Title" * (n % 7 == 0), "text": text} for n, text in enumerate(texts_of(90, 1))],
            shards=3,
        )
        applications = {}
        for number, (name, count) in enumerate(counts.items()):
            queries = [f"{name}-q{n}" for n in range(count)]
            texts = texts_of(count, 10 + number, 2)
            dev = [(q, f"d{number}", grade) for n, q in enumerate(queries) for number, grade in judged_of(n)]
            folder = beir(
                name,
                queries=[
                    *({"_id": q, "text": f"{t} {n}"} for n, (q, t) in enumerate(zip(queries, texts, strict=True))),
                    {"_id": "t", "text": "of the test split"},
                ],
                dev=dev,
                test=[("t", "d1", 1)],
            )
            reading = read_application(Collection.open(str(folder)), corpus)
            applications[name] = write_application(store.draft(Application, {"name": name}), reading, SplitSizes())
        plan = parse_plan(
            {
                "name": "t",
                "corpora": {"c": {"source": "x"}},
                "applications": {name: {"corpus": "c", "source": "y"} for name in counts},
            }
        )
        return Prepared(plan=plan, store=store, progress=Progress(), corpora={"c": corpus}, applications=applications)

    return make


def table(probe: Probe, name: str) -> pl.DataFrame:
    return pl.DataFrame(probe.read_table(f"{name}.parquet"))


def test_a_probe_keeps_all_judged_documents_and_fills_up_with_others_by_hash(store: Store, setting: Setting) -> None:
    prepared = setting()
    judged = {f"d{number}" for query in range(12) for number, _ in judged_of(query)}
    limit = len(judged) + 5
    probe = make_probe(prepared, "retriever", ValidationPlan(every=1, documents=limit))
    assert probe.meta["applications"] == ["one", "two"]
    assert set(table(probe, "one/judgements")["doc_id"]) == judged
    others = sorted({f"d{n}" for n in range(90)} - judged, key=text_hash)[:5]
    assert limit < 90
    kept = table(probe, "one/documents")
    assert kept["doc_id"].to_list() == sorted([*judged, *others], key=str.encode)
    texts = {f"d{n}": "Title. " * (n % 7 == 0) + text for n, text in enumerate(texts_of(90, 1))}
    assert dict(kept.iter_rows()) == {doc_id: texts[doc_id] for doc_id in kept["doc_id"]}
    assert "one/candidates.parquet" not in probe.files


def test_all_judged_documents_stay_even_above_the_limit(store: Store, setting: Setting) -> None:
    prepared = setting()
    probe = make_probe(prepared, "retriever", ValidationPlan(every=1, documents=1))
    assert set(table(probe, "one/documents")["doc_id"]) == set(table(probe, "one/judgements")["doc_id"])


def test_queries_are_a_hash_sample_with_their_judgements_alone(store: Store, setting: Setting) -> None:
    prepared = setting()
    probe = make_probe(prepared, "retriever", ValidationPlan(every=1, queries=5))
    smallest = sorted((f"one-q{n}" for n in range(12)), key=text_hash)[:5]
    assert table(probe, "one/queries")["query_id"].to_list() == smallest
    assert set(table(probe, "one/judgements")["query_id"]) == set(smallest)
    assert len(table(probe, "two/queries")) == 2


def test_a_probe_is_found_the_second_time_whatever_decides_only_when_to_stop(store: Store, setting: Setting) -> None:
    prepared = setting()
    first = make_probe(prepared, "retriever", ValidationPlan(every=1))
    again = make_probe(prepared, "retriever", ValidationPlan(every=9, patience=2, keep="both"))
    assert again == first
    others = [
        make_probe(prepared, "reranker", ValidationPlan(every=1)),
        make_probe(prepared, "retriever", ValidationPlan(every=1, queries=3)),
        make_probe(prepared, "retriever", ValidationPlan(every=1, documents=30)),
        make_probe(prepared, "reranker", ValidationPlan(every=1, depth=3)),
    ]
    assert len({probe.digest for probe in [first, *others]}) == 5


def test_without_a_dev_split_there_is_no_probe(store: Store, setting: Setting) -> None:
    prepared = setting()
    bare = replace(prepared, applications={})
    with pytest.raises(InputError, match=r"no application has a dev split: add qrels/dev\.tsv or drop `validation`"):
        make_probe(bare, "retriever", ValidationPlan(every=1))
    assert list(store.all(Probe)) == []


# --- measurements -------------------------------------------------------------------------------------------


def trec_mean(probe: Probe, name: str, run: dict[str, dict[str, float]], measure: str, key: str) -> float:
    qrels: dict[str, dict[str, int]] = {}
    for query_id, doc_id, grade in table(probe, f"{name}/judgements").iter_rows():
        qrels.setdefault(query_id, {})[doc_id] = grade
    report = pytrec_eval.RelevanceEvaluator(qrels, {measure}).evaluate(run)
    assert len(report) == len(qrels)
    return float(np.mean([values[key] for values in report.values()]))


def test_a_retriever_is_measured_by_recall_at_60_of_all_its_documents(
    store: Store, setting: Setting, make_checkpoint: Any
) -> None:
    prepared = setting()
    probe = make_probe(prepared, "retriever", ValidationPlan(every=1))
    means = validate(make_checkpoint("retriever", base="hashing://16").local(), probe, "retriever")
    encoder = HashingEncoder(16)
    expected = {}
    for name in ("one", "two"):
        queries, documents = table(probe, f"{name}/queries"), table(probe, f"{name}/documents")
        assert len(documents) == 90
        similar = encoder.encode(list(queries["text"]), "query") @ encoder.encode(list(documents["text"]), "document").T
        run = {
            query_id: dict(zip(documents["doc_id"], map(float, row), strict=True))
            for query_id, row in zip(queries["query_id"], similar, strict=True)
        }
        expected[name] = trec_mean(probe, name, run, "recall.60", "recall_60")
    assert means == pytest.approx({**expected, "score": (expected["one"] + expected["two"]) / 2}, abs=1e-12)
    assert 0 < expected["one"] < 1, "something is left to find"


def test_a_reranker_is_measured_by_ndcg_at_10_of_bm25s_candidates(
    store: Store, setting: Setting, make_checkpoint: Any
) -> None:
    prepared = setting()
    probe = make_probe(prepared, "reranker", ValidationPlan(every=1, depth=12))
    means = validate(make_checkpoint("reranker").local(), probe, "reranker")
    expected = {}
    for name in ("one", "two"):
        queries, documents = table(probe, f"{name}/queries"), table(probe, f"{name}/documents")
        _, rows = Lexical.build(documents["text"].to_list()).search(queries["text"].to_list(), 12)
        run: dict[str, dict[str, float]] = {}
        for (query_id, text), line in zip(queries.iter_rows(), rows, strict=True):
            listed = [documents.row(row) for row in line if row >= 0]
            scores = HashingReranker().score([text] * len(listed), [document for _, document in listed])
            run[query_id] = {doc_id: float(score) for (doc_id, _), score in zip(listed, scores, strict=True)}
        expected[name] = trec_mean(probe, name, run, "ndcg_cut.10", "ndcg_cut_10")
    assert means == pytest.approx({**expected, "score": (expected["one"] + expected["two"]) / 2}, abs=1e-12)
    assert 0 < expected["one"] < 1
