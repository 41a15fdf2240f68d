"""Embedding through Ray: the vectors of plain Python, each text once, resumed after any death, reused."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
from ray.util.metrics import Gauge

from mixstage.corpus.documents import document_text
from mixstage.corpus.tables import Application, Corpus
from mixstage.embedding.embed import EmbeddingRequest, embed
from mixstage.embedding.vectors import Embedding, read_vectors, vectors_of
from mixstage.embedding.worker import Embedder, Job, read_texts
from mixstage.errors import PlanError, StoreError
from mixstage.models.checkpoint import Checkpoint, open_encoder
from mixstage.models.encoder import Encoder, Role, Tokens
from mixstage.models.hashing import HashingEncoder
from mixstage.plan.schema import IndexPlan
from mixstage.plan.stages import Workers
from mixstage.progress import Progress
from mixstage.store.store import Store

Documents = list[dict[str, str]]
DOCUMENTS = [{"_id": f"d{n}", "title": "T" * (n % 2), "text": f"article {n} of {n % 5} deposits"} for n in range(40)]


def request_of(
    texts: Corpus | Application, checkpoint: Checkpoint, role: Role = "document", label: str = "c with r"
) -> EmbeddingRequest:
    return EmbeddingRequest(texts=texts, role=role, checkpoint=checkpoint, label=label)


def run(
    store: Store, *requests: EmbeddingRequest, workers: int = 1, progress: Progress | None = None, **settings: Any
) -> list[Embedding]:
    ready = Workers(workers=workers)
    return embed(store, requests, IndexPlan(**settings), label="t", workers=ready, progress=progress or Progress())


def stacked(embedding: Embedding) -> tuple[list[str], np.ndarray]:
    """Ids and vectors, shard after shard."""
    names = embedding.shards
    ids = [i for name in names for i in embedding.read_table(name, ["id"])["id"].to_pylist()]
    return ids, np.vstack([vectors_of(embedding.read_table(name)) for name in names])


def texts_of(documents: Documents) -> list[str]:
    return [document_text(d.get("title", ""), d["text"]) for d in documents]


def hashed(documents: Documents, dim: int = 64, dtype: str = "float16") -> np.ndarray:
    return HashingEncoder(dim).encode(texts_of(documents), "document").astype(dtype)


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Which very files lie there: name -> (inode, time of the last change)."""
    paths = [path for path in folder.glob("part-*.parquet")]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def full_disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9000, 9000 - free, free))  # type: ignore[attr-defined]


@pytest.fixture
def application(store: Store) -> Application:
    """Queries of which two read alike."""
    draft = store.draft(Application, {"n": 1})
    rows = {"query_id": ["q1", "q2", "q3"], "text": ["deposit of article 3", "rent", "deposit of article 3"]}
    draft.table("queries.parquet", pa.table(rows))
    return draft.publish({})


# --- whole runs -------------------------------------------------------------------------------------------------


def test_who_watches_the_cluster_sees_what_is_left_of_which_embedding(
    ray_cluster: None, store: Store, make_corpus: Any, make_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, list[float]] = {}

    def note(gauge: Gauge, value: float, tags: dict[str, str]) -> None:
        if "embedding" in tags:  # Ray sets gauges of its own
            shown.setdefault(f"{gauge.info['name']} of {tags['embedding']}", []).append(value)

    monkeypatch.setattr(Gauge, "set", note)
    corpus = make_corpus(DOCUMENTS, shards=4)
    embed(
        store,
        [request_of(corpus, make_checkpoint("retriever", base="hashing://64"))],
        IndexPlan(),
        label="a watched run",
        workers=Workers(workers=2),
        progress=Progress(),
    )
    left = shown["mixstage_embed_texts_left of a watched run"]
    assert len(left) == len(corpus.shards) and left[-1] == 0
    assert sorted(-np.diff([40, *left])) == sorted(corpus.rows(shard) for shard in corpus.shards)
    assert shown["mixstage_embed_workers of a watched run"] == [2, 2, 2, 0]
    seconds = shown["mixstage_embed_seconds_left of a watched run"]
    assert all(value > 0 for value in seconds[:-1]) and seconds[-1] == 0


