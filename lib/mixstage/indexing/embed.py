"""Embeddings: every document of a corpus under one retriever checkpoint, as Parquet shards of unit vectors."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from mixstage.cluster import Item, map_shards
from mixstage.corpus.documents import document_text
from mixstage.models.checkpoint import open_encoder
from mixstage.models.encoder import Encoder
from mixstage.progress import Progress
from mixstage.stage_plan import Workers
from mixstage.store import Artifact, Draft, Store, digest_of

_FORMAT = 1  # raise when shards change


@dataclass(frozen=True, slots=True)
class EmbedShard:
    """Embeds one shard of documents and writes the shard of vectors with the same number."""

    encoder: Encoder
    corpus: Artifact
    draft: Draft

    def __call__(self, item: Item) -> Item:
        """{name, source} -> {name, rows, size, sha256}; writes doc_id, vector (dim,) float16 in the source's order."""
        table = self.corpus.read_table(item["source"], ["doc_id", "title", "text"])
        texts = [document_text(row["title"], row["text"]) for row in table.to_pylist()]
        vectors = self.encoder.encode(texts, "document").astype(np.float16)
        flat = pa.array(vectors.reshape(-1))
        shard = pa.table(
            {"doc_id": table["doc_id"], "vector": pa.FixedSizeListArray.from_arrays(flat, self.encoder.dim)}
        )
        return {"name": item["name"], "dim": self.encoder.dim, **self.draft.table(item["name"], shard)}


def _open(checkpoint: Artifact, corpus: Artifact, draft: Draft) -> EmbedShard:
    return EmbedShard(open_encoder(checkpoint), corpus, draft)


def embed(
    store: Store, corpus: Artifact, checkpoint: Artifact, *, label: str, workers: Workers, progress: Progress
) -> Artifact:
    """The embedding of a corpus under a retriever checkpoint: vectors/part-*.parquet, in row order.

    Addressed by the corpus and the checkpoint's fingerprint: stages with equal weights share it.
    """
    recipe = {
        "what": "embedding",
        "format": _FORMAT,
        "corpus": corpus.digest,
        "retriever": checkpoint.meta["fingerprint"],
        "dtype": "float16",
    }
    found = store.find("embedding", digest_of(recipe))
    if found is not None:
        return found
    draft = store.draft("embedding", recipe)
    items = [
        {"name": source.replace("documents/", "vectors/"), "source": source}
        for source in corpus.names("documents/", ".parquet")
    ]
    mapped = map_shards(draft, items, partial(_open, checkpoint, corpus, draft), workers=workers)
    sized = ((shard, shard["rows"]) for shard in mapped)
    total = corpus.meta["documents"]
    shards = list(progress.track_sized(sized, f"embed {label}", total=total, unit="documents"))
    draft.prune(shard["name"] for shard in shards)
    known = {s["name"]: {key: s[key] for key in ("size", "sha256", "rows")} for s in shards}
    meta = {"documents": total, "dim": shards[0]["dim"], "corpus": corpus.digest, "retriever": recipe["retriever"]}
    return draft.publish(meta, known)


def read_vectors(embedding: Artifact, name: str) -> np.ndarray:
    """(rows, dim) float32 of one shard."""
    column = embedding.read_table(name, ["vector"])["vector"].combine_chunks()
    flat = column.values.to_numpy(zero_copy_only=False).astype(np.float32)
    return np.asarray(flat.reshape(len(column), embedding.meta["dim"]))
