"""Generations: what each factory finds, recall by hand, refusals that leave nothing, files in any number."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixstage.embedding.vectors import Embedding
from mixstage.errors import PlanError, StoreError
from mixstage.index.arithmetic import Found, merge_found
from mixstage.index.build import TRAINED, build_generation, find_generation, groups_of, recall, write_trained
from mixstage.index.faiss_files import FaissFiles, FaissShard, fill, is_exact, train_index
from mixstage.index.generation import Generation
from mixstage.index.search import DenseIndex
from mixstage.models.encoder import Role, Tokens
from mixstage.plan.schema import IndexPlan
from mixstage.plan.stages import Workers
from mixstage.progress import Progress
from mixstage.store.store import Store

DIM = 16


def unit(rows: int, seed: int, dim: int = DIM) -> np.ndarray:
    """Unit vectors that have clusters, as texts do."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(12, dim))[rng.integers(0, 12, rows)] + rng.normal(size=(rows, dim))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


VECTORS, QUERIES = unit(400, seed=1), unit(25, seed=2)


class Given:
    """An encoder of texts that are numbers of vectors."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors, self.dim = vectors, vectors.shape[1]

    def vocabulary(self, role: Role) -> str:
        return ""

    def tokenise(self, texts: Any, role: Role) -> Tokens:
        return Tokens(ids=[[int(text)] for text in texts], truncated=np.zeros(len(texts), dtype=bool))

    def embed(self, tokens: Tokens) -> np.ndarray:
        return self.vectors[[number for (number,) in tokens.ids]]

    def encode(self, texts: Any, role: Role) -> np.ndarray:
        return self.embed(self.tokenise(texts, role))


def flat_search(vectors: np.ndarray, queries: np.ndarray, k: int) -> Found:
    scores = (queries.astype(np.float64) @ vectors.astype(np.float64).T).astype(np.float32)
    order = np.lexsort((np.broadcast_to(np.arange(len(vectors)), scores.shape), -scores))[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


def shard_of(settings: IndexPlan, vectors: np.ndarray = VECTORS, start: int = 0) -> FaissShard:
    """One file's index, in memory."""
    index = train_index(vectors, settings)
    fill(index, np.array_split(vectors, 3), settings)
    return FaissShard(index, start, settings, vectors if settings.rescore else None)


def truncated(vectors: np.ndarray, dims: int) -> np.ndarray:
    return np.asarray(vectors[:, :dims] / np.linalg.norm(vectors[:, :dims], axis=1, keepdims=True))


# --- one file ---------------------------------------------------------------------------------------------------


def test_flat_is_exact_to_the_bit_and_says_so() -> None:
    settings = IndexPlan()
    scores, rows = shard_of(settings, start=1000).search(QUERIES, 10)
    expected = flat_search(VECTORS, QUERIES, 10)
    np.testing.assert_array_equal(rows, expected[1] + 1000)
    np.testing.assert_array_equal(scores, expected[0])
    assert is_exact(settings)
    assert not is_exact(IndexPlan(dims=8)) and not is_exact(IndexPlan(factory="SQ8"))


def test_flat_finds_the_first_rows_of_many_that_tie() -> None:
    vectors = np.repeat(VECTORS[:8], 50, axis=0)
    _, rows = shard_of(IndexPlan(), vectors).search(VECTORS[:8], 10)
    assert rows.tolist() == [list(range(50 * n, 50 * n + 10)) for n in range(8)]


@pytest.mark.parametrize(
    ("factory", "search", "least"),
    [
        ("HNSW16", "efSearch=200", 0.99),
        ("IVF4,SQ8", "nprobe=4", 0.9),
        ("SQ8", "", 0.9),
        ("PCA12,IVF4,Flat", "nprobe=4", 0.5),
    ],
)
def test_other_factories_find_most_of_it_with_scores_of_their_own(factory: str, search: str, least: float) -> None:
    settings = IndexPlan(factory=factory, search=search)
    shard = shard_of(settings)
    scores, rows = shard.search(QUERIES, 10)
    assert recall(rows, flat_search(VECTORS, QUERIES, 18)) >= least
    assert (np.diff(scores, axis=1) <= 0).all()
    if not factory.startswith("PCA"):  # which moves the origin, and with it every inner product
        np.testing.assert_allclose(scores, shard.score(QUERIES, rows), atol=1e-5)
        np.testing.assert_allclose(scores, np.take_along_axis(QUERIES @ VECTORS.T, rows, axis=1), atol=0.02)


