"""The sharded BM25 generation against one bm25s index over the whole corpus: equal to the bit."""

from functools import reduce
from itertools import pairwise
from operator import add
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pytest

from mixstage.cluster import Marked
from mixstage.corpus.documents import document_text
from mixstage.corpus.tables import Corpus
from mixstage.errors import InputError
from mixstage.index import bm25 as lexical
from mixstage.index.bm25 import (
    CountWords,
    IndexGroup,
    LexicalIndex,
    build_lexical,
    group_shards,
    open_lexical,
    read_statistics,
    write_statistics,
)
from mixstage.index.document_ids import LoadedIds
from mixstage.index.generation import Generation
from mixstage.index.search import Retriever
from mixstage.models.lexical import K1, B, Lexical, Statistics
from mixstage.models.words import words
from mixstage.plan.data import Language
from mixstage.plan.stages import Workers
from mixstage.progress import Progress
from mixstage.store.store import Store

QUERIES = ["word1 word7", "word2 word2 word30", "word3 word1 word4 word1 word5 word9", "submarine", "the", ""]


def random_texts(count: int, seed: int) -> list[str]:
    """Of 60 made-up words, rare ones and common ones; some texts are empty, some are equal."""
    rng = np.random.default_rng(seed)
    return [" ".join(f"word{n}" for n in np.minimum(rng.zipf(1.4, rng.integers(0, 12)), 60)) for _ in range(count)]


def expected_scores(texts: list[str], queries: list[str], language: Language = "english") -> np.ndarray:
    """(Q, N) float32 by one bm25s index, which this project's code has no part in."""
    index = bm25s.BM25(method="lucene", k1=K1, b=B)
    index.index(words(texts, language), show_progress=False)
    tokens = words(queries, language)
    return np.array([index.get_scores(q) if q else np.zeros(len(texts), dtype=np.float32) for q in tokens])


def scattered(index: LexicalIndex, queries: list[str]) -> np.ndarray:
    """(Q, N) float32 from a search for all documents; 0 where nothing was found."""
    scores, rows = index.search(queries, index.rows)
    table = np.zeros(scores.shape, dtype=np.float32)
    for line, places, values in zip(table, rows, scores, strict=True):
        assert len(set(places[places >= 0].tolist())) == (places >= 0).sum()
        line[places[places >= 0]] = values[places >= 0]
    return table


def sharded(texts: list[str], count: int) -> LexicalIndex:
    edges = [len(texts) * number // count for number in range(count + 1)]
    parts = [(start, texts[start:stop]) for start, stop in pairwise(edges)]
    whole = reduce(add, (Statistics.of(words(part, "english")) for _, part in parts))
    return LexicalIndex([(start, Lexical.build(part, "english", whole)) for start, part in parts], "english")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 2, 5])
def test_shards_score_as_one_index_to_the_bit(count: int, seed: int) -> None:
    texts = random_texts(101, seed)
    np.testing.assert_array_equal(scattered(sharded(texts, count), QUERIES), expected_scores(texts, QUERIES))


