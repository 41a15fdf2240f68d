"""What a disk spoils is made again, that file alone, and then everything is as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixstage.corpus.prepare import Prepared
from mixstage.corpus.tables import Corpus
from mixstage.embedding.embed import EmbeddingRequest
from mixstage.embedding.vectors import Embedding
from mixstage.errors import DamagedError
from mixstage.index.build import TRAINED, build_generation
from mixstage.index.exact import search_shards
from mixstage.index.generation import Generation
from mixstage.index.indexer import Indexer
from mixstage.index.repair import damaged_files, repair_embedding, repair_generation
from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import IndexPlan
from mixstage.plan.stages import Workers
from mixstage.progress import Progress
from mixstage.store.store import Artifact, Store

DOCUMENTS = [{"_id": f"d{n}", "text": f"article {n} of {n % 5} deposits and {n * n} rents"} for n in range(60)]
ONE, TWO = Workers(), Workers(workers=2)


def spoil(artifact: Artifact, name: str, how: str) -> None:
    path = artifact.local() / name
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[len(content) // 3] ^= 4
    elif how == "truncated":
        del content[len(content) // 2 :]
    path.unlink()
    if how != "gone":
        path.write_bytes(content)


def writings(artifact: Artifact) -> dict[str, tuple[int, int]]:
    """Inode and time of writing of every file: a file system may give a new file the inode of the one it replaces."""
    stats = {name: (artifact.local() / name).stat() for name in artifact.files}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


@pytest.fixture
def corpus(make_corpus: Any) -> Corpus:
    made: Corpus = make_corpus(DOCUMENTS, shards=4)
    return made


@pytest.fixture
def checkpoint(make_checkpoint: Any) -> Checkpoint:
    made: Checkpoint = make_checkpoint("retriever")
    return made


@pytest.mark.parametrize("how", ["flipped", "truncated", "gone"])
def test_who_reads_a_damaged_shard_names_it(
    corpus: Corpus, checkpoint: Checkpoint, embed_plainly: Any, how: str
) -> None:
    embedding = embed_plainly(corpus, checkpoint)
    name = embedding.shards[1]
    spoil(embedding, name, how)
    with pytest.raises(DamagedError, match=rf"{embedding.path}/{name} (differs from its manifest|is missing)"):
        search_shards(embedding, embedding.shards, 0, np.ones((1, 64), dtype=np.float32), 3, on_gpu=False)


def test_damaged_shards_are_embedded_again_and_no_others(
    ray_cluster: None, store: Store, corpus: Corpus, checkpoint: Checkpoint, embed_plainly: Any
) -> None:
    embedding = embed_plainly(corpus, checkpoint)
    request = EmbeddingRequest(texts=corpus, role="document", checkpoint=checkpoint, label="c")
    spoilt = dict(zip(embedding.shards, ["flipped", "truncated", "gone"], strict=False))
    before = writings(embedding)
    for name, how in spoilt.items():
        spoil(embedding, name, how)
    stale = embedding.local() / "vectors/.part-00000.parquet.json"  # a note of an earlier repair that was killed
    stale.write_text('{"item": {"name": "vectors/part-00000.parquet", "rows": [[0, 15]]}, "summary": {}}')
    assert damaged_files(embedding, TWO) == sorted(spoilt)
    repaired = repair_embedding(store, embedding, request, IndexPlan(), TWO, Progress())
    assert repaired == embedding  # the manifest says what it said: the same bytes were made
    repaired.verify()
    after = writings(repaired)
    assert {name for name in after if after[name] != before[name]} == set(spoilt)
    assert not list(Path(repaired.path).rglob(".*"))
    assert store.get(Embedding, embedding.digest) == repaired
    assert repair_embedding(store, embedding, request, IndexPlan(), ONE, Progress()) == embedding


@pytest.mark.parametrize("spoilt", [["index-00001.faiss"], ["index-00000.npy", TRAINED], [TRAINED]])
def test_damaged_index_files_are_filled_again_and_no_others(
    ray_cluster: None, store: Store, make_embedding: Any, spoilt: list[str]
) -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    settings = IndexPlan(factory="IVF4,SQ8", search="nprobe=4", rescore=4, shard_rows=100, floor=0)
    embedding = make_embedding(vectors, (100, 200))
    generation = build_generation(store, embedding, settings, vectors[:5], label="c", workers=TWO, progress=Progress())
    before = writings(generation)
    for name in spoilt:
        spoil(generation, name, "flipped")
    repaired = repair_generation(store, generation, embedding, settings, TWO, Progress())
    repaired.verify()
    assert repaired.files == generation.files  # FAISS learns the same clusters from the same rows
    assert store.get(Generation, generation.digest) == repaired
    pairs = {name.rpartition(".")[0] for name in spoilt} - {TRAINED.rpartition(".")[0]}
    after = writings(repaired)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {name for name in before if name.rpartition(".")[0] in pairs or name in spoilt}


def test_the_indexer_repairs_what_a_plan_embedded_and_indexed(
    ray_cluster: None, store: Store, corpus: Corpus, checkpoint: Checkpoint, embed_plainly: Any
) -> None:
    plan = parse_plan(
        {
            "name": "t",
            "corpora": {"law": {"source": "sample://statutes"}},
            "applications": {"a": {"corpus": "law", "source": "sample://counsel"}},
            "retriever": {"base": "hashing://64"},
        }
    )
    embedding = embed_plainly(corpus, checkpoint)
    generation = build_generation(
        store, embedding, plan.index, np.empty((0, 64), dtype=np.float32), label="c", workers=ONE, progress=Progress()
    )
    prepared = Prepared(plan=plan, store=store, progress=Progress(), corpora={"law": corpus}, applications={})
    indexer = Indexer(prepared=prepared)
    spoil(embedding, embedding.shards[0], "flipped")
    spoil(generation, "index-00000.faiss", "truncated")
    indexer.repair({"base": checkpoint})
    for artifact in (store.get(Embedding, embedding.digest), store.get(Generation, generation.digest)):
        artifact.verify()
