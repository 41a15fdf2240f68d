"""A deterministic encoder and reranker without weights: for tests, smoke runs and as the floor of a comparison.

Texts become bags of hashed words. They are full citizens: they have a folder, a fingerprint and golden records.
"""

import re
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mixstage.models.encoder import Role, Tokens

_WORD = re.compile(r"\w+")


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


class HashingEncoder:
    """Bag of words, hashed into `dim` signed buckets (Weinberger et al., 2009)."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def vocabulary(self, role: Role) -> str:
        return "crc32 of words"

    def tokenise(self, texts: Sequence[str], role: Role) -> Tokens:
        """Both roles are read alike, and to their end."""
        ids = [[zlib.crc32(word.encode()) for word in _words(text)] for text in texts]
        return Tokens(ids=ids, truncated=np.zeros(len(texts), dtype=bool))

    def encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
        return self.embed(self.tokenise(texts, role))

    def embed(self, tokens: Tokens) -> np.ndarray:
        """(N, dim) float32, rows of unit length."""
        vectors = np.zeros((len(tokens.ids), self.dim), dtype=np.float32)
        for row, codes in enumerate(tokens.ids):
            for code, count in Counter(codes).items():
                vectors[row, code % self.dim] += (1 if code >> 31 else -1) * count
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[norms[:, 0] == 0, 0] = 1  # a text without words still has a direction
        return vectors / np.where(norms == 0, 1, norms)


class HashingReranker:
    """Share of the query's distinct words that the document holds, less a small price for length."""

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
        """(N,) queries, (N,) documents -> (N,) float32."""
        return np.array([self._one(q, d) for q, d in zip(queries, documents, strict=True)], dtype=np.float32)

    def _one(self, query: str, document: str) -> float:
        words, held = set(_words(query)), _words(document)
        return len(words & set(held)) / max(len(words), 1) - 1e-4 * len(held)
