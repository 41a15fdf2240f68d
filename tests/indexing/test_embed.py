"""Embedding through Ray: the vectors of plain Python, resumed after a failure, shared by equal weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixstage.corpus.documents import document_text
from mixstage.indexing.embed import EmbedShard, embed, read_vectors
from mixstage.models.checkpoint import open_encoder
from mixstage.models.hashing import HashingEncoder
from mixstage.progress import Progress
from mixstage.stage_plan import Workers
from mixstage.store import Artifact, Store

DOCUMENTS = [{"_id": f"d{n}", "title": "T" * (n % 2), "text": f"article {n} of {n % 5} deposits"} for n in range(40)]


def run(store: Store, corpus: Artifact, checkpoint: Artifact, workers: int = 1) -> Artifact:
    return embed(store, corpus, checkpoint, label="test", workers=Workers(workers=workers), progress=Progress())


def stacked(embedding: Artifact) -> tuple[list[str], np.ndarray]:
    """Document ids and vectors, shard after shard."""
    names = embedding.names("vectors/", ".parquet")
    ids = [doc_id for name in names for doc_id in embedding.read_table(name, ["doc_id"])["doc_id"].to_pylist()]
    return ids, np.vstack([read_vectors(embedding, name) for name in names])


def test_an_embedding_is_what_plain_python_encodes_in_the_order_of_the_corpus(
    ray_cluster: None, store: Store, make_corpus: Any, make_checkpoint: Any
) -> None:
    corpus = make_corpus(DOCUMENTS, shards=4)
    embedding = run(store, corpus, make_checkpoint("retriever", base="hashing://64"), workers=2)
    ids, vectors = stacked(embedding)
    texts = [document_text(str(d["title"]), str(d["text"])) for d in DOCUMENTS]
    expected = HashingEncoder(64).encode(texts, "document").astype(np.float16)
    assert ids == [d["_id"] for d in DOCUMENTS]
    np.testing.assert_array_equal(vectors, expected.astype(np.float32))
    assert embedding.meta == {**embedding.meta, "documents": 40, "dim": 64, "corpus": corpus.digest}
    assert [embedding.files[name]["rows"] for name in embedding.names("vectors/")] == [
        corpus.files[name]["rows"] for name in corpus.names("documents/")
    ]
    embedding.verify()


def test_a_transformers_embedding_is_what_plain_python_encodes_in_half_precision(
    ray_cluster: None, store: Store, make_corpus: Any, make_checkpoint: Any, tiny_model: Path
) -> None:
    corpus = make_corpus(DOCUMENTS, shards=2)
    checkpoint = make_checkpoint("retriever", base=str(tiny_model), document_prompt="article: ")
    _, vectors = stacked(run(store, corpus, checkpoint))
    texts = [document_text(str(d["title"]), str(d["text"])) for d in DOCUMENTS]
    # half precision keeps 11 bits: coordinates below 1 are off by at most 2^-11 / 2
    np.testing.assert_allclose(vectors, open_encoder(checkpoint).encode(texts, "document"), atol=2**-12 + 1e-5)


def test_a_failed_run_keeps_its_finished_shards_and_the_next_one_makes_the_rest(
    ray_cluster: None, store: Store, make_corpus: Any, make_checkpoint: Any, tmp_path: Path
) -> None:
    corpus = make_corpus(DOCUMENTS, shards=4)
    checkpoint = make_checkpoint("retriever")
    lost = corpus.local() / corpus.names("documents/")[-1]
    lost.rename(tmp_path / "aside")
    with pytest.raises(Exception, match=lost.name):  # Ray wraps the FileNotFoundError of its worker
        run(store, corpus, checkpoint)
    assert list(store.all("embedding")) == []
    (partial,) = (tmp_path / "store/embedding").iterdir()
    before = {path.name: path.stat() for path in (partial / "vectors").glob("part-*.parquet")}
    assert set(before) == {Path(name).name for name in corpus.names("documents/")[:-1]}
    (tmp_path / "aside").rename(lost)
    embedding = run(store, corpus, checkpoint)
    for name, stat in before.items():
        after = (embedding.local() / "vectors" / name).stat()
        assert (after.st_ino, after.st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    assert stacked(embedding)[0] == [d["_id"] for d in DOCUMENTS]
    embedding.verify()


def test_a_found_embedding_needs_no_cluster_and_equal_weights_share_it(
    store: Store, make_corpus: Any, make_checkpoint: Any, tmp_path: Path
) -> None:
    """Written by plain Python under the address that `embed` looks up: one per corpus and fingerprint."""
    corpus = make_corpus(DOCUMENTS, shards=2)
    checkpoint = make_checkpoint("retriever")
    recipe = {
        "what": "embedding",
        "format": 1,
        "corpus": corpus.digest,
        "retriever": checkpoint.meta["fingerprint"],
        "dtype": "float16",
    }
    draft = store.draft("embedding", recipe)
    shard = EmbedShard(open_encoder(checkpoint), corpus, draft)
    for name in corpus.names("documents/"):
        shard({"name": name.replace("documents/", "vectors/"), "source": name})
    draft.publish({"documents": 40, "dim": 64})
    other_stage = make_checkpoint("retriever", into=Store(str(tmp_path / "elsewhere")))
    assert run(store, corpus, checkpoint, workers=1).digest == draft.digest
    assert run(store, corpus, other_stage, workers=9).digest == draft.digest
