"""Vectors of texts that clients send, by a retriever's own encoder."""

import threading
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from mixstage.models.encoder import Encoder, Role, Tokens
from mixstage.serve.workers.batcher import CHARACTERS, IdleBatcher


@dataclass(frozen=True, slots=True)
class _Texts:
    texts: list[str]
    kind: Role

    @property
    def characters(self) -> int:
        return sum(map(len, self.texts))


class TextEmbedder:
    """Embeds texts; requests that wait for the encoder are read in one call, whatever their kind.

    lock: held while the encoder is used, because a tokenizer that two threads use at once fails ("Already borrowed").
    """

    def __init__(self, encoder: Encoder, lock: threading.Lock) -> None:
        self.encoder, self.lock = encoder, lock
        self.batcher = IdleBatcher(self._embed, size=lambda request: request.characters, budget=CHARACTERS)

    async def embed(self, texts: list[str], kind: Role) -> tuple[np.ndarray, int]:
        """(N,) texts -> (N, dim) float32, rows of unit length in input order, and the tokens that were read."""
        return await self.batcher.ask(_Texts(texts, kind))

    def _embed(self, requests: list[_Texts]) -> list[tuple[np.ndarray, int]]:
        with self.lock:
            read = [self.encoder.tokenise(request.texts, request.kind) for request in requests]
            ids = [text for tokens in read for text in tokens.ids]
            truncated = np.concatenate([tokens.truncated for tokens in read])
            vectors = self.encoder.embed(Tokens(ids=ids, truncated=truncated))
        ends = accumulate((len(tokens.ids) for tokens in read), initial=0)
        counts = [int(tokens.lengths.sum()) for tokens in read]
        return [(vectors[start:end], count) for (start, end), count in zip(pairwise(ends), counts, strict=True)]
