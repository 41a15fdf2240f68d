"""How long texts are in the tokens of a base model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixstage.models.base import locate

_HASHING = "hashing://"  # reads words, however many
_CHARACTERS = 3  # a token of a model that does not say how it cuts texts, of an alphabet; a Han character is a token
_READ = 100_000  # characters of a text that are cut into tokens: more than any model reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens of a sample of texts, sorted."""

    tokens: np.ndarray  # (N,) int64, ascending
    unknown: float  # share of the tokens that the model does not know

    def quantile(self, share: float) -> int:
        """Tokens that this share of the texts have at most."""
        return int(np.quantile(self.tokens, share, method="higher")) if len(self.tokens) else 0

    def above(self, limit: int) -> float:
        """Share of the texts that are longer."""
        return float((self.tokens > limit).mean()) if len(self.tokens) else 0.0


def measure_lengths(texts: Sequence[str], base: str) -> Lengths:
    """Lengths of the texts as the base model's tokenizer cuts them; raises ModelError if there is no such model."""
    if base.startswith(_HASHING):
        return Lengths(tokens=np.sort([len(text.split()) for text in texts] or np.zeros(0, dtype=int)), unknown=0.0)
    file = locate(base) / "tokenizer.json"
    if not file.is_file():
        counts = [sum(1 if character > "\u2e7f" else 1 / _CHARACTERS for character in text) for text in texts]
        return Lengths(tokens=np.sort(np.ceil(counts).astype(int)), unknown=0.0)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoded = tokenizer.encode_batch([text[:_READ] for text in texts])
    unknown = getattr(tokenizer.model, "unk_token", None)
    tokens = [len(one.ids) for one in encoded]
    strange = sum(one.tokens.count(unknown) for one in encoded) if unknown else 0
    return Lengths(tokens=np.sort(np.array(tokens, dtype=int)), unknown=strange / max(1, sum(tokens)))