def test_an_embedding_is_what_plain_python_encodes_in_the_order_of_the_corpus(
    ray_cluster: None, store: Store, make_corpus: Any, make_checkpoint: Any, application: Application
) -> None:
    """Two stages, documents and queries in one pass."""
    corpus = make_corpus(DOCUMENTS, shards=4)
    stages = [make_checkpoint("retriever", base=f"hashing://{dim}") for dim in (64, 32)]
    requests = [request_of(corpus, stage) for stage in stages] + [request_of(application, stages[0], "query")]
    first, second, queries = run(store, *requests, workers=2)
    for embedding, dim in ((first, 64), (second, 32)):
        ids, vectors = stacked(embedding)
        assert ids == [d["_id"] for d in DOCUMENTS]
        assert vectors.dtype == np.float16
        np.testing.assert_array_equal(vectors, hashed(DOCUMENTS, dim))
        words = sum(len(text.replace(". ", " ").split()) for text in texts_of(DOCUMENTS))
        assert embedding.meta == {
            "rows": 40,
            "dim": dim,
            "of": corpus.digest,
            "retriever": embedding.recipe["retriever"],
            "tokens": words,
            "truncated": 0,
            "embedded": 40,
            "reused": 0,
            "repeated": 0,
            "removed": 0,
        }
        assert [embedding.files[name]["rows"] for name in embedding.shards] == [
            corpus.files[name]["rows"] for name in corpus.names("documents/")
        ]
        embedding.verify()
        assert {path.name for path in (embedding.local() / "vectors").iterdir()} == {
            name.removeprefix("vectors/") for name in embedding.shards
        }
    ids, vectors = stacked(queries)
    expected = HashingEncoder(64).encode(["deposit of article 3", "rent", "deposit of article 3"], "query")
    assert ids == ["q1", "q2", "q3"] and vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, expected)
    assert (queries.meta["embedded"], queries.meta["repeated"]) == (2, 1)


def test_a_transformers_embedding_is_what_plain_python_encodes_and_long_texts_are_counted(
    ray_cluster: None, store: Store, make_corpus: Any, make_checkpoint: Any, tiny_model: Path
) -> None:
    long = [{"_id": "long", "text": "deposit of the tenant " * 20}, {"_id": "longer", "text": "the landlord " * 40}]
    documents = [*DOCUMENTS[:20], *long]
    corpus = make_corpus(documents, shards=2)
    checkpoint = make_checkpoint("retriever", base=str(tiny_model), document_prompt="article: ", max_length=32)
    (embedding,) = run(store, request_of(corpus, checkpoint), dtype="float32")
    expected = open_encoder(checkpoint).encode(texts_of(documents), "document")
    _, vectors = stacked(embedding)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    tokens = open_encoder(checkpoint).tokenise(texts_of(documents), "document")
    assert (embedding.meta["truncated"], embedding.meta["tokens"]) == (2, int(tokens.lengths.sum()))
    last = embedding.read_table(embedding.shards[-1])
    assert last["truncated"].to_pylist()[-3:] == [False, True, True]
    assert last["tokens"].to_pylist()[-2:] == [32, 32]


def changed(documents: Documents) -> Documents:
    """d3 reads otherwise, d7 is gone, three are new: one of them twice, one in the words of an old one."""
    kept = [d for d in documents if d["_id"] != "d7"]
    kept[3] = {**kept[3], "text": "a new wording"}
    new = {"_id": "new", "text": "roof and walls"}
    return [new, *kept, {**new, "_id": "again"}, {**documents[10], "_id": "alike"}]


def test_a_changed_corpus_embeds_what_is_new_and_equals_a_fresh_embedding_to_the_bit(
    ray_cluster: None, store: Store, make_corpus: Any, make_checkpoint: Any, embed_plainly: Any
) -> None:
    checkpoint = make_checkpoint("retriever")
    before = embed_plainly(make_corpus(DOCUMENTS, name="before", shards=4), checkpoint)
    documents = changed(DOCUMENTS)
    corpus = make_corpus(documents, name="after", shards=3)
    (after,) = run(store, request_of(corpus, checkpoint), workers=2)
    # new: d3's wording and the roof; "again" repeats it; the other 38 and "alike" are known
    known = ("embedded", "reused", "repeated", "removed")
    assert [after.meta[name] for name in known] == [2, 39, 1, 2]  # gone: d7 and d3's old wording
    ids, vectors = stacked(after)
    assert ids == [d["_id"] for d in documents]
    np.testing.assert_array_equal(vectors, hashed(documents))
    fresh = embed_plainly(corpus, checkpoint, into=Store(store.uri + "-fresh"))
    assert after.files == fresh.files, "byte for byte"
    assert after.meta["tokens"] == sum(len(text.replace(". ", " ").split()) for text in texts_of(documents))
    before.verify()
    after.verify()


