"""Encoders: texts to unit vectors."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from mixstage.errors import PlanError
from mixstage.models.batching import budget_for, pack, packed, padded, token_batches

Role = Literal["query", "document"]
Precision = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """N texts as a model reads them."""

    ids: list[list[int]]  # after truncation
    truncated: np.ndarray  # (N,) bool: the text was longer than the model reads

    @property
    def lengths(self) -> np.ndarray:
        """(N,) int32."""
        return np.fromiter(map(len, self.ids), dtype=np.int32, count=len(self.ids))


class Encoder(Protocol):
    """Anything that embeds texts."""

    @property
    def dim(self) -> int: ...

    def vocabulary(self, role: Role) -> str:
        """Encoders with the same answer read a text as the same tokens."""
        ...

    def tokenise(self, texts: Sequence[str], role: Role) -> Tokens: ...

    def embed(self, tokens: Tokens) -> np.ndarray:
        """(N, dim) float32, rows of unit length, in input order."""
        ...

    def encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
        """(N,) texts -> (N, dim) float32: `tokenise`, then `embed`."""
        ...


class SentenceEncoder:
    """A sentence-transformers model folder, in float32 until `lower` is called.

    budget: tokens a forward pass, padding included; unset: what the device likes. Vectors do not depend on it, but for
    their last bits. Raises PlanError if it is smaller than one text may be.
    """

    is_packing = False

    def __init__(self, folder: Path, prompts: dict[str, str] | None = None, budget: int | None = None) -> None:
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(str(folder), local_files_only=True)
        self.model.eval()
        self.prompts = prompts or {}
        self.limit = int(self.model.max_seq_length or 512)
        self.budget = budget or max(self.limit, budget_for(self.model.device.type))
        if self.budget < self.limit:
            raise PlanError(f"index.batch_tokens {self.budget} is below max_length {self.limit}: a long text won't fit")

    @property
    def dim(self) -> int:
        return int(self.model.get_embedding_dimension() or 0)

    def vocabulary(self, role: Role) -> str:
        return f"{self.prompts.get(role, '')} {self.limit} {self._rules}"

    @cached_property
    def _rules(self) -> str:
        rules = json.loads(self.model.tokenizer.backend_tokenizer.to_str())
        kept = {key: part for key, part in rules.items() if key not in ("truncation", "padding")}  # the last call's
        return hashlib.sha256(json.dumps(kept).encode()).hexdigest()

    def tokenise(self, texts: Sequence[str], role: Role) -> Tokens:
        prompted = [self.prompts.get(role, "") + text for text in texts]
        if not prompted:
            return Tokens(ids=[], truncated=np.zeros(0, dtype=bool))
        encoded = self.model.tokenizer(prompted, truncation=True, max_length=self.limit, return_attention_mask=False)
        truncated = [bool(one.overflowing) for one in encoded.encodings]
        return Tokens(ids=encoded["input_ids"], truncated=np.array(truncated, dtype=bool))

    def lower(self, precision: Precision) -> None:
        """Casts the weights; on a GPU texts are then read without padding, where the model can."""
        import torch

        if precision != "float32":
            self.model.to(getattr(torch, precision))
            self.is_packing = self.model.device.type == "cuda" and pack(self.model)

    def embed(self, tokens: Tokens) -> np.ndarray:
        import torch

        embedded = [(np.empty(0, dtype=np.int64), torch.empty(0, self.dim))]
        with torch.inference_mode():
            for batch in token_batches(tokens.lengths, self.budget):
                read = self.model(self._features([tokens.ids[i] for i in batch]))
                embedded.append((batch, read["sentence_embedding"].float()))  # a GPU goes on: nobody waits for it here
        vectors = np.empty((len(tokens.ids), self.dim), dtype=np.float32)
        for batch, values in embedded:
            vectors[batch] = values.cpu().numpy()
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny))

    def encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
        return self.embed(self.tokenise(texts, role))

    def _features(self, ids: list[list[int]]) -> dict[str, Any]:
        features = packed(self.model, ids) if self.is_packing else padded(self.model.tokenizer, ids)
        device = self.model.device
        return {name: value.to(device) if hasattr(value, "to") else value for name, value in features.items()}
