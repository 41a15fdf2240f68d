"""BM25: the retriever without weights, through bm25s."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixstage.errors import InputError

K1, B = 1.2, 0.75  # Lucene's defaults
_METHOD = "lucene"


class Lexical:
    """A BM25 index over documents numbered by row; English stop words and Snowball stemmer."""

    def __init__(self, index: Any, rows: int) -> None:
        self.index, self.rows = index, rows

    @classmethod
    def build(cls, texts: Sequence[str]) -> "Lexical":
        """Indexes (N,) texts; row i is text i. Raises InputError if they hold no word."""
        import bm25s

        words = _tokens(texts)
        if not any(words):
            raise InputError(
                f"BM25 finds no word in {len(texts)} documents, only stop words and punctuation: give them text, or "
                "set grid.bm25: false and take another miner"
            )
        index = bm25s.BM25(method=_METHOD, k1=K1, b=B)
        index.index(words, show_progress=False)
        return cls(index, len(texts))

    def save(self, folder: Path) -> None:
        self.index.save(str(folder))
        (folder / "rows.json").write_text(json.dumps(self.rows))

    @classmethod
    def load(cls, folder: Path) -> "Lexical":
        import bm25s

        return cls(bm25s.BM25.load(str(folder), mmap=True), json.loads((folder / "rows.json").read_text()))

    def search(self, queries: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        """(Q,) queries -> scores (Q, k) float32, rows (Q, k) int64; rows that share no term with a query are -1."""
        k = min(k, self.rows)
        if not queries:
            return np.empty((0, k), dtype=np.float32), np.empty((0, k), dtype=np.int64)
        rows, scores = self.index.retrieve(_tokens(queries), k=k, show_progress=False)
        return scores.astype(np.float32), np.where(scores > 0, rows.astype(np.int64), -1)

    def score(self, queries: Sequence[str], rows: np.ndarray) -> np.ndarray:
        """NaN, shaped like `rows`: BM25 scores say nothing of one query's documents against another's margin."""
        return np.full(rows.shape, np.nan, dtype=np.float32)


def _tokens(texts: Sequence[str]) -> Any:
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    return bm25s.tokenize(list(texts), stopwords="en", stemmer=stemmer, show_progress=False, return_ids=False)