@pytest.mark.parametrize("k", [1, 7, 40, 100, 500])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_search_gives_the_best_of_all_shards(count: int, k: int) -> None:
    texts = random_texts(100, seed=9)
    expected = expected_scores(texts, QUERIES)
    scores, rows = sharded(texts, count).search(QUERIES, k)
    assert (scores.dtype, rows.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(scores, -np.sort(-expected, axis=1)[:, :k])
    assert ((rows >= 0) == (scores > 0)).all()
    for line, places, values in zip(expected, rows, scores, strict=True):
        np.testing.assert_array_equal(line[places[places >= 0]], values[places >= 0])
        above = set(np.flatnonzero(line > values[-1]).tolist())
        assert above <= set(places.tolist())  # only ties for the last place are left out


def test_no_queries_find_nothing() -> None:
    index = sharded(["deposit", "rent"], 2)
    scores, rows = index.search([], 2)
    assert scores.shape == rows.shape == (0, 2)


@pytest.mark.parametrize("ids", ["abcdef", "fedcba", "cafdbe"])
def test_ties_across_shards_go_to_the_greater_id(make_corpus: Any, ids: str) -> None:
    texts = ["deposit of the tenant"] * 6 + ["roof"] * 20
    corpus = make_corpus(
        [{"_id": i, "text": text} for i, text in zip([*ids, *"ghijklmnopqrstuvwxyz"], texts, strict=True)]
    )
    retriever = Retriever(LoadedIds(corpus), sharded(texts, 9))
    for k in (1, 2, 6, 20):
        assert "".join(retriever.rank(["q"], ["deposit"], k)["doc_id"]) == "fedcba"[:k]


def documents_of(texts: list[str]) -> list[dict[str, str]]:
    return [{"_id": f"d{n}", "title": "Word8" * (n % 3 == 0), "text": text or "?"} for n, text in enumerate(texts)]


def texts_of(documents: list[dict[str, str]]) -> list[str]:
    return [document_text(d["title"], d["text"]) for d in documents]


def built(store: Store, corpus: Corpus, language: Language = "english") -> Generation:
    return build_lexical(store, corpus, language, workers=Workers(workers=2), progress=Progress(), label="c")


def test_groups_are_neighbouring_shards_of_no_more_rows_than_allowed() -> None:
    rows = [3, 2, 0, 4, 9, 1]
    files = {f"documents/part-{n:05d}.parquet": {"rows": count} for n, count in enumerate(rows)}
    corpus = Corpus(digest="", filesystem=None, path="", recipe={}, meta={}, files=files)
    groups = group_shards(corpus, most=5)
    assert [(g["name"], g["start"], g["stop"], [int(s[15:20]) for s in g["sources"]]) for g in groups] == [
        ("bm25-00000", 0, 5, [0, 1, 2]),
        ("bm25-00001", 5, 9, [3]),
        ("bm25-00002", 9, 18, [4]),  # one shard is never cut
        ("bm25-00003", 18, 19, [5]),
    ]


@pytest.mark.parametrize("most", [1, 30, 1000])
def test_a_generation_finds_what_one_index_finds(
    ray_cluster: None, store: Store, make_corpus: Any, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(lexical, "GROUP_ROWS", most)
    documents = documents_of(random_texts(80, seed=4))
    corpus = make_corpus(documents, shards=6)
    generation = built(store, corpus)
    names = corpus.names("documents/")
    assert len(generation.meta["shards"]) == {1: len(names), 30: 3, 1000: 1}[most]
    assert (generation.kind, generation.meta["retriever"], generation.meta["documents"]) == ("generation", "bm25", 80)
    assert {name.partition("/")[0] for name in generation.files} == {s["name"] for s in generation.meta["shards"]}
    index = open_lexical(generation)
    np.testing.assert_array_equal(scattered(index, QUERIES), expected_scores(texts_of(documents), QUERIES))
    generation.verify()
    assert built(store, corpus) == generation


def test_a_language_has_a_generation_of_its_own(ray_cluster: None, store: Store, make_corpus: Any) -> None:
    documents = documents_of(["租赁合同的押金", "房屋租金和押金", "违约责任"])
    corpus = make_corpus(documents, shards=2)
    chinese, english = built(store, corpus, "chinese"), built(store, corpus)
    assert chinese.digest != english.digest
    assert (chinese.meta["retriever"], chinese.meta["language"], english.meta["language"]) == (
        "bm25",
        "chinese",
        "english",
    )
    scores = scattered(open_lexical(chinese), ["押金租金"])
    np.testing.assert_array_equal(scores, expected_scores(texts_of(documents), ["押金租金"], "chinese"))
    assert (scores > 0).tolist() == [[True, True, False]]


def test_a_group_without_a_word_is_no_obstacle(
    ray_cluster: None, store: Store, make_corpus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexical, "GROUP_ROWS", 1)
    documents = [{"_id": str(n), "title": "", "text": text} for n, text in enumerate(["deposit", "the of", "deposit"])]
    generation = built(store, make_corpus(documents, shards=3))
    assert len(generation.meta["shards"]) == 3
    scores = scattered(open_lexical(generation), ["deposit", "the"])
    np.testing.assert_array_equal(scores, expected_scores(texts_of(documents), ["deposit", "the"]))


def test_a_corpus_without_a_word_is_refused(ray_cluster: None, store: Store, make_corpus: Any) -> None:
    corpus = make_corpus([{"_id": "a", "text": "the of and"}, {"_id": "b", "text": "...!"}], shards=2)
    with pytest.raises(InputError, match="no word in 2 documents"):
        built(store, corpus)


def test_a_killed_run_is_taken_up_after_its_last_finished_group(
    ray_cluster: None, store: Store, make_corpus: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first group is counted and indexed, then its documents vanish: who read them again would fail."""
    monkeypatch.setattr(lexical, "GROUP_ROWS", 1)
    documents = documents_of(random_texts(40, seed=5))
    corpus = make_corpus(documents, shards=4)
    whole = built(store, corpus)
    killed = Store(str(tmp_path / "killed"))
    draft = killed.draft(Generation, whole.recipe)
    groups = group_shards(corpus, 1)
    counts = [{**group, "name": f".words-{number:05d}.parquet"} for number, group in enumerate(groups)]
    Marked(CountWords(corpus, draft, "english"), draft)(counts[0])
    texts = texts_of(documents)
    counted = write_statistics(draft, ".words.parquet", Statistics.of(words(texts, "english")))
    Marked(IndexGroup(corpus, draft, "english", counted), draft)(groups[0])
    draft.text("bm25-00009/data.csc.index.npy", "of a run that cut the groups otherwise")
    for name in groups[0]["sources"]:
        Path(corpus.file(name)).unlink()
    resumed = built(killed, corpus)
    assert resumed.files == whole.files  # sizes and checksums: what was built in pieces is the same, byte for byte
    np.testing.assert_array_equal(scattered(open_lexical(resumed), QUERIES), expected_scores(texts, QUERIES))


def test_statistics_are_read_as_they_were_written(store: Store) -> None:
    draft = store.draft(Generation, {"n": 1})
    statistics = Statistics.of([["a", "b", "a"], ["a"], []])
    read = read_statistics(draft, write_statistics(draft, ".words.parquet", statistics))
    assert (read.documents, read.length) == (3, 4)
    assert dict(read.frequencies.iter_rows()) == {"a": 2, "b": 1}
