"""Pseudo-labels: expansion terms, agreement and whole runs against rankings worked out by hand."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from mixstage.corpus.hashing import text_hash
from mixstage.corpus.tables import Corpus
from mixstage.embedding.embed import EmbeddingRequest, embed
from mixstage.embedding.vectors import QueryVectors
from mixstage.index.bm25 import build_lexical
from mixstage.index.document_ids import StoredIds
from mixstage.index.search import ExactIndex, LexicalTasks, Retriever
from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.schema import IndexPlan
from mixstage.plan.stages import PseudoPlan, Workers
from mixstage.progress import Progress
from mixstage.store.store import Store
from mixstage.training.samples.miners import Miner
from mixstage.training.samples.pseudo import _agreed, expansion_terms, pseudo_supervision, read_headings
from mixstage.training.samples.supervision import Supervision, supervised_pairs

WORKERS = Workers()


# --- expansion ----------------------------------------------------------------------------------------------

# of 8 documents: deposit x ln(8/4) = 0.693, tenant ln(8/2) = 1.386, keys ln(8/1) = 2.079, the ln(8/8) = 0
FREQUENCY = {"deposit": 4, "tenant": 2, "keys": 1, "locks": 1, "the": 8}


@pytest.mark.parametrize(
    ("passages", "count", "terms"),
    [
        (["Deposit the tenant", "keys"], 2, ["keys", "tenant"]),
        (["deposit Deposit deposit", "DEPOSIT the tenant"], 2, ["deposit", "tenant"]),  # 4 x 0.693 over 1.386
        (["locks keys"], 2, ["keys", "locks"]),  # a tie goes by spelling
        (["locks keys"], 1, ["keys"]),
        (["keys tenant", "tenant"], 1, ["tenant"]),  # 2 x 1.386 over 2.079
        (["the the the the keys"], 2, ["keys", "the"]),  # in every document: worth 0, and last
        (["keys"], 0, []),
        ([], 3, []),
        (["12 ab _keys_ 3rd"], 5, ["keys"]),  # letters, three at least
    ],
)
def test_terms_join_by_frequency_in_the_passages_and_rarity_in_the_corpus(
    passages: list[str], count: int, terms: list[str]
) -> None:
    assert expansion_terms("Rent", passages, FREQUENCY, 8, count) == terms


def test_words_of_the_heading_are_no_expansion() -> None:
    assert expansion_terms("KEYS of the tenant", ["keys tenant locks"], FREQUENCY, 8, 5) == ["locks"]


# --- agreement ----------------------------------------------------------------------------------------------


def ranking(**lists: str) -> pl.DataFrame:
    """dense_q1="abc": the miner's documents for the query, in order of rank."""
    rows = [(*key.split("_"), d, rank) for key, docs in lists.items() for rank, d in enumerate(docs, 1)]
    schema = {"miner": pl.String, "query_id": pl.String, "doc_id": pl.String, "rank": pl.UInt32}
    return pl.DataFrame(rows, schema=schema, orient="row")


@pytest.mark.parametrize(
    ("depth", "pairs"),
    [
        (1, []),
        (2, [("q1", "b")]),
        (3, [("q1", "b"), ("q1", "c"), ("q2", "x")]),
        (9, [("q1", "b"), ("q1", "c"), ("q2", "x")]),
    ],
)
def test_a_pair_is_kept_where_both_rank_it_within_the_depth(depth: int, pairs: list[tuple[str, str]]) -> None:
    # q1: b at ranks 2 and 1, c at 3 and 2. q2: x at 1 and 3. q3 has one retriever's hits only.
    listed = ranking(dense_q1="abc", bm25_q1="bcd", dense_q2="xy", bm25_q2="uvx", dense_q3="z")
    assert _agreed(listed, depth, 2).rows() == pairs


def test_one_retriever_agrees_with_itself() -> None:
    assert _agreed(ranking(dense_q1="ab", dense_q2="c"), 1, 1).rows() == [("q1", "a"), ("q2", "c")]


# --- headings -----------------------------------------------------------------------------------------------


def test_headings_are_the_distinct_titles_and_a_hash_sample_where_there_are_many(make_corpus: Any) -> None:
    titles = [f"title {n}" for n in range(20)]
    rows = [{"_id": f"d{n}", "title": title, "text": "x"} for n, title in enumerate([*titles, *titles, "", "  "])]
    corpus = make_corpus(rows, shards=3)
    assert read_headings(corpus, 1000) == sorted(titles)
    assert read_headings(corpus, 5) == sorted(sorted(titles, key=text_hash)[:5])