class KilledBefore(Progress):
    """Dies when an embedding is about to be published."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def say(self, text: str) -> None:
        if text.startswith(self.label):
            raise KeyboardInterrupt


def test_a_run_killed_between_two_publishes_makes_again_what_is_missing_and_nothing_else(
    ray_cluster: None, store: Store, make_corpus: Any, make_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The corpora share texts: that the first is there now must not make the second one's finished work worthless."""
    checkpoint = make_checkpoint("retriever")
    corpora = [make_corpus(DOCUMENTS[start : start + 30], name=f"c{start}", shards=3) for start in (0, 10)]
    requests = [request_of(corpus, checkpoint, label=f"corpus {n}") for n, corpus in enumerate(corpora)]
    with pytest.raises(KeyboardInterrupt):
        run(store, *requests, progress=KilledBefore("corpus 1"))
    (first,) = store.all(Embedding)
    (partial,) = Path(store.root, "embedding").glob("*.partial/vectors")
    before, published = stamps(partial), stamps(first.local() / "vectors")
    assert (len(before), len(published)) == (3, 3)
    for name in ("part-00001.parquet", ".part-00001.parquet.json"):
        (partial / name).unlink()
    lost = before.pop("part-00001.parquet")
    full_disk(monkeypatch, free=2000)  # room for a shard, not for what is there already
    again = run(store, *requests)
    assert stamps(again[0].local() / "vectors") == published
    after = stamps(again[1].local() / "vectors")
    assert after.pop("part-00001.parquet") != lost and after == before
    assert [one.meta["reused"] for one in again] == [0, 0]
    for one, start in zip(again, (0, 10), strict=True):
        np.testing.assert_array_equal(stacked(one)[1], hashed(DOCUMENTS[start : start + 30]))
        one.verify()


# --- killed -----------------------------------------------------------------------------------------------------


def long_documents(count: int) -> Documents:
    """A shard of them takes a moment."""
    rng = np.random.default_rng(0)
    return [{"_id": f"d{n}", "text": " ".join(f"w{w}" for w in rng.integers(0, 9999, 8000))} for n in range(count)]


