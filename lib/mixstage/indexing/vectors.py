"""Shards of vectors: how they are written, read and looked up."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from mixstage.store import Artifact


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


def read_vectors(embedding: Artifact, name: str) -> np.ndarray:
    """(rows, dim) float32 of one shard; raises DamagedError if the file is not the one that was published."""
    return vectors_of(embedding.read_checked(name, ["vector"])).astype(np.float32)


def shard_names(embedding: Artifact) -> list[str]:
    """In row order."""
    return embedding.names("vectors/", ".parquet")


def shard_starts(embedding: Artifact, names: Sequence[str]) -> np.ndarray:
    """(len(names) + 1,) int64: the row at which each shard begins, and at which the last one ends."""
    return np.cumsum([0, *(embedding.files[name]["rows"] for name in names)])


def key_halves(keys: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Keys of 16 bytes as two (N,) uint64: what polars joins without a string a row."""
    column = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    halves = np.frombuffer(column.buffers()[1], dtype="<u8").reshape(-1, 2)[column.offset : column.offset + len(column)]
    return halves[:, 0], halves[:, 1]
