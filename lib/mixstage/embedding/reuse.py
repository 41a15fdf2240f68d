"""Which texts have to be embedded, and where the vectors of the others lie.

A vector belongs to (retriever, text): a text that an earlier embedding holds is copied, one that stands twice in a
corpus is embedded once. What comes from where is noted in runs, so that a corpus of which a hundredth changed is a
short list, however long it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from mixstage.embedding.vectors import Embedding, key_halves

Run = tuple[int, int, int, int]  # first row of the shard, rows, file (-1: to be embedded), first row in that file
_HALVES = ["high", "low"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourcing:
    """Where each row of a new embedding comes from."""

    runs: list[list[Run]]  # of every shard; together they cover its rows in order
    files: list[tuple[str, str]]  # (digest of an earlier embedding, its shard) by number; own shards follow, by theirs
    embedded: int
    reused: int  # from earlier embeddings
    repeated: int  # from another row of this one
    removed: int  # texts of the nearest earlier embedding that are gone

    def own(self, file: int) -> int | None:
        """The shard of this embedding that a file number stands for, None for a file of an earlier one."""
        return file - len(self.files) if file >= len(self.files) else None


def source(keys: Sequence[pa.ChunkedArray], earlier: Sequence[Embedding]) -> Sourcing:
    """keys: the text keys of every shard, in row order. earlier: embeddings by the same retriever in the same type.

    Held in memory: 40 bytes a row of the new embedding and 24 of each earlier one.
    """
    rows = _rows(keys).with_row_index("at")
    files, known = _known(earlier)
    unique = known.unique(_HALVES, keep="first", maintain_order=True)
    placed = rows.join(unique, on=_HALVES, how="left", maintain_order="left")
    new = placed.filter(pl.col("file").is_null())
    first = new.unique(_HALVES, keep="first", maintain_order=True).sort("at")
    fresh = first.with_columns(
        own=pl.col("shard") + len(files), place=pl.int_range(pl.len()).over("shard").cast(pl.UInt32)
    )
    owners = fresh.select(*_HALVES, "own", "place", owner="at")
    placed = placed.join(owners, on=_HALVES, how="left", maintain_order="left")
    is_fresh = (pl.col("owner") == pl.col("at")).fill_null(False)
    placed = placed.with_columns(
        file=pl.when(is_fresh).then(-1).otherwise(pl.coalesce("file", "own")),
        source=pl.when(is_fresh).then(0).otherwise(pl.coalesce("source", "place")),
    )
    reused = len(rows) - len(new)
    return Sourcing(
        runs=_runs(placed, len(keys)),
        files=files,
        embedded=len(fresh),
        reused=reused,
        repeated=len(new) - len(fresh),
        removed=_removed(known, rows, files),
    )


def _rows(keys: Sequence[pa.ChunkedArray]) -> pl.DataFrame:
    """high, low uint64; shard, row uint32."""
    frames = [_halves(column).with_columns(shard=pl.lit(n, dtype=pl.UInt32)) for n, column in enumerate(keys)]
    return pl.concat(frames).with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32).over("shard"))


def _halves(keys: pa.ChunkedArray) -> pl.DataFrame:
    high, low = key_halves(keys)
    return pl.DataFrame({"high": high, "low": low}, schema=dict.fromkeys(_HALVES, pl.UInt64))


def _known(earlier: Sequence[Embedding]) -> tuple[list[tuple[str, str]], pl.DataFrame]:
    """Files by number; high, low, file, source (row in the file) of every stored vector."""
    files = [(embedding.digest, name) for embedding in earlier for name in embedding.shards]
    by_digest = {embedding.digest: embedding for embedding in earlier}
    schema = {**dict.fromkeys(_HALVES, pl.UInt64), "file": pl.Int64, "source": pl.UInt32}
    frames = [pl.DataFrame(schema=schema)]
    for number, (digest, name) in enumerate(files):
        frame = _halves(by_digest[digest].read_table(name, ["key"])["key"])
        frames.append(
            frame.with_columns(file=pl.lit(number, dtype=pl.Int64), source=pl.int_range(pl.len(), dtype=pl.UInt32))
        )
    return files, pl.concat(frames)


def _runs(placed: pl.DataFrame, shards: int) -> list[list[Run]]:
    columns = [placed[name].cast(pl.Int64).to_numpy() for name in ("shard", "row", "file", "source")]
    shard, row, file, place = columns
    begins = np.ones(len(placed), dtype=bool)
    goes_on = (np.diff(shard) == 0) & (np.diff(file) == 0) & ((file[1:] == -1) | (np.diff(place) == 1))
    begins[1:] = ~goes_on
    starts = np.flatnonzero(begins)
    counts = np.diff([*starts, len(placed)])
    runs: list[list[Run]] = [[] for _ in range(shards)]
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        runs[shard[start]].append((int(row[start]), count, int(file[start]), int(place[start])))
    return runs


def _removed(known: pl.DataFrame, rows: pl.DataFrame, files: list[tuple[str, str]]) -> int:
    """How many texts of an earlier embedding are in no document any more: of the one that shares most texts."""
    if known.is_empty():
        return 0
    digests = pl.Series("of", [digest for digest, _ in files])
    texts = known.select(*_HALVES, of=digests.gather(known["file"])).unique()
    kept = texts.join(rows.select(_HALVES).unique(), on=_HALVES, how="semi")
    counts = texts.group_by("of").len("texts").join(kept.group_by("of").len("kept"), on="of", how="left")
    nearest = counts.with_columns(pl.col("kept").fill_null(0)).sort("kept", "of", descending=True).row(0, named=True)
    return int(nearest["texts"] - nearest["kept"]) if nearest["kept"] else 0
