"""Texts that a retriever's service embeds: its encoder's own vectors, whoever else asks at the same time."""

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from mixstage.models.checkpoint import open_encoder
from mixstage.models.encoder import Role, Tokens
from mixstage.models.hashing import HashingEncoder
from mixstage.serve.workers.embedding import TextEmbedder
from tests.conftest import CheckpointMaker

TEXTS = ["Return of the deposit.", "Rent", "three more words"]


class Prompted(HashingEncoder):
    """Reads a query with a word before it, and notes its calls."""

    def __init__(self) -> None:
        super().__init__(64)
        self.calls: list[int] = []

    def tokenise(self, texts: Sequence[str], role: Role) -> Tokens:
        return super().tokenise([f"query {text}" if role == "query" else text for text in texts], role)

    def embed(self, tokens: Tokens) -> np.ndarray:
        self.calls.append(len(tokens.ids))
        return super().embed(tokens)


def test_vectors_are_the_encoders_and_tokens_are_counted() -> None:
    vectors, tokens = asyncio.run(TextEmbedder(Prompted(), threading.Lock()).embed(TEXTS, "query"))
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, Prompted().encode(TEXTS, "query"))
    assert tokens == 4 + 1 + 3 + 3  # and the prompt's word of each


def test_requests_of_both_kinds_that_wait_are_read_in_one_call() -> None:
    encoder = Prompted()
    embedder = TextEmbedder(encoder, threading.Lock())

    async def ask() -> list[tuple[np.ndarray, int]]:
        kinds: list[Role] = ["document", "query", "document"]
        with embedder.lock:  # the model is busy until all have asked
            tasks = [asyncio.create_task(embedder.embed([text], kind)) for text, kind in zip(TEXTS, kinds, strict=True)]
            await asyncio.sleep(0.05)
        return await asyncio.gather(*tasks)

    answers = asyncio.run(ask())
    assert encoder.calls in ([3], [1, 2])
    for (vectors, tokens), text, kind, count in zip(
        answers, TEXTS, ["document", "query", "document"], [4, 2, 3], strict=True
    ):
        np.testing.assert_array_equal(vectors, Prompted().encode([text], kind))  # type: ignore[arg-type]
        assert tokens == count


def test_while_a_search_holds_the_encoder_no_text_is_read() -> None:
    encoder = Prompted()
    embedder = TextEmbedder(encoder, threading.Lock())

    async def ask() -> None:
        with embedder.lock:
            task = asyncio.create_task(embedder.embed(["a"], "query"))
            await asyncio.sleep(0.05)
            assert encoder.calls == [] and not task.done()
        await task

    asyncio.run(ask())
    assert encoder.calls == [1]


@pytest.mark.slow
def test_a_transformers_tokens_are_its_tokenizers(make_checkpoint: CheckpointMaker, tiny_model: str) -> None:
    checkpoint = make_checkpoint("retriever", base=str(tiny_model), query_prompt="query: ", max_length=16)
    encoder = open_encoder(checkpoint)
    vectors, tokens = asyncio.run(TextEmbedder(encoder, threading.Lock()).embed(TEXTS, "query"))
    np.testing.assert_allclose(vectors, encoder.encode(TEXTS, "query"), atol=1e-6)
    assert tokens == sum(len(ids) for ids in encoder.tokenise(TEXTS, "query").ids)
    assert np.abs(vectors - encoder.encode(TEXTS, "document")).max() > 1e-3