@pytest.mark.parametrize(
    "settings",
    [
        IndexPlan(factory="IVF4,SQ8", search="nprobe=4", rescore=40),
        IndexPlan(factory="SQ8", rescore=40),
        IndexPlan(factory="BFlat", rescore=40),
        IndexPlan(factory="BHNSW16", search="efSearch=500", rescore=40),
        IndexPlan(dims=8, rescore=40),
        IndexPlan(factory="BFlat", dims=8, rescore=40),
    ],
    ids=lambda s: f"{s.factory}-{s.dims}",
)
def test_candidates_that_are_scored_again_are_scored_exactly(settings: IndexPlan) -> None:
    """40 candidates a hit of 10 are the whole corpus: nothing is left of the first look."""
    scores, rows = shard_of(settings).search(QUERIES, 10)
    expected = flat_search(VECTORS, QUERIES, 10)
    np.testing.assert_array_equal(scores, expected[0])
    np.testing.assert_array_equal(rows, expected[1])


def test_a_few_candidates_are_the_best_of_the_first_look_in_exact_order() -> None:
    scores, rows = shard_of(IndexPlan(factory="BFlat", rescore=3)).search(QUERIES, 5)
    signs = np.where(VECTORS > 0, 1, -1) @ np.where(QUERIES > 0, 1, -1).T  # agreements less disagreements
    exact = QUERIES.astype(np.float64) @ VECTORS.astype(np.float64).T
    for line in range(len(QUERIES)):
        last = np.sort(signs[:, line])[::-1][14]  # of 15 candidates
        assert (signs[rows[line], line] >= last).all()
        sure = np.flatnonzero(signs[:, line] > last)
        best = sure[np.argmax(exact[line, sure])]
        assert best in rows[line] or exact[line, best] < scores[line, -1]
        np.testing.assert_array_equal(scores[line], exact[line, rows[line]].astype(np.float32))
    assert (np.diff(scores, axis=1) <= 0).all()


def test_the_first_dimensions_alone_are_compared_at_unit_length() -> None:
    shard = shard_of(IndexPlan(dims=6))
    scores, rows = shard.search(QUERIES, 10)
    expected = flat_search(truncated(VECTORS, 6), truncated(QUERIES, 6), 10)
    np.testing.assert_array_equal(rows, expected[1])
    np.testing.assert_allclose(scores, expected[0], atol=1e-6)
    np.testing.assert_allclose(shard.score(QUERIES, rows), expected[0], atol=1e-6)


def test_a_depth_beyond_the_file_gives_all_of_it_and_no_queries_nothing() -> None:
    for settings in (IndexPlan(), IndexPlan(factory="SQ8"), IndexPlan(factory="BFlat", rescore=2)):
        shard = shard_of(settings, VECTORS[:5])
        assert np.sort(shard.search(QUERIES, 50)[1]).tolist() == [list(range(5))] * len(QUERIES)
        assert shard.search(QUERIES[:0], 3)[1].shape == (0, 3)


def test_clusters_that_are_not_looked_into_leave_gaps() -> None:
    settings = IndexPlan(factory="IVF64,Flat", search="nprobe=1")
    scores, rows = shard_of(settings).search(QUERIES, 100)
    assert (rows == -1).any()
    assert ((rows >= -1) & (rows < 400)).all()
    merged, found = merge_found([(scores, rows)], 100)
    assert ((found == -1) == np.isneginf(merged)).all()


@pytest.mark.parametrize("factory", ["Nonsense", "IVF4000,Flat", "PQ5", "BNonsense", "BIVF4000"])
def test_a_factory_that_cannot_be_made_is_refused(factory: str) -> None:
    with pytest.raises(PlanError, match=rf"index\.factory '{factory}' over 400 vectors of 16 dimensions: .+'Flat'"):
        train_index(VECTORS, IndexPlan(factory=factory, rescore=4))


@pytest.mark.parametrize(
    ("factory", "search"),
    [
        ("Flat", "nprobe=4"),
        ("IVF4,Flat", "efSearch=4"),
        ("IVF4,Flat", "nprobe"),
        ("IVF4,Flat", "nprobe=many"),
        ("HNSW8", "nonsense"),
        ("BFlat", "nprobe=4"),
        ("BFlat", "efSearch=4"),
        ("BHNSW8", "efSearch=many"),
        ("BHNSW8", "efSearch"),
    ],
)
def test_search_parameters_that_the_index_lacks_are_refused_before_it_is_filled(factory: str, search: str) -> None:
    with pytest.raises(PlanError, match=rf"index\.search '{search}' for '{factory}': "):
        train_index(VECTORS, IndexPlan(factory=factory, search=search, rescore=4))