def kill_one_worker(folder: Path, killed: list[int], seen: dict[str, tuple[int, int]]) -> None:
    """Once two shards are there, ends the process that embeds."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not killed:
        marked = {path.name[1:-5] for path in folder.glob("*.partial/vectors/.part-*.json")}
        if len(marked) >= 2:
            (vectors,) = folder.glob("*.partial/vectors")
            seen.update({name: stamp for name, stamp in stamps(vectors).items() if name in marked})
            for child in psutil.Process().children(recursive=True):
                if "MapWorker" in " ".join(child.cmdline()):
                    os.kill(child.pid, signal.SIGKILL)
                    killed.append(child.pid)
        time.sleep(0.01)


def test_a_worker_killed_while_it_embeds_costs_no_finished_shard(
    ray_cluster: None, store: Store, make_corpus: Any, make_checkpoint: Any
) -> None:
    documents = long_documents(60)
    corpus, checkpoint = make_corpus(documents, shards=15), make_checkpoint("retriever")
    killed: list[int] = []
    seen: dict[str, tuple[int, int]] = {}
    killer = threading.Thread(target=kill_one_worker, args=(Path(store.root, "embedding"), killed, seen))
    killer.start()
    (embedding,) = run(store, request_of(corpus, checkpoint))
    killer.join()
    assert killed and 2 <= len(seen) < 15
    after = stamps(embedding.local() / "vectors")
    assert {name: after[name] for name in seen} == seen
    np.testing.assert_array_equal(stacked(embedding)[1], hashed(documents))
    embedding.verify()


DRIVER = """
import sys
import ray
from mixstage.corpus.tables import Corpus
from mixstage.embedding.embed import EmbeddingRequest, embed
from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.schema import IndexPlan
from mixstage.progress import Progress
from mixstage.plan.stages import Workers
from mixstage.store.store import Store
ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200 << 20)
store = Store(sys.argv[1])
(corpus,), (checkpoint,) = store.all(Corpus), store.all(Checkpoint)
request = EmbeddingRequest(texts=corpus, role="document", checkpoint=checkpoint, label="c")
embed(store, [request], IndexPlan(), label="t", workers=Workers(), progress=Progress())
"""


@pytest.mark.long
def test_a_driver_killed_with_all_its_workers_costs_no_finished_shard(
    ray_cluster: None, store: Store, make_corpus: Any, make_checkpoint: Any, tmp_path: Path
) -> None:
    corpus, checkpoint = make_corpus(long_documents(160), shards=40), make_checkpoint("retriever")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    with (tmp_path / "log").open("w") as log:
        victim = subprocess.Popen(
            [sys.executable, "-c", DRIVER, store.uri], env=environment, stdout=log, stderr=log, start_new_session=True
        )
        deadline = time.monotonic() + 300
        while len(marks := list(Path(store.root).glob("embedding/*.partial/vectors/.part-*.json"))) < 3:
            assert victim.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()[-2000:]
            time.sleep(0.01)
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
    marked = {path.name[1:-5] for path in marks}
    assert list(store.all(Embedding)) == []
    (partial,) = Path(store.root, "embedding").glob("*.partial/vectors")
    before = {name: stamp for name, stamp in stamps(partial).items() if name in marked}
    assert 3 <= len(before) < 40
    (embedding,) = run(store, request_of(corpus, checkpoint))
    after = stamps(embedding.local() / "vectors")
    assert {name: after[name] for name in before} == before
    (undisturbed,) = run(Store(store.uri + "-undisturbed"), request_of(corpus, checkpoint))
    assert embedding.files == undisturbed.files
    assert {path.name for path in (embedding.local() / "vectors").iterdir()} == set(after)
    embedding.verify()


# --- without a cluster ------------------------------------------------------------------------------------------


def test_a_found_embedding_needs_no_cluster_and_equal_weights_share_it(
    store: Store, make_corpus: Any, make_checkpoint: Any, tmp_path: Path
) -> None:
    """Published under the address that `embed` looks up: one per corpus, role, fingerprint, type and precision."""
    corpus, checkpoint = make_corpus(DOCUMENTS), make_checkpoint("retriever")
    recipe = request_of(corpus, checkpoint).recipe(IndexPlan())
    published = store.draft(Embedding, recipe).publish({"rows": 40})
    other_stage = make_checkpoint("retriever", into=Store(str(tmp_path / "elsewhere")))
    assert run(store, request_of(corpus, checkpoint)) == [published]
    assert run(store, request_of(corpus, other_stage), batch_tokens=512, stages_per_pass=1, workers=9) == [published]
    others = [
        request_of(corpus, checkpoint).recipe(IndexPlan(dtype="float32")),
        request_of(corpus, checkpoint).recipe(IndexPlan(precision="bfloat16")),
        request_of(corpus, checkpoint, "query").recipe(IndexPlan()),
    ]
    assert recipe not in others
    assert [other["dtype"] for other in others] == ["float32", "float16", "float32"]


def test_a_disk_that_is_too_small_is_refused_before_anything_starts(
    store: Store, make_corpus: Any, make_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, checkpoint = make_corpus(DOCUMENTS, shards=4), make_checkpoint("retriever")
    full_disk(monkeypatch, free=4000)
    # 40 vectors of 64 dimensions at 2 bytes
    message = f"the missing embeddings take 5,120 bytes, {store.root} has 4,000 free, 1,120 missing: free some or put"
    with pytest.raises(StoreError, match=message):
        run(store, request_of(corpus, checkpoint))
    assert list(store.all(Embedding)) == []


class Spy:
    """An encoder that notes what it is requests."""

    def __init__(self, encoder: Encoder, language: str = "words") -> None:
        self.encoder, self.dim, self.language = encoder, encoder.dim, language
        self.read: list[str] = []
        self.embedded = 0

    def vocabulary(self, role: Role) -> str:
        return self.language

    def tokenise(self, texts: Sequence[str], role: Role) -> Tokens:
        self.read += texts
        return self.encoder.tokenise(texts, role)

    def embed(self, tokens: Tokens) -> np.ndarray:
        self.embedded += len(tokens.ids)
        return self.encoder.embed(tokens)

    def encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
        return self.embed(self.tokenise(texts, role))


@pytest.fixture
def jobs(store: Store, make_corpus: Any, make_checkpoint: Any) -> Callable[..., list[Job]]:
    """Of the same corpus, a job per width."""

    def make(*dims: int) -> list[Job]:
        corpus = make_corpus(DOCUMENTS, shards=2)
        return [
            Job(
                texts=corpus,
                role="document",
                checkpoint=make_checkpoint("retriever", base=f"hashing://{dim}"),
                dtype="float32",
                precision="float32",
                draft=store.draft(Embedding, {"dim": dim}),
            )
            for dim in dims
        ]

    return make


@pytest.mark.parametrize(("languages", "read"), [(("a", "a"), 1), (("a", "b"), 2)])
def test_stages_that_read_alike_tokenise_once_and_each_embeds(jobs: Any, languages: Any, read: int) -> None:
    work = jobs(32, 64)
    spies = [Spy(HashingEncoder(dim), language) for dim, language in zip((32, 64), languages, strict=True)]
    encoders = {(job.checkpoint.digest, job.precision): spy for job, spy in zip(work, spies, strict=True)}
    part = {"name": "vectors/part-00000.parquet", "rows": [[2, 3], [9, 1]]}
    source = work[0].texts.names("documents/")[0]
    done = Embedder(work, None, encoders)({"source": source, "parts": [[0, part], [1, part]]})
    requests = [texts_of(DOCUMENTS)[n] for n in (2, 3, 4, 9)]
    assert spies[0].read + spies[1].read == requests * read
    assert [spy.embedded for spy in spies] == [4, 4]
    assert done["rows"] == 8
    for job, dim in zip(work, (32, 64), strict=True):
        table = pa.parquet.read_table(f"{job.draft.path}/vectors/part-00000.parquet")
        assert table["id"].to_pylist() == ["d2", "d3", "d4", "d9"]
        np.testing.assert_array_equal(vectors_of(table), HashingEncoder(dim).encode(requests, "document"))


def test_a_finished_part_is_not_embedded_again_and_another_cut_is(jobs: Any) -> None:
    (job,) = jobs(32)
    spy = Spy(HashingEncoder(32))
    embedder = Embedder([job], None, {(job.checkpoint.digest, job.precision): spy})
    source, name = job.texts.names("documents/")[0], "vectors/part-00000.parquet"
    for rows, total in (([[0, 5]], 5), ([[0, 5]], 5), ([[0, 6]], 11), ([[0, 5]], 16)):
        embedder({"source": source, "parts": [[0, {"name": name, "rows": rows}]]})
        assert spy.embedded == total


def test_texts_of_an_empty_shard_are_none(jobs: Any) -> None:
    (job,) = jobs(32)
    embedder = Embedder([job], None, {job.checkpoint.digest: Spy(HashingEncoder(32))})
    source = job.texts.names("documents/")[0]
    embedder({"source": source, "parts": [[0, {"name": "vectors/part-00000.parquet", "rows": []}]]})
    table = pa.parquet.read_table(f"{job.draft.path}/vectors/part-00000.parquet")
    assert vectors_of(table).shape == (0, 32)


def test_documents_are_read_as_models_read_them(jobs: Any) -> None:
    (job,) = jobs(32)
    read = read_texts(job.texts, "document", job.texts.names("documents/")[0])
    assert read["text"].to_pylist() == texts_of(DOCUMENTS)[: len(read)]


def test_a_budget_below_the_longest_text_is_refused(make_checkpoint: Any, tiny_model: Path) -> None:
    checkpoint = make_checkpoint("retriever", base=str(tiny_model), max_length=64)
    with pytest.raises(PlanError, match=r"index\.batch_tokens 63 is below max_length 64"):
        open_encoder(checkpoint, 63)
    tight, wide = open_encoder(checkpoint, 64), open_encoder(checkpoint)
    texts = texts_of(DOCUMENTS)
    np.testing.assert_allclose(tight.encode(texts, "document"), wide.encode(texts, "document"), atol=1e-5)


def test_vectors_are_read_as_single_precision(embed_plainly: Any, make_corpus: Any, make_checkpoint: Any) -> None:
    embedding = embed_plainly(make_corpus(DOCUMENTS), make_checkpoint("retriever"))
    vectors = read_vectors(embedding, embedding.shards[0])
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, hashed(DOCUMENTS).astype(np.float32))
