"""Rows of a corpus and the ids of their documents, both ways."""

from typing import Protocol

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from mixstage.corpus.documents import iterate_documents
from mixstage.corpus.tables import Corpus


class DocumentIds(Protocol):
    """Who knows which document stands in which row."""

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray) -> pl.Series:
        """(N,) int64 rows -> (N,) ids."""
        ...

    def find(self, doc_ids: pl.Series) -> np.ndarray:
        """(N,) ids -> (N,) int64 rows, -1 for an id that the corpus lacks."""
        ...


class LoadedIds:
    """The ids of a corpus, all in memory: for a server."""

    def __init__(self, corpus: Corpus) -> None:
        self.doc_ids = pa.concat_tables(list(iterate_documents(corpus, ["doc_id"])))["doc_id"].combine_chunks()

    def __len__(self) -> int:
        return len(self.doc_ids)

    def take(self, rows: np.ndarray) -> pl.Series:
        return pl.Series("doc_id", self.doc_ids.take(pa.array(rows)), dtype=pl.String)

    def find(self, doc_ids: pl.Series) -> np.ndarray:
        rows = pc.index_in(doc_ids.to_arrow().cast(pa.string()), value_set=self.doc_ids.cast(pa.string()))
        return np.asarray(rows.fill_null(-1).to_numpy(), dtype=np.int64)


class StoredIds:
    """The ids of a corpus, read shard by shard at each call: memory does not grow with it. For many queries at once."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        rows = [corpus.rows(name) for name in corpus.shards]
        self.shards = list(zip(corpus.shards, np.cumsum([0, *rows]), strict=False))

    def __len__(self) -> int:
        return self.corpus.documents

    def take(self, rows: np.ndarray) -> pl.Series:
        unique, place = np.unique(rows, return_inverse=True)
        parts = [pl.Series("doc_id", [], dtype=pl.String)]
        for name, start in self.shards:
            inside = unique[(unique >= start) & (unique < start + self.corpus.rows(name))]
            if len(inside):
                column = self.corpus.read_table(name, ["doc_id"])["doc_id"].combine_chunks()
                parts.append(pl.Series("doc_id", column.take(pa.array(inside - start)), dtype=pl.String))
        return pl.concat(parts).gather(place)

    def find(self, doc_ids: pl.Series) -> np.ndarray:
        ids = pl.DataFrame({"doc_id": doc_ids}, schema={"doc_id": pl.String})
        unique = ids.unique()
        parts = [pl.DataFrame(schema={"doc_id": pl.String, "row": pl.Int64})]
        for name, start in self.shards:
            shard = pl.DataFrame(self.corpus.read_table(name, ["doc_id"])).with_row_index("row")
            held = shard.join(unique, on="doc_id", how="semi")
            parts.append(held.select("doc_id", pl.col("row").cast(pl.Int64) + int(start)))
        rows = ids.join(pl.concat(parts), on="doc_id", how="left", maintain_order="left")["row"]
        return np.asarray(rows.fill_null(-1).to_numpy())
