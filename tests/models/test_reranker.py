"""Rerankers: batches by token budget give what single pairs give, and the raw logits of sentence-transformers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixstage.models.checkpoint import open_reranker
from mixstage.models.reranker import LateInteraction, PairClassifier
from mixstage.store.store import Store

Pairs = tuple[list[str], list[str]]


@pytest.fixture
def reranker(make_checkpoint: Any, tiny_model: Path) -> PairClassifier:
    opened = open_reranker(make_checkpoint("reranker", base=str(tiny_model), max_length=64))
    assert isinstance(opened, PairClassifier)
    return opened


@pytest.fixture(scope="module")
def pairs(sample_documents: list[dict[str, str]]) -> Pairs:
    """Short and long documents (up to and beyond 64 tokens) under a few queries, one of them empty."""
    queries = ["may the landlord keep the deposit", "notice", "", "a claim for defects that were found late"]
    documents = [row["text"][: 10 + 53 * n % 500] for n, row in enumerate(sample_documents[:60])]
    return [queries[n % 4] for n in range(len(documents))], documents


def test_a_pairs_score_does_not_depend_on_what_else_is_scored(reranker: PairClassifier, pairs: Pairs) -> None:
    queries, documents = pairs
    together = reranker.score(queries, documents)
    alone = np.concatenate([reranker.score([q], [d]) for q, d in zip(queries, documents, strict=True)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together[::-1], reranker.score(queries[::-1], documents[::-1]), atol=1e-5)
    assert np.ptp(together) > 1e-3


def test_scores_are_the_raw_logits_of_a_cross_encoder(
    make_checkpoint: Any, tiny_model: Path, store: Store, pairs: Pairs
) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    checkpoint = make_checkpoint("reranker", base=str(tiny_model), max_length=64)
    theirs = CrossEncoder(str(checkpoint.local()), device="cpu")
    expected = theirs.predict(list(zip(*pairs, strict=True)), activation_fn=torch.nn.Identity())
    scores = open_reranker(checkpoint).score(*pairs)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected.reshape(-1), atol=1e-5)


def test_query_and_document_are_not_interchangeable(reranker: PairClassifier) -> None:
    one, other = reranker.score(["the deposit", "the landlord keeps"], ["the landlord keeps", "the deposit"])
    assert abs(one - other) > 1e-4


def test_no_pairs_give_no_scores(reranker: PairClassifier) -> None:
    assert reranker.score([], []).shape == (0,)


@pytest.fixture
def late(make_checkpoint: Any, tiny_model: Path) -> LateInteraction:
    fields = {"base": str(tiny_model), "max_length": 64, "architecture": "late_interaction"}
    opened = open_reranker(make_checkpoint("reranker", **fields))
    assert isinstance(opened, LateInteraction)
    return opened


def test_late_interaction_is_the_mean_of_each_query_tokens_best_cosine(
    late: LateInteraction, pairs: Pairs, tiny_model: Path
) -> None:
    """Worked out from the plain transformer's last layer, a pair at a time."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(tiny_model).eval(), AutoTokenizer.from_pretrained(tiny_model)

    def tokens(text: str) -> np.ndarray:
        with torch.inference_mode():
            read = model(**tokenizer([text], truncation=True, max_length=64, return_tensors="pt"))
        vectors = read.last_hidden_state[0].numpy()
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    asked, found = ({text: tokens(text) for text in set(texts)} for texts in pairs)
    expected = [np.mean([max(d @ q for d in found[d_]) for q in asked[q_]]) for q_, d_ in zip(*pairs, strict=True)]
    np.testing.assert_allclose(late.score(*pairs), expected, atol=1e-5)


def test_late_interaction_reads_each_text_of_a_call_once(
    late: LateInteraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    vectors = late._vectors

    def spy(texts: list[str], task: str) -> list[np.ndarray]:
        read.extend(f"{task}: {text}" for text in texts)
        return vectors(texts, task)

    monkeypatch.setattr(late, "_vectors", spy)
    late.score(["a", "b", "a"], ["x", "x", "y"])
    late.score(["a"], ["x"])
    assert read == ["query: a", "query: b", "document: x", "document: y", "document: x"]
    assert late.score([], []).shape == (0,)
