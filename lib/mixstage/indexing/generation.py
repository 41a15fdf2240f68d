"""Index generations: what a retriever searches in a corpus, built from stored vectors or, for BM25, from the texts."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixstage.cluster import run_tasks
from mixstage.corpus.documents import document_text, iterate_documents
from mixstage.indexing.embed import read_vectors
from mixstage.models.lexical import K1, B, Lexical
from mixstage.stage_plan import Workers
from mixstage.store import Artifact, Store, digest_of

_FORMAT = 1  # raise when files change
_SHARD_ROWS = 500_000  # vectors a FAISS file holds: 0.8 GB at 384 dimensions


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring vector shards that go into one FAISS file."""

    name: str
    start: int  # first row of the corpus
    stop: int
    shards: list[str]


def build_generation(store: Store, corpus: Artifact, embedding: Artifact | None) -> Artifact:
    """The exact FAISS generation of an embedding, or the BM25 generation of a corpus when there is none.

    meta: documents, corpus, retriever (fingerprint or "bm25"), shards [{name, start, stop}] in row order.
    """
    recipe: dict[str, Any] = {"what": "generation", "format": _FORMAT, "corpus": corpus.digest}
    if embedding is None:
        recipe |= {"lexical": {"model": "bm25", "k1": K1, "b": B, "language": "english"}}
    else:
        recipe |= {"embedding": embedding.digest, "factory": "Flat"}
    found = store.find("generation", digest_of(recipe))
    return found or next(iter(run_tasks(_build, [(store, corpus, embedding, recipe)], workers=Workers())))


def _build(store: Store, corpus: Artifact, embedding: Artifact | None, recipe: dict[str, Any]) -> Artifact:
    meta = {"documents": corpus.meta["documents"], "corpus": corpus.digest}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        draft = store.draft("generation", recipe)
        if embedding is None:
            _lexical(corpus).save(scratch)
            draft.folder(scratch)
            return draft.publish({**meta, "retriever": "bm25", "shards": []})
        groups = _groups(embedding)
        for group in groups:
            _write_faiss(embedding, group, str(scratch / group.name))
        draft.folder(scratch)
        shards = [{"name": group.name, "start": group.start, "stop": group.stop} for group in groups]
        return draft.publish({**meta, "retriever": embedding.meta["retriever"], "shards": shards})


def _lexical(corpus: Artifact) -> Lexical:
    tables = iterate_documents(corpus, ["title", "text"])
    return Lexical.build([document_text(row["title"], row["text"]) for table in tables for row in table.to_pylist()])


def _groups(embedding: Artifact) -> list[Group]:
    groups: list[Group] = []
    row = 0
    for name in embedding.names("vectors/", ".parquet"):
        rows = embedding.files[name]["rows"]
        if not groups or row + rows - groups[-1].start > _SHARD_ROWS:
            groups.append(Group(f"index-{len(groups):05d}.faiss", row, row, []))
        last = groups[-1]
        groups[-1] = Group(last.name, last.start, row + rows, [*last.shards, name])
        row += rows
    return groups


def _write_faiss(embedding: Artifact, group: Group, path: str) -> None:
    import faiss

    index = faiss.index_factory(embedding.meta["dim"], "Flat", faiss.METRIC_INNER_PRODUCT)
    for name in group.shards:
        index.add(read_vectors(embedding, name))
    faiss.write_index(index, path)
