"""Pair scores: computed once for each distinct pair of texts, kept, found again, never mixed up."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from mixstage.corpus.hashing import text_key
from mixstage.errors import ModelError
from mixstage.models.checkpoint import Checkpoint, open_reranker
from mixstage.models.hashing import HashingReranker
from mixstage.pairs.run import refuse_no_number, score_missing
from mixstage.pairs.scores import Pairs, append_scores, look_up, read_scores
from mixstage.plan.stages import Workers
from mixstage.progress import Progress
from mixstage.store.store import Store

QUERIES = ["deposit of the tenant", "repair of the roof", "deposit of the tenant"]  # the third is the first again
DOCUMENTS = ["the landlord returns the deposit", "the roof leaks", "a tenant pays rent", "the roof leaks"]


def pairs_of(*numbers: tuple[int, int], queries: list[str] = QUERIES, documents: list[str] = DOCUMENTS) -> Pairs:
    both = np.array(numbers, dtype=np.int64).reshape(-1, 2)
    return Pairs(queries=queries, documents=documents, query=both[:, 0], document=both[:, 1])


def texts_of(pairs: Pairs) -> tuple[list[str], list[str]]:
    return [pairs.queries[i] for i in pairs.query], [pairs.documents[i] for i in pairs.document]


def run(store: Store, checkpoints: list[Checkpoint], pairs: Pairs, workers: int = 1) -> tuple[list[np.ndarray], Any]:
    """Scores under each, and the sums of their tallies."""
    lookup = look_up(store, {f"r{number}": checkpoint for number, checkpoint in enumerate(checkpoints)}, pairs)
    resources = Workers(workers=workers)
    scores = score_missing(store, lookup, label="test", workers=resources, progress=Progress())
    sums = {name: sum(getattr(t, name) for t in lookup.tallies.values()) for name in ("requested", "scored", "known")}
    return list(scores.values()), SimpleNamespace(**sums)


def keep(store: Store, checkpoint: Checkpoint, pairs: Pairs, scores: list[float]) -> None:
    """Stores scores by hand, as an earlier run would have."""
    queries, documents = texts_of(pairs)
    columns = {"query": [text_key(q) for q in queries], "document": [text_key(d) for d in documents]}
    keys = pl.DataFrame(columns, schema={"query": pl.Binary, "document": pl.Binary})
    append_scores(store, checkpoint, keys, np.array(scores, dtype=np.float32))


def files_of(store: Store) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path(store.root, "pair-score").rglob("*") if path.is_file()}


def test_a_key_is_the_head_of_the_texts_sha256() -> None:
    assert text_key("é") == hashlib.sha256(b"\xc3\xa9").digest()[:16]


def test_each_distinct_pair_of_texts_is_scored_once_and_a_second_call_scores_nothing(
    ray_cluster: None, store: Store, make_checkpoint: Any
) -> None:
    checkpoint = make_checkpoint("reranker")
    # the pairs (0, 1), (2, 1), (0, 3) and (2, 3) are one pair of texts
    pairs = pairs_of((0, 0), (0, 1), (1, 1), (2, 1), (0, 3), (2, 3), (1, 2), (0, 1), (1, 0))
    (scores,), tally = run(store, [checkpoint], pairs)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, HashingReranker().score(*texts_of(pairs)))
    assert (tally.requested, tally.scored, tally.known) == (9, 5, 4)
    assert len(read_scores(store, checkpoint)) == 5
    before = files_of(store)
    (again,), tally = run(store, [checkpoint], pairs)
    np.testing.assert_array_equal(again, scores)
    assert (tally.requested, tally.scored, tally.known) == (9, 0, 9)
    assert files_of(store) == before


def test_a_new_pair_scores_only_itself(ray_cluster: None, store: Store, make_checkpoint: Any) -> None:
    checkpoint = make_checkpoint("reranker")
    keep(store, checkpoint, pairs_of((0, 0), (1, 1)), [42.0, -7.0])  # no reranker would say so: they must be kept ones
    pairs = pairs_of((1, 1), (1, 2), (0, 0))
    (scores,), tally = run(store, [checkpoint], pairs)
    (fresh,) = HashingReranker().score([QUERIES[1]], [DOCUMENTS[2]])
    assert scores.tolist() == [-7.0, fresh, 42.0]
    assert (tally.requested, tally.scored, tally.known) == (3, 1, 2)


def test_known_pairs_need_no_cluster_and_come_in_the_order_asked(store: Store, make_checkpoint: Any) -> None:
    checkpoint = make_checkpoint("reranker")
    keep(store, checkpoint, pairs_of((0, 0), (0, 1), (1, 1)), [1.0, 2.0, 3.0])
    (scores,), tally = run(store, [checkpoint], pairs_of((1, 3), (2, 0), (0, 3), (0, 0)))
    assert scores.tolist() == [3.0, 1.0, 2.0, 1.0]
    assert tally.scored == 0


def test_no_pairs_give_no_scores(store: Store, make_checkpoint: Any) -> None:
    (scores,), tally = run(store, [make_checkpoint("reranker")], pairs_of())
    assert scores.shape == (0,)
    assert (tally.requested, tally.scored, tally.known) == (0, 0, 0)


def test_two_rerankers_keep_their_scores_apart_and_come_in_order(
    ray_cluster: None, store: Store, make_checkpoint: Any, tiny_model: Path
) -> None:
    hashing, tiny = make_checkpoint("reranker"), make_checkpoint("reranker", base=str(tiny_model), max_length=64)
    pairs = pairs_of((0, 0), (1, 1), (1, 2), (0, 2))
    scores, tally = run(store, [tiny, hashing], pairs)
    np.testing.assert_allclose(scores[0], open_reranker(tiny).score(*texts_of(pairs)), atol=1e-5)
    np.testing.assert_array_equal(scores[1], HashingReranker().score(*texts_of(pairs)))
    assert (tally.requested, tally.scored) == (8, 8)
    (alone,), tally = run(store, [hashing], pairs)
    np.testing.assert_array_equal(alone, scores[1])
    assert tally.scored == 0


def test_texts_of_many_calls_are_scored_alike_by_two_actors(
    ray_cluster: None, store: Store, make_checkpoint: Any
) -> None:
    # 24 documents of 17,500 tokens: calls of 98,304 hold five, the last ones less
    documents = [f"deposit number {n} " + "x" * 70_000 for n in range(24)]
    pairs = pairs_of(*((n % 2, n) for n in range(24)), queries=["deposit number 7", "number"], documents=documents)
    checkpoint = make_checkpoint("reranker")
    (scores,), tally = run(store, [checkpoint], pairs, workers=2)
    np.testing.assert_array_equal(scores, HashingReranker().score(*texts_of(pairs)))
    assert tally.scored == 24
    assert len(files_of(store)) > 24 / 5


def test_a_failed_run_keeps_what_it_had_scored(ray_cluster: None, store: Store, make_checkpoint: Any) -> None:
    sound, drifted = make_checkpoint("reranker", base="hashing://64"), make_checkpoint("reranker", base="hashing://32")
    golden = drifted.local() / "golden.json"
    intact = golden.read_text()
    golden.write_text("[9, 9, 9]")
    pairs = pairs_of((0, 0), (1, 1))
    with pytest.raises(ModelError, match="drifted"):
        run(store, [sound, drifted], pairs)
    assert (len(read_scores(store, sound)), len(read_scores(store, drifted))) == (2, 0)
    golden.write_text(intact)
    scores, tally = run(store, [sound, drifted], pairs)
    assert (tally.requested, tally.scored, tally.known) == (4, 2, 2)
    np.testing.assert_array_equal(scores[0], scores[1])  # both hash words alike


def test_the_same_reranker_named_twice_gives_two_equal_columns(
    ray_cluster: None, store: Store, make_checkpoint: Any
) -> None:
    checkpoint = make_checkpoint("reranker")
    scores, _ = run(store, [checkpoint, checkpoint], pairs_of((0, 0), (1, 1)))
    expected = HashingReranker().score(*texts_of(pairs_of((0, 0), (1, 1))))
    for column in scores:
        np.testing.assert_array_equal(column, expected)


def test_a_pair_that_two_runs_scored_is_read_once(store: Store, make_checkpoint: Any) -> None:
    checkpoint = make_checkpoint("reranker")
    keep(store, checkpoint, pairs_of((0, 0), (0, 1)), [1.0, 2.0])
    keep(store, checkpoint, pairs_of((0, 1), (1, 1)), [2.0, 3.0])
    assert sorted(read_scores(store, checkpoint)["score"]) == [1.0, 2.0, 3.0]
    keep(store, checkpoint, pairs_of((0, 0), (0, 1)), [1.0, 2.0])  # the same chunk lands in the same file
    assert len(files_of(store)) == 2


def test_a_half_written_shard_is_not_read(store: Store, make_checkpoint: Any) -> None:
    checkpoint = make_checkpoint("reranker")
    keep(store, checkpoint, pairs_of((0, 0)), [1.0])
    folder = Path(next(iter(files_of(store)))).parent
    (folder / ".writing-abc").write_bytes(b"PAR1 half")
    assert read_scores(store, checkpoint)["score"].to_list() == [1.0]


def test_scores_are_kept_in_a_store_of_objects_as_well(memory_store: Store, make_checkpoint: Any) -> None:
    checkpoint = make_checkpoint("reranker")
    assert read_scores(memory_store, checkpoint).is_empty()
    keep(memory_store, checkpoint, pairs_of((0, 0), (1, 2)), [1.5, 2.5])
    (scores,), tally = run(memory_store, [checkpoint], pairs_of((1, 2), (0, 0)))
    assert scores.tolist() == [2.5, 1.5]
    assert tally.scored == 0


def test_other_weights_find_no_scores(store: Store, make_checkpoint: Any) -> None:
    keep(store, make_checkpoint("reranker", base="hashing://64"), pairs_of((0, 0)), [1.0])
    assert read_scores(store, make_checkpoint("reranker", base="hashing://32")).is_empty()


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_a_kept_score_that_is_no_number_counts_as_none(store: Store, make_checkpoint: Any, score: float) -> None:
    checkpoint = make_checkpoint("reranker")
    keep(store, checkpoint, pairs_of((0, 0), (1, 1)), [score, 1.0])
    lookup = look_up(store, {"r": checkpoint}, pairs_of((0, 0), (1, 1)))
    assert lookup.missing["r"].tolist() == [0]
    assert (lookup.tallies["r"].requested, lookup.tallies["r"].known) == (2, 1)


@pytest.mark.parametrize("score", [np.nan, -np.inf])
def test_a_model_that_gives_no_number_is_refused_with_the_pair(
    store: Store, make_checkpoint: Any, score: float
) -> None:
    checkpoint = make_checkpoint("reranker")
    lookup = look_up(store, {"broad": checkpoint}, pairs_of((0, 0), (1, 2)))
    with pytest.raises(ModelError) as refused:
        refuse_no_number(lookup, "broad", np.array([1, 0]), np.array([0.5, score], dtype=np.float32))
    for part in ("'broad'", checkpoint.path, str(score), "'deposit of the tenant'", "'the landlord returns", "lower"):
        assert part in str(refused.value)
    refuse_no_number(lookup, "broad", np.array([1, 0]), np.array([0.5, -3], dtype=np.float32))


def test_a_listwise_reranker_is_refused_by_name(store: Store, make_checkpoint: Any) -> None:
    checkpoint = make_checkpoint("reranker")
    settings = Path(checkpoint.path) / "mixstage.json"
    settings.write_text(json.dumps({"component": "reranker", "kind": "listwise"}))
    with pytest.raises(ModelError, match=r"'broad'.*'listwise'.*only hashing, transformer, late_interaction"):
        look_up(store, {"broad": checkpoint}, pairs_of((0, 0)))


def test_only_the_wanted_pairs_are_asked_for(store: Store, make_checkpoint: Any) -> None:
    checkpoint = make_checkpoint("reranker")
    keep(store, checkpoint, pairs_of((1, 2)), [4.0])
    pairs = pairs_of((0, 0), (0, 1), (2, 3), (1, 2))  # (0, 1) and (2, 3) are the same texts
    lookup = look_up(store, {"r": checkpoint}, pairs, {"r": np.array([False, False, True, False])})
    assert lookup.missing["r"].tolist() == [1]
    assert (lookup.tallies["r"].requested, lookup.tallies["r"].scored) == (1, 1)
    np.testing.assert_array_equal(lookup.columns["r"], np.array([np.nan, np.nan, np.nan, 4], dtype=np.float32))


def test_pairs_are_grouped_by_query_and_for_late_interaction_by_document(store: Store, make_checkpoint: Any) -> None:
    pairs = pairs_of((0, 0), (1, 1), (0, 1), (1, 0))
    checkpoint = make_checkpoint("reranker")
    assert look_up(store, {"r": checkpoint}, pairs).missing["r"].tolist() == [0, 2, 1, 3]
    settings = Path(checkpoint.path) / "mixstage.json"
    settings.write_text(json.dumps({"component": "reranker", "kind": "late_interaction", "max_length": 6}))
    late = look_up(store, {"r": checkpoint}, pairs)
    assert late.missing["r"].tolist() == [0, 3, 1, 2]
    assert late.costs["r"].tolist() == [6, 0, 5, 0]  # 32 bytes / 4 + 2 above the limit; 14 bytes: 3 + 2
