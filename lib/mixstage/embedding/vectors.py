"""Embeddings as they are stored: shards of vectors, how they are written, read and looked up."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa

from mixstage.cluster import run_tasks
from mixstage.corpus.hashing import text_key
from mixstage.models.checkpoint import GOLDEN, Checkpoint, open_encoder
from mixstage.plan.stages import Workers
from mixstage.store.store import Artifact


class Embedding(Artifact):
    """Texts under a retriever: vectors/part-*.parquet with a row a text, those of documents in the corpus's shards."""

    kind = "embedding"
    FORMAT = 2  # raise when shards change
    __slots__ = ()

    @property
    def texts(self) -> str:
        """Digest of the corpus whose documents, or of the application whose queries were embedded."""
        return str(self.meta["of"])

    @property
    def retriever(self) -> str:
        """Fingerprint of the checkpoint whose vectors these are."""
        return str(self.meta["retriever"])

    @property
    def rows(self) -> int:
        return int(self.meta["rows"])

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return int(self.meta["dim"])

    @property
    def dtype(self) -> str:
        """The type in which vectors are stored: float16 or float32."""
        return str(self.recipe["dtype"])

    @property
    def shards(self) -> list[str]:
        """Names of the files of vectors, in row order."""
        return self.names("vectors/", ".parquet")

    def starts(self) -> np.ndarray:
        """(len(shards) + 1,) int64: the row at which each shard begins, and at which the last one ends."""
        return np.cumsum([0, *(self.files[name]["rows"] for name in self.shards)])


def vector_table(
    ids: pa.Array, keys: pa.Array, tokens: np.ndarray, truncated: np.ndarray, vectors: np.ndarray
) -> pa.Table:
    """A shard: id, key (of the text), tokens (that the model read), truncated, vector; a row a text.

    vectors: (rows, dim) float16 or float32, rows of unit length.
    """
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    return pa.table(
        {
            "id": ids,
            "key": keys,
            "tokens": pa.array(tokens, pa.int32()),
            "truncated": pa.array(truncated, pa.bool_()),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
    )


def vectors_of(table: pa.Table) -> np.ndarray:
    """(rows, dim) of a shard's table, in the type in which they are stored."""
    column = table["vector"].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(len(column), column.type.list_size))


def read_vectors(embedding: Embedding, name: str) -> np.ndarray:
    """(rows, dim) float32 of one shard; raises DamagedError if the file is not the one that was published."""
    return vectors_of(embedding.read_checked(name, ["vector"])).astype(np.float32)


def key_halves(keys: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Keys of 16 bytes as two (N,) uint64: what polars joins without a string a row."""
    column = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    halves = np.frombuffer(column.buffers()[1], dtype="<u8").reshape(-1, 2)[column.offset : column.offset + len(column)]
    return halves[:, 0], halves[:, 1]


class QueryVectors:
    """Vectors of queries under one retriever: read where an application has them, else encoded."""

    def __init__(self, checkpoint: Checkpoint, embeddings: Sequence[Embedding], workers: Workers) -> None:
        """embeddings: of applications, by this retriever."""
        self.checkpoint, self.embeddings = checkpoint, embeddings
        self.workers = workers.model_copy(update={"workers": 1})

    def of(self, queries: Sequence[str]) -> np.ndarray:
        """(Q,) texts -> (Q, dim) float32, rows of unit length."""
        keys = [text_key(query) for query in queries]
        missing = [query for query, key in zip(queries, keys, strict=True) if key not in self.known]
        if missing:
            texts = list(dict.fromkeys(missing))
            (vectors,) = run_tasks(encode_queries, [(self.checkpoint, texts)], workers=self.workers)
            self.known.update(zip(map(text_key, texts), vectors, strict=True))
        dim = len(self.checkpoint.read_json(GOLDEN)[0])
        return np.array([self.known[key] for key in keys], dtype=np.float32).reshape(len(keys), dim)

    @cached_property
    def known(self) -> dict[bytes, np.ndarray]:
        """text_key -> the query's vector (dim,), of all embeddings."""
        vectors: dict[bytes, np.ndarray] = {}
        for embedding in self.embeddings:
            table = embedding.read_checked("vectors/part-00000.parquet", ["key", "vector"])
            vectors.update(zip(table["key"].to_pylist(), vectors_of(table), strict=True))
        return vectors


def encode_queries(checkpoint: Checkpoint, texts: list[str]) -> np.ndarray:
    """What a task does: (Q, dim) float32."""
    return open_encoder(checkpoint).encode(texts, "query")
