"""BM25: the retriever without weights, through bm25s; an index of a part of a corpus scores as that of the whole."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import polars as pl

from mixstage.errors import InputError
from mixstage.models.words import words
from mixstage.plan.data import Language

K1, B = 1.2, 0.75  # Lucene's defaults
_METHOD = "lucene"
_LANGUAGE_FILE = "language.json"


@dataclass(frozen=True, slots=True)
class Bm25:
    """The retriever without weights: it takes a checkpoint's place wherever documents are searched."""

    fingerprint: ClassVar[str] = "bm25"


BM25 = Bm25()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What BM25 has to know of a whole corpus; those of its parts add up."""

    documents: int
    length: int  # words of all documents together
    frequencies: pl.DataFrame  # word str, documents int64 that hold it; a row a word, in no order

    @classmethod
    def of(cls, documents: Sequence[list[str]]) -> "Statistics":
        """documents: the words of each, as `words` gives them."""
        counts = Counter(chain.from_iterable(map(set, documents)))
        return cls(
            documents=len(documents),
            length=sum(map(len, documents)),
            frequencies=pl.DataFrame(
                {"word": list(counts), "documents": list(counts.values())},
                schema={"word": pl.String, "documents": pl.Int64},
            ),
        )

    def __add__(self, other: "Statistics") -> "Statistics":
        both = pl.concat([self.frequencies, other.frequencies])
        return Statistics(
            documents=self.documents + other.documents,
            length=self.length + other.length,
            frequencies=both.group_by("word").agg(pl.col("documents").sum()),
        )

    def refuse_wordless(self) -> None:
        """Raises InputError if the documents hold no word."""
        if not self.length:
            raise InputError(
                f"BM25 finds no word in {self.documents} documents, only stop words and punctuation: give them text, "
                "or set grid.bm25: false and take another miner"
            )

    def frequencies_of(self, vocabulary: Sequence[str]) -> np.ndarray:
        """(V,) int64: the documents that hold each word, 0 for a word of none."""
        words = pl.DataFrame({"word": vocabulary}, schema={"word": pl.String})
        counts = words.join(self.frequencies, on="word", how="left", maintain_order="left")
        return counts["documents"].fill_null(0).to_numpy()


class Lexical:
    """A BM25 index over documents numbered by row."""

    def __init__(self, index: Any, language: Language) -> None:
        self.index, self.language = index, language

    @property
    def rows(self) -> int:
        return int(self.index.scores["num_docs"])

    @classmethod
    def build(
        cls, texts: Sequence[str], language: Language = "english", statistics: Statistics | None = None
    ) -> "Lexical":
        """Indexes (N,) texts; row i is text i. statistics: of the corpus that the texts are a part of, None if they are
        the whole. Raises InputError if the corpus holds no word; a part may hold none.
        """
        import bm25s

        documents = words(texts, language)
        statistics = Statistics.of(documents) if statistics is None else statistics
        statistics.refuse_wordless()
        index = bm25s.BM25(method=_METHOD, k1=K1, b=B)
        # The empty word stands in no document: its empty column keeps bm25s from failing where there is no other.
        vocabulary = sorted({"", *chain.from_iterable(documents)})
        index.vocab_dict = {word: number for number, word in enumerate(vocabulary)}
        index.scores = _score_matrix(documents, index.vocab_dict, statistics)
        index.nonoccurrence_array = None  # of other methods than Lucene's
        return cls(index, language)

    def save(self, folder: Path) -> None:
        self.index.save(str(folder), show_progress=False)
        (folder / _LANGUAGE_FILE).write_text(json.dumps(self.language))

    @classmethod
    def load(cls, folder: Path) -> "Lexical":
        """The scores stay on disk until a query needs them; the vocabulary is read."""
        import bm25s

        language = cast(Language, json.loads((folder / _LANGUAGE_FILE).read_text()))
        return cls(bm25s.BM25.load(str(folder), mmap=True, show_progress=False), language)

    def search(self, queries: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        """(Q,) queries -> scores (Q, k) float32, rows (Q, k) int64; rows that share no word with a query are -1."""
        return self.find(words(queries, self.language), k)

    def find(
        self, queries: list[list[str]], k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """`search` for queries that are given as words. allowed: (rows,) bool, the rows that may be returned."""
        k = min(k, self.rows)
        if not queries or not k:
            return np.empty((len(queries), k), dtype=np.float32), np.empty((len(queries), k), dtype=np.int64)
        rows, scores = self.index.retrieve(queries, k=k, show_progress=False, weight_mask=allowed)
        return scores.astype(np.float32), np.where(scores > 0, rows.astype(np.int64), -1)


def _score_matrix(documents: Sequence[list[str]], numbers: dict[str, int], statistics: Statistics) -> dict[str, Any]:
    """bm25s' (documents, vocabulary) matrix in CSC form: what each word adds to the score of each document.

    Lucene's formula: idf x tf / (tf + k1 (1 - b + b length / average)), idf = ln(1 + (N - df + 0.5) / (df + 0.5)).
    The operations, their order and their types are those of bm25s.scoring, so that a part of a corpus has, bit for bit,
    the scores that bm25s gives the whole: the idf is rounded to float32, then all is float64 until the end.
    """
    lengths = np.fromiter(map(len, documents), dtype=np.int64, count=len(documents))
    word = np.fromiter((numbers[w] for w in chain.from_iterable(documents)), dtype=np.int64, count=lengths.sum())
    pairs, tf = np.unique(word << 32 | np.repeat(np.arange(len(documents)), lengths), return_counts=True)
    word, row = pairs >> 32, pairs & 0xFFFFFFFF
    own = np.bincount(word, minlength=len(numbers))
    df = statistics.frequencies_of(list(numbers))
    assert (df >= own).all(), "statistics of another corpus"
    n = statistics.documents
    idf = np.array([math.log(1 + (n - f + 0.5) / (f + 0.5)) for f in df.tolist()], dtype=np.float32)
    norm = K1 * ((1 - B) + B * lengths / (statistics.length / n))
    return {
        "data": (idf[word] * (tf / (norm[row] + tf))).astype(np.float32),
        "indices": row.astype(np.int32),
        "indptr": np.concatenate([[0], np.cumsum(own)]),
        "num_docs": len(documents),
    }