# --- recall -----------------------------------------------------------------------------------------------------


def test_recall_is_the_share_of_the_ten_best_and_ties_of_the_tenth_count() -> None:
    scores = np.array([[9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 1, 0.5], [1] * 12], dtype=np.float32)
    rows = np.array([range(12), range(100, 112)])
    found = np.array([[0, 1, 2, 3, 4, 10, 11, 50, 51, -1], [100, 101, 102, 103, 104, 105, 106, 107, 110, 111]])
    # of the first: 0 to 4 and 10, which ties with the tenth; 11 does not. Of the second: all.
    assert recall(found, (scores, rows)) == pytest.approx((0.6 + 1) / 2)


def test_recall_of_a_small_corpus_is_a_share_of_what_there_is() -> None:
    exact = np.array([[3, 2, 1, 0]], dtype=np.float32), np.array([[0, 1, 2, 3]])
    assert recall(np.array([[3, 2, 0, -1]]), exact) == 0.75


# --- whole generations ------------------------------------------------------------------------------------------


def build(store: Store, embedding: Embedding, queries: np.ndarray = QUERIES, **settings: Any) -> Generation:
    return build_generation(
        store,
        embedding,
        IndexPlan(**settings),
        queries,
        label="c with r",
        workers=Workers(workers=2),
        progress=Progress(),
    )


def search(generation: Generation, queries: np.ndarray, k: int) -> Found:
    return DenseIndex(FaissFiles.open(generation), Given(queries)).search([str(n) for n in range(len(queries))], k)


def test_a_flat_generation_in_several_files_answers_as_one_matrix(
    ray_cluster: None, store: Store, make_embedding: Any
) -> None:
    embedding = make_embedding(VECTORS, (60, 130, 200, 350), dtype="float16")
    whole, cut = build(store, embedding), build(store, embedding, shard_rows=140)
    assert [(s["name"], s["start"], s["stop"]) for s in cut.meta["shards"]] == [
        ("index-00000.faiss", 0, 130),
        ("index-00001.faiss", 130, 200),  # 130 to 350 would be more than 140
        ("index-00002.faiss", 200, 350),  # one vector shard is never cut
        ("index-00003.faiss", 350, 400),
    ]
    expected = flat_search(VECTORS.astype(np.float16), QUERIES, 30)
    for generation in (whole, cut):
        scores, rows = search(generation, QUERIES, 30)
        np.testing.assert_array_equal(rows, expected[1])
        np.testing.assert_array_equal(scores, expected[0])
        assert generation.meta == {
            **generation.meta,
            "documents": 400,
            "dim": DIM,
            "corpus": "corpus",
            "retriever": "retriever",
            "recall": 1.0,
        }
        generation.verify()
    assert build(store, embedding, shard_rows=140) == cut


def test_an_approximate_generation_is_made_measured_and_scored_again(
    ray_cluster: None, store: Store, make_embedding: Any
) -> None:
    embedding = make_embedding(VECTORS, (60, 130, 200, 350), dtype="float16")
    settings = {"factory": "IVF4,SQ8", "search": "nprobe=2", "shard_rows": 150, "rescore": 2, "floor": 0.1}
    generation = build(store, embedding, **settings)
    scores, rows = search(generation, QUERIES, 10)
    stored = VECTORS.astype(np.float16)
    expected = np.take_along_axis(QUERIES.astype(np.float64) @ stored.astype(np.float64).T, rows, axis=1)
    np.testing.assert_array_equal(scores, expected.astype(np.float32))
    tenth = flat_search(stored, QUERIES, 10)[0][:, -1:]
    assert generation.meta["recall"] == round(float((scores >= tenth).mean()), 4)  # measured as by hand
    assert {name.rpartition(".")[2] for name in generation.files} == {"faiss", "npy"}
    codes = build(store, embedding, **{**settings, "rescore": None})
    scores, rows = search(codes, QUERIES, 10)
    np.testing.assert_array_equal(
        FaissFiles.open(codes).search(QUERIES, 10), (scores, rows)
    )  # read from mapped clusters
    np.testing.assert_array_equal(np.load(generation.local() / "index-00000.npy"), stored[:130])
    generation.verify()