# --- whole runs ---------------------------------------------------------------------------------------------

# Cosines of bags of words: "deposit" with a 3/sqrt(10), b 1/sqrt(2). "rent" with d 1, c 1/2.
# "roof" with e 1/sqrt(2) = 0.707, f 4/sqrt(41) = 0.625; BM25 (mean length 23/6 words) prefers f: 0.624 over 0.565 idf.
DOCUMENTS = [
    {"_id": "a", "title": "deposit", "text": "deposit deposit returned"},
    {"_id": "b", "text": "deposit kept"},
    {"_id": "c", "title": "rent", "text": "due monthly sum"},
    {"_id": "d", "text": "rent rent"},
    {"_id": "e", "title": "roof", "text": "tiles"},
    {"_id": "f", "text": "roof roof roof roof walls walls walls walls walls"},
]
Run = Callable[..., Supervision]


@pytest.fixture
def run(ray_cluster: None, store: Store, make_corpus: Any, make_checkpoint: Any) -> Run:
    def make(documents: list[dict[str, str]], order: tuple[str, str] = ("current", "bm25"), **plan: Any) -> Supervision:
        corpus: Corpus = make_corpus(documents, shards=2)
        checkpoint: Checkpoint = make_checkpoint("retriever", base="hashing://4096")
        request = EmbeddingRequest(texts=corpus, role="document", checkpoint=checkpoint, label="t")
        (embedding,) = embed(store, [request], IndexPlan(), label="t", workers=WORKERS, progress=Progress())
        lexical = build_lexical(store, corpus, "english", workers=WORKERS, progress=Progress(), label="t")
        indexes = {
            "current": ExactIndex(embedding, QueryVectors(checkpoint, [], WORKERS), WORKERS),
            "bm25": LexicalTasks(lexical, WORKERS),
        }
        ids = StoredIds(corpus)
        miners = [Miner(name, {corpus.digest: Retriever(ids, indexes[name])}) for name in order]
        (part,) = pseudo_supervision({"law": corpus}, miners, PseudoPlan(**plan), 1000)
        return part

    return make


def pairs(part: Supervision) -> list[tuple[str, str]]:
    texts = dict(part.queries.iter_rows())
    return [(texts[query_id], doc_id) for query_id, doc_id, _ in part.judgements.iter_rows()]


def test_headings_pair_with_the_passages_on_which_encoder_and_bm25_agree(run: Run) -> None:
    part = run(DOCUMENTS, agree=1, expand=0)
    assert pairs(part) == [("deposit", "a"), ("rent", "d")]  # c bears the title, d answers it; roof: no agreement
    assert set(part.queries["text"]) == {"deposit", "rent"}
    assert supervised_pairs([part]).rows() == [
        ("deposit", "deposit. deposit deposit returned", [], [], "pseudo:law"),
        ("rent", "rent rent", [], [], "pseudo:law"),
    ]
    assert pairs(run(DOCUMENTS, agree=2, expand=0)) == [
        ("deposit", "a"),
        ("deposit", "b"),
        ("rent", "c"),
        ("rent", "d"),
        ("roof", "e"),
        ("roof", "f"),
    ]


def test_terms_of_what_the_first_retriever_finds_join_the_second_search_only(run: Run) -> None:
    # the encoder finds e: "roof tiles" leads both to it. BM25 finds f: "roof walls" leads both there.
    dense_first = run(DOCUMENTS, agree=1, expand=1)
    assert pairs(dense_first) == [("deposit", "a"), ("rent", "d"), ("roof", "e")], "the query stays the heading"
    lexical_first = run(DOCUMENTS, ("bm25", "current"), agree=1, expand=1)
    assert pairs(lexical_first) == [("deposit", "a"), ("rent", "d"), ("roof", "f")]


@pytest.mark.parametrize("expand", [0, 5])
def test_a_corpus_without_titles_gives_an_empty_part(run: Run, expand: int) -> None:
    part = run([{"_id": "a", "text": "one"}, {"_id": "b", "text": "two"}], agree=1, expand=expand)
    assert (len(part.queries), len(part.judgements), part.documents) == (0, 0, {})
    assert supervised_pairs([part]).is_empty()


def test_one_document_answers_its_title_and_a_title_that_bm25_cannot_read_has_no_answer(run: Run) -> None:
    assert pairs(run([{"_id": "a", "title": "Deposit", "text": "keys"}])) == [("Deposit", "a")]
    silent = [{"_id": "a", "title": "the", "text": "of keys"}, {"_id": "b", "title": "Rent", "text": "due"}]
    assert pairs(run(silent, expand=0)) == [("Rent", "b")]
