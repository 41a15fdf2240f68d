"""An encoder for tests of search."""

from collections.abc import Sequence

import numpy as np

from mixstage.models.encoder import Role, Tokens


class Coordinates:
    """An encoder of texts that are their own vectors: "1 0 0 2". Small whole numbers make exact scores, and ties."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def vocabulary(self, role: Role) -> str:
        return "numbers"

    def tokenise(self, texts: Sequence[str], role: Role) -> Tokens:
        return Tokens(ids=[list(map(int, text.split())) for text in texts], truncated=np.zeros(len(texts), dtype=bool))

    def embed(self, tokens: Tokens) -> np.ndarray:
        return np.array(tokens.ids, dtype=np.float32).reshape(-1, self.dim)

    def encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
        return self.embed(self.tokenise(texts, role))