def test_below_the_floor_nothing_is_published_and_nothing_is_left(
    ray_cluster: None, store: Store, make_embedding: Any
) -> None:
    embedding = make_embedding(VECTORS)
    settings = {"factory": "IVF64,Flat", "search": "nprobe=1", "floor": 0.999}
    with pytest.raises(StoreError, match=r"recall@10 of 'IVF64,Flat' .* is 0\.\d+, below index\.floor 0\.999.*nprobe"):
        build(store, embedding, **settings)
    assert not list(Path(store.root, "generation").iterdir())
    assert find_generation(store, embedding, IndexPlan(**settings)) is None


def test_crowds_of_equal_texts_are_no_loss_of_recall(ray_cluster: None, store: Store, make_embedding: Any) -> None:
    """Of 100 equal vectors any ten are right, and another index finds others."""
    embedding = make_embedding(np.repeat(VECTORS[:4], 100, axis=0), (150,))
    generation = build(store, embedding, VECTORS[:4], factory="IVF4,Flat", search="nprobe=4")
    assert generation.meta["recall"] == 1.0


def test_without_queries_documents_stand_in(ray_cluster: None, store: Store, make_embedding: Any) -> None:
    nothing = np.empty((0, DIM), dtype=np.float32)
    assert build(store, make_embedding(VECTORS[:60], (7,)), nothing, check_queries=5).meta["recall"] == 1.0


def test_nonsense_in_the_plan_is_refused_and_not_published(
    ray_cluster: None, store: Store, make_embedding: Any
) -> None:
    embedding = make_embedding(VECTORS[:60])
    for settings in ({"factory": "IVF4000,Flat"}, {"factory": "HNSW8", "search": "depth=3"}):
        with pytest.raises(PlanError, match=r"index\.(factory|search) "):
            build(store, embedding, **settings)
    assert list(store.all(Generation)) == []


def test_an_index_learns_from_rows_of_all_the_corpus(store: Store, make_embedding: Any) -> None:
    """Two far clusters, one in each half: who learns from the first half alone puts both centroids there."""
    import faiss

    first, second = np.eye(DIM)[0], np.eye(DIM)[1]
    noise = np.random.default_rng(0).normal(scale=0.01, size=(190, DIM))
    vectors = np.vstack([np.tile(first, (95, 1)), np.tile(second, (95, 1))]) + noise
    draft = store.draft(Generation, {"n": 1})
    write_trained(
        make_embedding(vectors.astype(np.float32), (80, 90)), IndexPlan(factory="IVF2,Flat", train_rows=100), draft
    )
    index = faiss.read_index(f"{draft.path}/{TRAINED}")
    centroids = index.quantizer.reconstruct_n(0, 2)
    assert sorted(centroids.argmax(axis=1).tolist()) == [0, 1]
    assert index.ntotal == 0


def test_a_half_filled_generation_is_taken_up_with_the_clusters_it_was_begun_with(
    ray_cluster: None, store: Store, make_embedding: Any, tmp_path: Path
) -> None:
    embedding = make_embedding(VECTORS, (60, 130, 200, 350))
    settings = {"factory": "IVF4,Flat", "search": "nprobe=4", "shard_rows": 100}
    killed = build(store, embedding, **settings)
    facts, folder = killed.files, killed.local()
    partial = folder.with_name(folder.name + ".partial")
    folder.rename(partial)
    (partial / "manifest.json").unlink()
    (partial / "index-00001.faiss").unlink()  # what was being written
    (partial / ".writing-x").write_bytes(b"hal")
    trained = (partial / TRAINED).stat()
    again = build(store, embedding, **settings)
    assert again.files == facts
    assert (again.local() / TRAINED).stat().st_mtime_ns == trained.st_mtime_ns
    assert not list(again.local().glob(".*"))


def test_groups_are_neighbours_of_no_more_rows_than_allowed(make_embedding: Any) -> None:
    groups = groups_of(make_embedding(VECTORS[:20], (3, 5, 9, 18)), IndexPlan(shard_rows=5))
    assert [(g["start"], g["stop"], [name[-9:-8] for name in g["shards"]]) for g in groups] == [
        (0, 5, ["0", "1"]),
        (5, 9, ["2"]),
        (9, 18, ["3"]),
        (18, 20, ["4"]),
    ]
